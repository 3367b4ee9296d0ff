//! Dead letters: what they keep, `revive`, purging, and how they are found.

use std::collections::HashMap;
use std::time::Duration;

use taskferry_contract::{
    DeadLetter, FinishReply, Hold, LetterFilter, Outcome, ReviveReply, Shards, Status, Submission,
    TaskId,
};
use taskferry_testing::ServerOptions;

use crate::rig::{Rig, SOON, completed, failed, slow, tool};

/// Fails the only attempt of a job for good.
async fn bury(rig: &Rig, reason: &str) -> Hold {
    let hold = rig.running().await;
    bury_running(rig, &hold, reason).await;
    hold
}

async fn bury_running(rig: &Rig, hold: &Hold, reason: &str) {
    bury_with(rig, hold, reason, &failed("no")).await;
}

async fn bury_with(rig: &Rig, hold: &Hold, reason: &str, last: &Outcome) {
    let retry = rig.store.schedule_retry(hold, Duration::ZERO, reason, last);
    retry.await.unwrap();
}

async fn one_attempt() -> Rig {
    let mut rig = Rig::new().await;
    rig.tool.attempts = 1;
    rig
}

async fn letters(rig: &Rig) -> Vec<DeadLetter> {
    let all = LetterFilter::default();
    rig.store.dead_letters(&all, 100).await.unwrap()
}

async fn the_letter(rig: &Rig) -> DeadLetter {
    let mut letters = letters(rig).await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    letters.remove(0)
}

/// Revives a letter with the tool as the test has it.
async fn revive(rig: &Rig, letter: &DeadLetter, id: TaskId) -> ReviveReply {
    let remains = rig.store.remains(letter).await.unwrap().unwrap();
    let revived = rig.store.revive(letter, &remains, &rig.tool, id);
    revived.await.unwrap()
}

