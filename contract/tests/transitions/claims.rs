//! claim: who may start an attempt, and when.

use std::time::Duration;

use taskferry_contract::{
    ClaimReply, FinishReply, ProgressReport, RetryReply, Status, StreamReader, WorkerId,
};

use crate::rig::{LEASE, Rig};
use crate::samples::{completed, job_in, started};

fn other() -> WorkerId {
    "w2".parse().unwrap()
}

#[tokio::test]
async fn refuses_a_job_whose_lease_runs_and_gives_the_entry_back_to_its_holder() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    let held_until: u64 = rig.record(hold.claimed.id).await["lease_ms"]
        .parse()
        .unwrap();

    // The entry looks idle, the lease of the record runs on: a reclaim came between delivery and claim.
    rig.lapse(&hold).await;
    let record = rig.store.keys().record(hold.claimed.id);
    rig.raw::<()>("HSET", (record, "lease_ms", held_until))
        .await;
    let claimed = job_in(rig.reclaim_by(&other()).await);
    let reply = rig.claim_by(&claimed, &other()).await;
    assert!(
        matches!(reply, ClaimReply::Busy { until_ms } if until_ms == held_until),
        "{reply:?}"
    );

    let queue = rig.store.keys().queue(rig.shard, &hold.claimed.queue);
    let pending: Vec<(String, String, u64, u64)> =
        rig.raw("XPENDING", (queue, "workers", "-", "+", 10)).await;
    assert_eq!(pending.len(), 1);
    let (_, holder, idle_ms, _) = &pending[0];
    assert_eq!(holder, "w1");
    let left = held_until - rig.store.now_ms().await.unwrap();
    let lease = u64::try_from(LEASE.as_millis()).unwrap();
    assert!(
        (idle_ms + left).abs_diff(lease) < 15_000,
        "reclaimable when the lease ends: idle {idle_ms}, left {left}"
    );
    assert_eq!(rig.finish(&hold).await, FinishReply::Stored);
}

#[tokio::test]
async fn an_entry_that_is_given_back_can_be_taken_over_the_moment_its_lease_ends() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    let id = hold.claimed.id;
    // Of its minute of a lease ten seconds are left.
    let until = rig.store.now_ms().await.unwrap() + 10_000;
    let record = rig.store.keys().record(id);
    rig.raw::<()>("HSET", (record, "lease_ms", until)).await;
    rig.lapse_entry(&hold).await;
    let claimed = job_in(rig.reclaim_by(&other()).await);
    let reply = rig.claim_by(&claimed, &other()).await;
    assert!(
        matches!(reply, ClaimReply::Busy { until_ms } if until_ms == until),
        "{reply:?}"
    );
    let queue = rig.store.keys().queue(rig.shard, &claimed.queue);
    let pending: Vec<(String, String, u64, u64)> =
        rig.raw("XPENDING", (queue, "workers", "-", "+", 10)).await;
    let (_, holder, idle_ms, _) = &pending[0];
    assert_eq!(holder, "w1");
    // As if its holder had been silent for the fifty that are over; no machine stalls for long here.
    assert!((49_999..3_000_000).contains(idle_ms), "{idle_ms}");
    rig.finish(&hold).await;
}

#[tokio::test]
async fn a_repeated_claim_starts_no_second_attempt() {
    let mut rig = Rig::new().await;
    rig.submit().await;
    let claimed = rig.next().await;
    let first = rig.claim(&claimed).await;
    let (hold, _) = started(claimed.clone(), &rig.worker, first);
    let before = rig.record(claimed.id).await;
    let again = rig.claim(&claimed).await;
    // A reply that was lost on the way is asked for again.
    assert!(
        matches!(&again, ClaimReply::Started(job) if job.attempt == hold.attempt),
        "{again:?}"
    );
    assert_eq!(rig.record(claimed.id).await, before);
    assert_eq!(rig.finish(&hold).await, FinishReply::Stored);
}

