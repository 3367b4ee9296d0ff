//! `list_owned`: every task of an owner once, page by page.

use std::time::Duration;

use taskferry_contract::{Owner, Submission, TaskId};

use crate::rig::Rig;

async fn pages(rig: &Rig, limit: usize) -> Vec<Vec<TaskId>> {
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = rig
            .store
            .list_owned(&rig.owner, after, limit)
            .await
            .unwrap();
        pages.push(page.tasks.iter().map(|task| task.id).collect());
        after = page.next;
        if after.is_none() {
            return pages;
        }
        assert!(pages.len() < 100, "the pages do not end");
    }
}

#[tokio::test]
async fn lists_what_expires_first_at_the_front_and_nothing_of_others() {
    let rig = Rig::new().await;
    let mut expected = Vec::new();
    for minutes in [30, 10, 20] {
        let id = rig
            .submit_as(Submission {
                ttl: Duration::from_secs(minutes * 60),
                ..rig.submission()
            })
            .await;
        expected.push((minutes, id));
    }
    expected.sort_by_key(|(minutes, _)| *minutes);
    let expected: Vec<TaskId> = expected.into_iter().map(|(_, id)| id).collect();
    let bob = Owner::named("bob").unwrap();
    rig.submit_as(Submission {
        owner: &bob,
        ..rig.submission()
    })
    .await;
    assert_eq!(pages(&rig, 10).await, [expected]);
    let nobody = Owner::named("carol").unwrap();
    let page = rig.store.list_owned(&nobody, None, 10).await.unwrap();
    assert_eq!((page.tasks, page.next), (Vec::new(), None));
    rig.leaves_jobs();
}

#[tokio::test]
async fn pages_through_equal_expiries_without_loss_or_repetition() {
    let mut rig = Rig::new().await;
    let owned = format!("tf:{{0}}:owned:{}", rig.owner);
    let mut all = Vec::new();
    for n in 0..11_u64 {
        let id = rig.submit().await;
        // Three groups of equal expiry, the middle one longer than any page.
        let score = rig.store.now_ms().await.unwrap() / 100_000 * 100_000
            + match n {
                0 | 1 => 200_000,
                2..=8 => 300_000,
                _ => 400_000,
            };
        rig.raw::<()>("ZADD", (&owned, score, id.to_string())).await;
        all.push((score, id.to_string(), id));
    }
    all.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let all: Vec<TaskId> = all.into_iter().map(|(_, _, id)| id).collect();
    for limit in 1..=12 {
        let pages = pages(&rig, limit).await;
        assert!(pages.iter().all(|page| page.len() <= limit));
        assert_eq!(pages.concat(), all, "{limit} a page");
        assert_eq!(pages.len(), all.len().div_ceil(limit), "{limit} a page");
    }
    rig.leaves_jobs();
}

#[tokio::test]
async fn leaves_out_what_expired_or_cannot_be_read() {
    let mut rig = Rig::new().await;
    let ids = [rig.submit().await, rig.submit().await, rig.submit().await];
    let (gone, broken) = (
        rig.store.keys().record(ids[0]),
        rig.store.keys().record(ids[1]),
    );
    rig.raw::<i64>("DEL", gone).await;
    rig.raw::<()>("HSET", (broken, "status", "retired")).await;
    assert_eq!(pages(&rig, 10).await, [[ids[2]]]);
    // A page may be short, but the pages still end.
    assert_eq!(pages(&rig, 1).await.concat(), [ids[2]]);
    rig.leaves_anything();
}

#[tokio::test]
async fn a_task_that_ended_stays_listed() {
    let rig = Rig::new().await;
    let hold = rig.running().await;
    rig.finish(&hold).await;
    assert_eq!(pages(&rig, 10).await, [[hold.claimed.id]]);
}