#[tokio::test]
async fn a_revived_job_is_a_new_one_with_all_its_attempts() {
    let mut rig = one_attempt().await;
    let answers = [("go".to_owned(), r#"{"action":"accept"}"#.to_owned())];
    let submission = Submission {
        capabilities: Some(r#"{"sampling":{}}"#),
        answers: &answers,
        ttl: Duration::from_secs(700),
        ..rig.submission()
    };
    let hold = rig.running_as(submission).await;
    bury_running(&rig, &hold, "the disk is full").await;
    let old = hold.claimed.id;
    let letter = the_letter(&rig).await;
    assert_eq!((letter.task, letter.record_exists), (Some(old), true));
    let before = rig.record(old).await;

    rig.tool.attempts = 5;
    rig.tool.keep_ms = 0;
    let new = TaskId::random(rig.shard);
    // The second call finds what the first one did, as when its reply was lost.
    assert_eq!(revive(&rig, &letter, new).await, ReviveReply::Queued);
    let remains = rig.store.remains(&letter).await.unwrap().unwrap();
    let again = rig.store.revive(&letter, &remains, &rig.tool, new);
    assert_eq!(again.await.unwrap(), ReviveReply::Queued);
    assert_eq!(rig.queue_length().await, 1);
    // Another job cannot come of it any more.
    let other = rig
        .store
        .revive(&letter, &remains, &rig.tool, TaskId::random(rig.shard));
    assert_eq!(other.await.unwrap(), ReviveReply::Gone);
    assert_eq!(letters(&rig).await, []);
    assert_eq!(rig.record(old).await, before, "terminal is terminal");

    let (hold, job) = rig.start().await;
    assert_eq!((job.id, job.attempt.0, job.retries), (new, 1, 0));
    assert_eq!(job.arguments, r#"{"month":"2026-07"}"#);
    assert_eq!(job.owner, rig.owner);
    assert_eq!(job.ttl_ms, 700_000);
    assert_eq!(job.capabilities.as_deref(), Some(r#"{"sampling":{}}"#));
    assert_eq!(job.answers["go"], answers[0].1);
    assert_eq!(rig.record(new).await["max_attempts"], "5");
    let owned = rig.store.list_owned(&rig.owner, None, 10).await.unwrap();
    assert_eq!(owned.tasks.len(), 2, "its owner finds it");
    assert_eq!(rig.finish(&hold).await, FinishReply::Stored);
    rig.check_drained().await;
}

#[tokio::test]
async fn a_job_is_revived_from_its_letter_once_its_record_is_gone() {
    let rig = one_attempt().await;
    let submission = Submission {
        plain: true,
        capabilities: Some(r#"{"sampling":{}}"#),
        keep: Duration::from_millis(1),
        ..rig.submission()
    };
    let hold = rig.running_as(submission).await;
    // The record's time is over before Redis has stored this.
    let last = Outcome::Failed {
        error: slow(),
        message: "no".to_owned(),
    };
    bury_with(&rig, &hold, "no", &last).await;
    let mut redis = rig.redis.clone();
    let record = rig.store.keys().task(hold.claimed.id);
    taskferry_testing::eventually(SOON, "the record expires", async || {
        let exists = redis::cmd("EXISTS").arg(&record).to_owned();
        exists.query_async::<i64>(&mut redis).await.unwrap() == 0
    })
    .await;
    let letter = the_letter(&rig).await;
    assert!(!letter.record_exists);
    let new = TaskId::random(rig.shard);
    assert_eq!(revive(&rig, &letter, new).await, ReviveReply::Queued);
    let (hold, job) = rig.start().await;
    assert_eq!(job.arguments, r#"{"month":"2026-07"}"#);
    assert_eq!((&job.owner, job.ttl_ms), (&rig.owner, 600_000));
    // Without these nobody could be asked anything.
    assert_eq!(job.capabilities.as_deref(), Some(r#"{"sampling":{}}"#));
    let plain = rig.view(new).await.unwrap().plain;
    assert!(!plain, "nobody waits for it any more: it is a task");
    assert_eq!(rig.finish(&hold).await, FinishReply::Stored);
    rig.check_drained().await;
}

#[tokio::test]
async fn the_first_task_is_known_through_retries_of_retries() {
    let mut rig = one_attempt().await;
    let hold = bury(&rig, "no").await;
    let first = hold.claimed.id;
    let letter = the_letter(&rig).await;
    assert_eq!((letter.origin, letter.max_attempts), (None, Some(1)));
    let mut expected = letter;
    for record_gone in [false, true, false] {
        let new = TaskId::random(rig.shard);
        assert_eq!(revive(&rig, &expected, new).await, ReviveReply::Queued);
        let (hold, job) = rig.start().await;
        assert_eq!((job.id, job.origin), (new, first));
        bury_running(&rig, &hold, "no").await;
        expected = the_letter(&rig).await;
        assert_eq!(expected.origin, Some(first));
        if record_gone {
            rig.expire(new).await;
        }
        let remains = rig.store.remains(&expected).await.unwrap().unwrap();
        assert_eq!((remains.origin, remains.attempts), (first, 1));
    }
    rig.check_drained().await;
}

#[tokio::test]
async fn a_job_may_run_once_if_it_or_its_tool_says_so_or_nobody_knows() {
    let mut rig = one_attempt().await;
    let hold = bury(&rig, "no").await;
    let letter = the_letter(&rig).await;
    let mut now = rig.tool.clone();
    now.attempts = 3;
    let remains = rig.store.remains(&letter).await.unwrap().unwrap();
    assert!(remains.may_run_once(&now), "it might when it was submitted");
    rig.expire(hold.claimed.id).await;
    let remains = rig.store.remains(&letter).await.unwrap().unwrap();
    assert!(remains.may_run_once(&now), "the letter knows");
    let unknown = DeadLetter {
        max_attempts: None,
        ..letter.clone()
    };
    let remains = rig.store.remains(&unknown).await.unwrap().unwrap();
    assert!(remains.may_run_once(&now), "an earlier release buried it");
    let often = DeadLetter {
        max_attempts: Some(3),
        ..letter.clone()
    };
    let remains = rig.store.remains(&often).await.unwrap().unwrap();
    assert!(!remains.may_run_once(&now));
    assert!(remains.may_run_once(&rig.tool), "its tool may, today");
    let unbegun = DeadLetter {
        attempts: 0,
        ..letter
    };
    let remains = rig.store.remains(&unbegun).await.unwrap().unwrap();
    assert!(!remains.may_run_once(&rig.tool), "nothing of it ran");
    rig.check_drained().await;
}

#[tokio::test]
async fn long_arguments_are_left_to_the_record() {
    let mut rig = one_attempt().await;
    // With the capabilities, as much as a letter takes, and one byte more.
    let capabilities = r#"{"roots":{}}"#;
    let fits = "x".repeat(4096 - capabilities.len() - r#"{"text":""}"#.len());
    let (fits, long) = (
        format!(r#"{{"text":"{fits}"}}"#),
        format!(r#"{{"text":"{fits}x"}}"#),
    );
    let with = |arguments| Submission {
        arguments,
        capabilities: Some(capabilities),
        ..rig.submission()
    };
    let hold = rig.running_as(with(&fits)).await;
    bury_running(&rig, &hold, "no").await;
    let letter = the_letter(&rig).await;
    assert_eq!(letter.arguments.as_deref(), Some(fits.as_str()));
    rig.store.purge_dead(&[letter.id]).await.unwrap();
    let hold = rig.running_as(with(&long)).await;
    bury_running(&rig, &hold, "no").await;
    let letter = the_letter(&rig).await;
    assert_eq!((&letter.arguments, &letter.capabilities), (&None, &None));
    let remains = rig.store.remains(&letter).await.unwrap().unwrap();
    assert_eq!(remains.arguments, long);
    rig.expire(hold.claimed.id).await;
    assert_eq!(rig.store.remains(&letter).await.unwrap(), None);
    rig.check_drained().await;
}

#[tokio::test]
async fn an_entry_that_was_no_job_cannot_be_revived() {
    let mut rig = Rig::new().await;
    let queue = rig.store.keys().queue(rig.shard, &rig.tool.queue);
    let entry: String = rig
        .raw("XADD", (&queue, "*", "id", "nonsense", "tool", "x"))
        .await;
    rig.deliveries().await;
    let from = (rig.shard, &rig.tool.queue);
    let named = ("nonsense", "x");
    rig.store
        .dead_letter(from, &entry.into(), named, "unreadable")
        .await
        .unwrap();
    let letter = the_letter(&rig).await;
    assert_eq!((letter.task, letter.named.as_str()), (None, "nonsense"));
    assert_eq!(rig.dead_letters().await[0]["attempts"], "0");
    assert_eq!(letter.queue.as_deref(), Some("default"));
    assert_eq!(rig.store.remains(&letter).await.unwrap(), None);
    rig.check_drained().await;
}

#[tokio::test]
async fn a_full_redis_revives_nothing_and_keeps_the_letter() {
    let mut rig = one_attempt().await;
    bury(&rig, "no").await;
    let letter = the_letter(&rig).await;
    let remains = rig.store.remains(&letter).await.unwrap().unwrap();
    rig.raw::<()>("CONFIG", ("SET", "maxmemory", 1)).await;
    let id = TaskId::random(rig.shard);
    let error = rig.store.revive(&letter, &remains, &rig.tool, id).await;
    assert!(error.unwrap_err().is_out_of_memory());
    assert_eq!(letters(&rig).await.len(), 1);
    rig.check_drained().await;
}

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
        before: Some(page[1].id),
        ..all()
    };
    assert_eq!(found(next, 2).await, newest_first[2..]);
    let until = LetterFilter {
        until_ms: Some(page[0].buried_ms()),
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
    rig.check_drained().await;
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
        filter.before = Some(last.id);
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
    rig.check_drained().await;
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
    rig.check_drained().await;
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
    rig.check_drained().await;
}

#[tokio::test]
async fn what_a_letter_keeps_is_what_was_asked_never_what_came_of_it() {
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
        "tool",
        "ttl_ms",
    ];
    assert_eq!(kept, expected);
    rig.check_drained().await;
}
