//! Dead letters: what they keep, and `revive`.

mod found;

use std::time::Duration;

use taskferry_contract::{
    DeadLetter, Delivery, FinishReply, HeldAttempt, LetterFilter, Outcome, ReviveReply, Submission,
    TaskId,
};

use crate::rig::{Rig, SOON};
use crate::samples::{failed, slow};

/// Fails the only attempt of a job for good.
async fn bury(rig: &Rig, reason: &str) -> HeldAttempt {
    let hold = rig.running().await;
    bury_running(rig, &hold, reason).await;
    hold
}

async fn bury_running(rig: &Rig, hold: &HeldAttempt, reason: &str) {
    bury_with(rig, hold, reason, &failed("no")).await;
}

async fn bury_with(rig: &Rig, hold: &HeldAttempt, reason: &str, last: &Outcome) {
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
    let revivable = rig.store.revivable(letter).await.unwrap().unwrap();
    let revived = rig.store.revive(letter, &revivable, &rig.tool, id);
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
    let revivable = rig.store.revivable(&letter).await.unwrap().unwrap();
    let again = rig.store.revive(&letter, &revivable, &rig.tool, new);
    assert_eq!(again.await.unwrap(), ReviveReply::Queued);
    assert_eq!(rig.queue_length().await, 1);
    // Another job cannot come of it any more.
    let other = rig
        .store
        .revive(&letter, &revivable, &rig.tool, TaskId::random(rig.shard));
    assert_eq!(other.await.unwrap(), ReviveReply::Gone);
    assert_eq!(letters(&rig).await, []);
    assert_eq!(rig.record(old).await, before, "terminal is terminal");

    let (hold, job) = rig.start().await;
    assert_eq!((job.id, job.attempt.0, job.retries), (new, 1, 0));
    assert_eq!(job.arguments.as_str(), r#"{"month":"2026-07"}"#);
    assert_eq!(job.owner, rig.owner);
    assert_eq!(job.ttl_ms, 700_000);
    assert_eq!(job.capabilities.as_deref(), Some(r#"{"sampling":{}}"#));
    assert_eq!(job.answers["go"], answers[0].1);
    assert_eq!(rig.record(new).await["max_attempts"], "5");
    let owned = rig.store.list_owned(&rig.owner, None, 10).await.unwrap();
    assert_eq!(owned.tasks.len(), 2, "its owner finds it");
    assert_eq!(rig.finish(&hold).await, FinishReply::Stored);
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
    let record = rig.store.keys().record(hold.claimed.id);
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
    assert_eq!(job.arguments.as_str(), r#"{"month":"2026-07"}"#);
    assert_eq!((&job.owner, job.ttl_ms), (&rig.owner, 600_000));
    // Without these nobody could be asked anything.
    assert_eq!(job.capabilities.as_deref(), Some(r#"{"sampling":{}}"#));
    let plain = rig.view(new).await.unwrap().plain;
    assert!(!plain, "nobody waits for it any more: it is a task");
    assert_eq!(rig.finish(&hold).await, FinishReply::Stored);
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
        let revivable = rig.store.revivable(&expected).await.unwrap().unwrap();
        assert_eq!((revivable.origin, revivable.attempts), (first, 1));
    }
}

#[tokio::test]
async fn a_job_may_run_once_if_it_or_its_tool_says_so_or_nobody_knows() {
    let mut rig = one_attempt().await;
    let hold = bury(&rig, "no").await;
    let letter = the_letter(&rig).await;
    let mut now = rig.tool.clone();
    now.attempts = 3;
    let revivable = rig.store.revivable(&letter).await.unwrap().unwrap();
    assert!(
        revivable.may_repeat_work(&now),
        "it might when it was submitted"
    );
    rig.expire(hold.claimed.id).await;
    let revivable = rig.store.revivable(&letter).await.unwrap().unwrap();
    assert!(revivable.may_repeat_work(&now), "the letter knows");
    let unknown = DeadLetter {
        max_attempts: None,
        ..letter.clone()
    };
    let revivable = rig.store.revivable(&unknown).await.unwrap().unwrap();
    assert!(
        revivable.may_repeat_work(&now),
        "an earlier version buried it"
    );
    let often = DeadLetter {
        max_attempts: Some(3),
        ..letter.clone()
    };
    let revivable = rig.store.revivable(&often).await.unwrap().unwrap();
    assert!(!revivable.may_repeat_work(&now));
    assert!(revivable.may_repeat_work(&rig.tool), "its tool may, today");
    let unbegun = DeadLetter {
        attempts: 0,
        ..letter
    };
    let revivable = rig.store.revivable(&unbegun).await.unwrap().unwrap();
    assert!(!revivable.may_repeat_work(&rig.tool), "nothing of it ran");
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
    let with = |arguments: &str| Submission {
        arguments: arguments.into(),
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
    let revivable = rig.store.revivable(&letter).await.unwrap().unwrap();
    assert_eq!(revivable.arguments.as_str(), long);
    rig.expire(hold.claimed.id).await;
    assert_eq!(rig.store.revivable(&letter).await.unwrap(), None);
}

#[tokio::test]
async fn an_entry_that_was_no_job_cannot_be_revived() {
    let mut rig = Rig::new().await;
    let queue = rig.store.keys().queue(rig.shard, &rig.tool.queue);
    let entry = (&queue, "*", "id", "nonsense", "tool", "x");
    rig.raw::<String>("XADD", entry).await;
    let Some(Delivery::Unreadable(found)) = rig.deliveries().await.pop() else {
        panic!("a job in an entry that names none");
    };
    rig.store.dead_letter(&found, "unreadable").await.unwrap();
    let letter = the_letter(&rig).await;
    assert_eq!((letter.task, letter.id_text.as_str()), (None, "nonsense"));
    assert_eq!(rig.dead_letters().await[0]["attempts"], "0");
    assert_eq!(letter.queue.as_deref(), Some("default"));
    assert_eq!(rig.store.revivable(&letter).await.unwrap(), None);
}

#[tokio::test]
async fn a_full_redis_revives_nothing_and_keeps_the_letter() {
    let mut rig = one_attempt().await;
    bury(&rig, "no").await;
    let letter = the_letter(&rig).await;
    let revivable = rig.store.revivable(&letter).await.unwrap().unwrap();
    rig.raw::<()>("CONFIG", ("SET", "maxmemory", 1)).await;
    let id = TaskId::random(rig.shard);
    let error = rig.store.revive(&letter, &revivable, &rig.tool, id).await;
    assert!(error.unwrap_err().is_out_of_memory());
    assert_eq!(letters(&rig).await.len(), 1);
}
