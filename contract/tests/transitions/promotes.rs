//! `promote`: a plain call whose caller waits no longer becomes a task.

use std::time::Duration;

use taskferry_contract::{Owner, PromoteReply, Status, Submission, TaskId};

use crate::rig::Rig;

const KEEP: Duration = Duration::from_secs(300);

fn plain(rig: &Rig) -> Submission<'_> {
    Submission {
        plain: true,
        keep: Duration::from_secs(60),
        progress_token: Some("7"),
        ..rig.submission()
    }
}

async fn owned(rig: &mut Rig) -> Vec<String> {
    let key = rig.store.keys().owned(rig.shard, &rig.owner);
    rig.raw("ZRANGE", (key, 0, -1)).await
}

#[tokio::test]
async fn a_plain_call_becomes_a_task_that_keeps_its_ttl() {
    let mut rig = Rig::new().await;
    let hold = rig.running_as(plain(&rig)).await;
    let id = hold.claimed.id;
    let before = rig.view(id).await.unwrap();
    assert!(before.plain && owned(&mut rig).await.is_empty());
    for _ in 0..2 {
        let reply = rig.store.promote(id, &rig.owner, KEEP).await.unwrap();
        let PromoteReply::Promoted(view) = reply else {
            panic!("{reply:?}");
        };
        assert_eq!((view.status, view.plain), (Status::Working, false));
        assert_eq!(view.ttl_ms, before.ttl_ms);
    }
    assert_eq!(owned(&mut rig).await, [id.to_string()]);
    let record = rig.record(id).await;
    assert_eq!(record["keep_ms"], "300000");
    assert!(!record.contains_key("progress_token"));
    rig.finish(&hold).await;
    let after = rig.view(id).await.unwrap();
    assert_eq!(after.ttl_ms, before.ttl_ms, "the end cuts nothing off");
}

#[tokio::test]
async fn a_call_of_nobody_in_particular_is_in_no_list() {
    let mut rig = Rig::new().await;
    let nobody = Owner::anonymous();
    let submission = Submission {
        owner: &nobody,
        ..plain(&rig)
    };
    let id = rig.submit_as(submission).await;
    let reply = rig.store.promote(id, &nobody, KEEP).await.unwrap();
    assert!(matches!(reply, PromoteReply::Promoted(_)), "{reply:?}");
    let lists: Vec<String> = rig.raw("KEYS", "tf:*:owned:*").await;
    assert_eq!(lists, Vec::<String>::new());
    rig.leaves_jobs();
}

#[tokio::test]
async fn one_that_ended_meanwhile_is_shown_without_its_outcome_and_stays_plain() {
    let mut rig = Rig::new().await;
    let hold = rig.running_as(plain(&rig)).await;
    let id = hold.claimed.id;
    rig.finish(&hold).await;
    let before = rig.record(id).await;
    let reply = rig.store.promote(id, &rig.owner, KEEP).await.unwrap();
    let PromoteReply::AlreadyTerminal(view) = reply else {
        panic!("{reply:?}");
    };
    assert_eq!(Some(view), rig.store.view(id).await.unwrap());
    assert_eq!(rig.record(id).await, before);
}

#[tokio::test]
async fn another_owners_call_and_one_that_expired_are_not_found() {
    let mut rig = Rig::new().await;
    let id = rig.submit_as(plain(&rig)).await;
    let bob = Owner::named("bob").unwrap();
    let reply = rig.store.promote(id, &bob, KEEP).await.unwrap();
    assert_eq!(reply, PromoteReply::NotFound);
    assert!(rig.view(id).await.unwrap().plain);
    rig.expire(id).await;
    let alice = rig.owner.clone();
    for gone in [id, TaskId::random(rig.shard)] {
        let reply = rig.store.promote(gone, &alice, KEEP).await.unwrap();
        assert_eq!(reply, PromoteReply::NotFound);
        assert_eq!(rig.view(gone).await, None, "nothing is revived");
    }
    rig.leaves_jobs();
}