#[tokio::test]
async fn an_entry_that_is_delivered_again_is_not_given_the_attempt_that_runs() {
    let mut rig = Rig::new().await;
    rig.submit().await;
    let (hold, _) = rig.start().await;
    let before = rig.record(hold.claimed.id).await;
    let source = StreamReader {
        worker: &rig.worker,
        shard: rig.shard,
        queues: std::slice::from_ref(&rig.tool.queue),
    };
    // As a worker reads after a broken connection what it was handed out.
    let again = job_in(rig.store.read_pending(source, 10).await.unwrap());
    assert_eq!(again.entry, hold.claimed.entry);
    let reply = rig.claim(&again).await;
    assert!(matches!(reply, ClaimReply::Busy { .. }), "{reply:?}");
    assert_eq!(rig.record(hold.claimed.id).await, before);
    rig.lapse(&hold).await;
    let (next, _) = started(again.clone(), &rig.worker, rig.claim(&again).await);
    assert_eq!(next.attempt.0, hold.attempt.0 + 1);
    assert_eq!(rig.finish(&next).await, FinishReply::Stored);
}

#[tokio::test]
async fn drops_an_entry_that_another_one_superseded() {
    let mut rig = Rig::new().await;
    let id = rig.submit().await;
    let queue = rig.store.keys().queue(rig.shard, &rig.tool.queue);
    let text = id.to_string();
    rig.raw::<String>("XADD", (&queue, "*", "id", &text, "tool", "report"))
        .await;
    let (hold, _) = rig.start().await;
    let duplicate = rig.next().await;
    let reply = rig.claim(&duplicate).await;
    assert!(matches!(reply, ClaimReply::Stale), "{reply:?}");
    assert_eq!((rig.queue_length().await, rig.pending().await), (1, 1));
    rig.finish(&hold).await;
}

#[tokio::test]
async fn drops_the_entry_of_a_job_that_has_ended() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    rig.finish(&hold).await;
    let queue = rig.store.keys().queue(rig.shard, &rig.tool.queue);
    let text = hold.claimed.id.to_string();
    rig.raw::<String>("XADD", (&queue, "*", "id", &text, "tool", "report"))
        .await;
    let late = rig.next().await;
    let reply = rig.claim(&late).await;
    assert!(matches!(reply, ClaimReply::AlreadyTerminal), "{reply:?}");
    assert_eq!(rig.status(late.id).await, Some(Status::Completed));
}

#[tokio::test]
async fn starts_the_next_attempt_when_the_worker_died() {
    let mut rig = Rig::new().await;
    let first = rig.running().await;
    let report = ProgressReport {
        progress: Some(0.5),
        total: Some(2.0),
        message: Some("half".to_owned()),
    };
    rig.store
        .report_progress(&first, &report)
        .await
        .unwrap()
        .unwrap();
    rig.lapse(&first).await;
    let claimed = job_in(rig.reclaim_by(&other()).await);
    let reply = rig.claim_by(&claimed, &other()).await;
    let (second, job) = started(claimed, &other(), reply);
    assert_eq!((job.attempt.0, job.crashes, job.retries), (2, 1, 0));
    let view = rig.view(job.id).await.unwrap();
    assert_eq!(
        (view.progress, view.total, view.message),
        (None, None, None)
    );
    assert_eq!(rig.finish(&second).await, FinishReply::Stored);
}

#[tokio::test]
async fn fails_and_buries_a_job_that_kills_its_workers() {
    let mut rig = Rig::new().await;
    rig.tool.crash_limit = 2;
    let first = rig.running().await;
    let second = rig.crash(&first).await;
    rig.lapse(&second).await;
    let claimed = job_in(rig.reclaim_by(&rig.worker.clone()).await);
    let reply = rig.claim(&claimed).await;
    let ClaimReply::Poison(lost) = reply else {
        panic!("{reply:?}");
    };
    assert_eq!((lost.crashes, lost.attempt), (2, 2));
    assert_eq!(lost.tool, rig.tool.name.as_str());
    assert_eq!(lost.worker, second.worker.as_str());

    let view = rig.view(claimed.id).await.unwrap();
    assert_eq!(view.status, Status::Failed);
    let message = "the worker died during attempt 2; the crash limit of 2 is reached (crash_limit of the tool)";
    assert_eq!(view.message.as_deref(), Some(message));
    let error: serde_json::Value = serde_json::from_str(&view.error.unwrap()).unwrap();
    assert_eq!(
        error,
        serde_json::json!({ "code": -32603, "message": message })
    );
    let dead = rig.dead_letters().await;
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (dead[0]["reason"].as_str(), dead[0]["attempts"].as_str()),
        ("crash limit", "2")
    );
}

