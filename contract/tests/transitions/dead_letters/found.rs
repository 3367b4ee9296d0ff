//! How dead letters are found and purged, and for how long they are kept.

use std::collections::HashMap;
use std::time::Duration;

use taskferry_contract::{LetterFilter, Shards, Status, Submission};
use taskferry_testing::ServerOptions;

use super::{bury, letters, one_attempt};
use crate::rig::Rig;
use crate::samples::{completed, tool};

#[tokio::test]
async fn letters_are_found_by_tool_reason_time_and_page() {
    let mut rig = one_attempt().await;
    for reason in ["the disk is full", "No paper", "no ink"] {
        bury(&rig, reason).await;
    }
    rig.tool = tool("other");
    rig.tool.attempts = 1;
    let last = bury(&rig, "no paper").await;

    let found = async |filter: LetterFilter, limit| {
        let letters = rig.store.dead_letters(&filter, limit).await.unwrap();
        let reasons = letters.iter().map(|letter| letter.reason.clone());
        reasons.collect::<Vec<String>>()
    };
    let all = LetterFilter::default;
    let newest_first = ["no paper", "no ink", "No paper", "the disk is full"];
    assert_eq!(found(all(), 100).await, newest_first);
    let of_tool = LetterFilter {
        tool: Some("report".to_owned()),
        ..all()
    };
    assert_eq!(found(of_tool, 100).await, newest_first[1..]);
    let of_reason = LetterFilter {
        reason: Some("PAPER".to_owned()),
        ..all()
    };
    assert_eq!(found(of_reason, 100).await, ["no paper", "No paper"]);

    let page = rig.store.dead_letters(&all(), 2).await.unwrap();
    assert_eq!(page[0].task, Some(last.claimed.id));
    let next = LetterFilter {
        before_id: Some(page[1].id),
        ..all()
    };
    assert_eq!(found(next, 2).await, newest_first[2..]);
    let until = LetterFilter {
        before_ms: Some(page[0].buried_ms()),
        ..all()
    };
    assert!(!found(until, 100).await.contains(&"no paper".to_owned()));

    let by_task = rig.store.dead_letter_of(last.claimed.id).await.unwrap();
    assert_eq!(by_task.as_ref(), page.first());
    let by_id = rig.store.dead_letter_at(page[0].id).await.unwrap();
    assert_eq!(by_id.as_ref(), page.first());
    let purged = [page[0].id, page[1].id, page[0].id];
    assert_eq!(rig.store.purge_dead(&purged).await.unwrap(), 2);
    assert_eq!(
        rig.store.dead_letter_of(last.claimed.id).await.unwrap(),
        None
    );
    assert_eq!(rig.store.dead_letter_at(page[0].id).await.unwrap(), None);
    assert_eq!(letters(&rig).await.len(), 2);
}

#[tokio::test]
async fn pages_go_over_shards_and_batches_without_loss() {
    let shards = Shards::new(3).unwrap();
    let mut rig = Rig::on(ServerOptions::default(), shards).await;
    // More than are read at once, and several of one moment.
    let mut pipe = redis::pipe();
    for number in 0..250 {
        for shard in 0..3 {
            pipe.cmd("XADD")
                .arg(format!("tf:{{{shard}}}:dead"))
                .arg(format!("{}-0", number + 1))
                .arg(&["id", "", "reason", "x"]);
        }
    }
    for shard in 0..3 {
        pipe.cmd("EXPIRE")
            .arg(format!("tf:{{{shard}}}:dead"))
            .arg(60);
    }
    pipe.query_async::<()>(&mut rig.redis).await.unwrap();
    let mut filter = LetterFilter::default();
    let mut seen = Vec::new();
    loop {
        let page = rig.store.dead_letters(&filter, 7).await.unwrap();
        let Some(last) = page.last() else {
            break;
        };
        filter.before_id = Some(last.id);
        seen.extend(page.into_iter().map(|letter| letter.id));
    }
    assert_eq!(seen.len(), 750);
    assert!(seen.is_sorted_by(|a, b| a > b));
    assert_eq!(
        rig.store
            .dead_letters(&LetterFilter::default(), 1000)
            .await
            .unwrap()
            .len(),
        750
    );
}

#[tokio::test]
async fn about_ten_thousand_letters_are_kept_and_the_newest_of_them() {
    let mut rig = one_attempt().await;
    let mut pipe = redis::pipe();
    for number in 0..10_400 {
        let reason = number.to_string();
        let letter = ["tf:{0}:dead", "*", "id", "", "reason", &reason];
        pipe.cmd("XADD").arg(&letter).ignore();
    }
    pipe.query_async::<()>(&mut rig.redis).await.unwrap();
    bury(&rig, "new").await;
    let kept: usize = rig.raw("XLEN", "tf:{0}:dead").await;
    // Redis removes whole nodes, of a hundred entries each.
    assert!((10_000..10_200).contains(&kept), "{kept}");
    assert_eq!(letters(&rig).await[0].reason, "new");
}

#[tokio::test]
async fn letters_of_more_than_thirty_days_are_dropped() {
    let mut rig = one_attempt().await;
    let now = rig.store.now_ms().await.unwrap();
    let days = |days: u64| format!("{}-0", now - days * 86_400_000);
    for (entry, reason) in [(days(31), "old"), (days(29), "recent")] {
        rig.raw::<String>("XADD", ("tf:{0}:dead", entry, "id", "", "reason", reason))
            .await;
    }
    let hold = bury(&rig, "new").await;
    let reasons: Vec<String> = letters(&rig)
        .await
        .into_iter()
        .map(|letter| letter.reason)
        .collect();
    assert_eq!(reasons, ["new", "recent"]);
    let ttl: u64 = rig.raw("PTTL", "tf:{0}:dead").await;
    assert!((29 * 86_400_000..=30 * 86_400_000).contains(&ttl), "{ttl}");
    assert_eq!(rig.status(hold.claimed.id).await, Some(Status::Failed));
}

#[tokio::test]
async fn what_a_letter_keeps_is_what_was_asked_and_who_ran_it_never_what_came_of_it() {
    let mut rig = one_attempt().await;
    let submission = Submission {
        answers: &[("pin".to_owned(), r#""1234""#.to_owned())],
        ..rig.submission()
    };
    let hold = rig.running_as(submission).await;
    let last = completed();
    let retry = rig.store.schedule_retry(&hold, Duration::ZERO, "no", &last);
    retry.await.unwrap();
    let letter: HashMap<String, String> = rig.dead_letters().await.remove(0);
    let mut kept: Vec<&str> = letter.keys().map(String::as_str).collect();
    kept.sort_unstable();
    let expected = [
        "arguments",
        "attempts",
        "id",
        "max_attempts",
        "owner",
        "queue",
        "reason",
        "started_ms",
        "tool",
        "ttl_ms",
        "worker",
    ];
    assert_eq!(kept, expected);
}