#[tokio::test]
async fn counts_crashes_apart_from_retries_and_releases() {
    let mut rig = Rig::new().await;
    rig.tool.crash_limit = 2;
    rig.tool.attempts = 2;
    let first = rig.running().await;
    let second = rig.crash(&first).await;
    let released = rig
        .store
        .release_after_run(&second, Duration::ZERO, None)
        .await;
    assert_eq!(released.unwrap(), FinishReply::Stored);
    let (third, job) = rig.start().await;
    assert_eq!((job.attempt.0, job.crashes, job.retries), (3, 1, 0));
    assert!(matches!(
        rig.retry(&third).await,
        RetryReply::Scheduled { .. }
    ));
    rig.store.forward(rig.stream(), 10).await.unwrap();
    let (fourth, job) = rig.start().await;
    assert_eq!((job.attempt.0, job.crashes, job.retries), (4, 1, 1));
    assert_eq!(rig.finish(&fourth).await, FinishReply::Stored);
}

#[tokio::test]
async fn a_job_that_was_read_but_never_claimed_is_no_crash() {
    let mut rig = Rig::new().await;
    rig.tool.crash_limit = 1;
    rig.submit().await;
    let claimed = rig.next().await;
    let queue = rig.store.keys().queue(rig.shard, &claimed.queue);
    let idle = (
        queue,
        "workers",
        "w1",
        0,
        claimed.entry.as_str(),
        "IDLE",
        3_600_000,
        "JUSTID",
    );
    rig.raw::<Vec<String>>("XCLAIM", idle).await;
    let taken = job_in(rig.reclaim_by(&other()).await);
    let reply = rig.claim_by(&taken, &other()).await;
    let (hold, job) = started(taken, &other(), reply);
    assert_eq!((job.attempt.0, job.crashes), (1, 0));
    rig.finish(&hold).await;
}

fn about_a_minute(waited_ms: u64) -> bool {
    (60_000..90_000).contains(&waited_ms)
}

#[tokio::test]
async fn tells_how_long_a_job_was_ready() {
    let mut rig = Rig::new().await;
    let id = rig.submit().await;
    // It was queued a minute ago, and expires when it did.
    let record = rig.store.keys().record(id);
    let earlier = (record.clone(), "created_ms", -60_000);
    rig.raw::<()>("HINCRBY", earlier).await;
    rig.raw::<()>("HINCRBY", (record, "ttl_ms", 60_000)).await;
    let (first, job) = rig.start().await;
    assert!(about_a_minute(job.waited_ms), "{}", job.waited_ms);
    assert_eq!(job.taken_from, None);

    // A backoff is no wait.
    let later = Duration::from_secs(600);
    let last = completed();
    let retried = rig
        .store
        .schedule_retry(&first, later, "later", &last)
        .await;
    let RetryReply::Scheduled { due_ms } = retried.unwrap() else {
        panic!("not scheduled");
    };
    let waits = &rig.record(id).await["waits"];
    assert!(waits.ends_with(&format!(" failed {due_ms}")), "{waits}");
    let now = rig.store.now_ms().await.unwrap();
    let waits = format!("time {} failed {}", now - 600_000, now - 60_000);
    let record = rig.store.keys().record(id);
    rig.raw::<()>("HSET", (record, "waits", waits)).await;
    let due = rig.store.keys().due(rig.shard, &rig.tool.queue);
    rig.raw::<()>("ZADD", (due, 1, id.to_string())).await;
    rig.store.forward(rig.stream(), 10).await.unwrap();
    let (second, job) = rig.start().await;
    assert!(about_a_minute(job.waited_ms), "{}", job.waited_ms);

    // One that is given back at once is ready from then on.
    rig.store
        .release_after_run(&second, Duration::ZERO, None)
        .await
        .unwrap();
    let (third, job) = rig.start().await;
    assert!(job.waited_ms < 60_000, "{}", job.waited_ms);
    rig.finish(&third).await;
}

#[tokio::test]
async fn tells_from_whom_a_job_was_taken_over_and_how_long_nobody_had_it() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    let id = hold.claimed.id;
    rig.lapse(&hold).await;
    let ago = rig.store.now_ms().await.unwrap() - 60_000;
    let record = rig.store.keys().record(id);
    rig.raw::<()>("HSET", (record, "lease_ms", ago)).await;
    let claimed = job_in(rig.reclaim_by(&other()).await);
    let reply = rig.claim_by(&claimed, &other()).await;
    let (hold, job) = started(claimed, &other(), reply);
    assert_eq!(job.taken_from.as_deref(), Some("w1"));
    assert!(about_a_minute(job.waited_ms), "{}", job.waited_ms);
    assert!(!rig.record(id).await.contains_key("taken_from"));
    rig.finish(&hold).await;
}
