//! `schedule_retry`, release and forward: a job goes back and comes again.

use std::time::Duration;

use taskferry_contract::{FinishReply, ForwardReply, Outcome, RetryReply, Status};

use crate::rig::Rig;
use crate::samples::{completed, failed};

const NONE_LEFT: ForwardReply = ForwardReply {
    moved: 0,
    call_again_ms: None,
    expired: 0,
    misplaced: Vec::new(),
};

#[tokio::test]
async fn a_retry_waits_for_its_time() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    let id = hold.claimed.id;
    let delay = Duration::from_secs(60);
    let last = failed("no");
    let reply = rig
        .store
        .schedule_retry(&hold, delay, "the disk is full", &last);
    let RetryReply::Scheduled { due_ms } = reply.await.unwrap() else {
        panic!("not scheduled");
    };
    let now = rig.store.now_ms().await.unwrap();
    assert!(
        (45_000..=60_000).contains(&(due_ms - now)),
        "{due_ms} at {now}"
    );
    assert_eq!((rig.queue_length().await, rig.pending().await), (0, 0));
    let view = rig.view(id).await.unwrap();
    assert_eq!(view.status, Status::Queued);
    assert_eq!(view.message.as_deref(), Some("the disk is full"));

    let waits = ForwardReply {
        moved: 0,
        call_again_ms: Some(due_ms),
        expired: 0,
        misplaced: Vec::new(),
    };
    assert_eq!(rig.store.forward(rig.stream(), 10).await.unwrap(), waits);
    let due = rig.store.keys().due(rig.shard, &rig.tool.queue);
    rig.raw::<()>("ZADD", (due, 1, id.to_string())).await;
    let moved = ForwardReply {
        moved: 1,
        call_again_ms: None,
        expired: 0,
        misplaced: Vec::new(),
    };
    assert_eq!(rig.store.forward(rig.stream(), 10).await.unwrap(), moved);
    assert_eq!(
        rig.store.forward(rig.stream(), 10).await.unwrap(),
        NONE_LEFT
    );

    let (second, job) = rig.start().await;
    assert_eq!((job.attempt.0, job.retries, job.crashes), (2, 1, 0));
    assert_eq!(rig.finish(&second).await, FinishReply::Stored);
}

#[tokio::test]
async fn the_last_attempt_leaves_its_outcome_and_a_dead_letter() {
    let mut rig = Rig::new().await;
    rig.tool.attempts = 2;
    let given_up = Outcome::Cancelled {
        message: "unused".to_owned(),
    };
    for (last, status) in [
        (failed("unused"), Status::Failed),
        (completed(), Status::Completed),
        (given_up, Status::Cancelled),
    ] {
        let hold = rig.running().await;
        let retry = rig
            .store
            .schedule_retry(&hold, Duration::ZERO, "first", &last);
        assert!(matches!(retry.await.unwrap(), RetryReply::Scheduled { .. }));
        rig.store.forward(rig.stream(), 10).await.unwrap();
        let (hold, _) = rig.start().await;
        let dead = rig
            .store
            .schedule_retry(&hold, Duration::ZERO, "second", &last);
        assert_eq!(dead.await.unwrap(), RetryReply::Dead);

        let id = hold.claimed.id;
        let view = rig.view(id).await.unwrap();
        assert_eq!(
            (view.status, view.message.as_deref()),
            (status, Some("second"))
        );
        assert_eq!(view.error.is_some(), status == Status::Failed);
        assert_eq!(view.result.is_some(), status == Status::Completed);
        let fields = rig.record(id).await;
        assert!(!fields.contains_key(""), "{fields:?}");
        let mut letter = rig.dead_letters().await.pop().unwrap();
        let started_ms: u64 = letter.remove("started_ms").unwrap().parse().unwrap();
        assert!(started_ms >= u64::try_from(view.created_ms).unwrap());
        let expected = [
            ("id", id.to_string()),
            ("tool", "report".to_owned()),
            ("reason", "second".to_owned()),
            ("attempts", "2".to_owned()),
            ("max_attempts", "2".to_owned()),
            ("queue", "default".to_owned()),
            ("owner", "key:alice".to_owned()),
            ("ttl_ms", "600000".to_owned()),
            ("worker", hold.worker.to_string()),
            ("arguments", r#"{"month":"2026-07"}"#.to_owned()),
        ];
        assert_eq!(letter, expected.map(|(k, v)| (k.to_owned(), v)).into());
    }
    assert_eq!(rig.dead_letters().await.len(), 3);
}

#[tokio::test]
async fn a_release_uses_up_no_attempt() {
    let mut rig = Rig::new().await;
    rig.tool.attempts = 1;
    let hold = rig.running().await;
    let id = hold.claimed.id;
    let released = rig
        .store
        .release_after_run(&hold, Duration::ZERO, None)
        .await
        .unwrap();
    assert_eq!(released, FinishReply::Stored);
    assert_eq!(rig.status(id).await, Some(Status::Queued));
    assert_eq!((rig.queue_length().await, rig.pending().await), (1, 0));

    let (hold, job) = rig.start().await;
    assert_eq!((job.attempt.0, job.retries, job.crashes), (2, 0, 0));
    let later =
        rig.store
            .release_after_run(&hold, Duration::from_secs(60), Some("no such tool here"));
    assert_eq!(later.await.unwrap(), FinishReply::Stored);
    assert_eq!((rig.queue_length().await, rig.pending().await), (0, 0));
    let view = rig.view(id).await.unwrap();
    assert_eq!(view.message.as_deref(), Some("no such tool here"));
    let next = rig.store.forward(rig.stream(), 10).await.unwrap();
    assert!(next.moved == 0 && next.call_again_ms.is_some(), "{next:?}");
    rig.leaves_jobs();
}

#[tokio::test]
async fn forwards_in_bounded_batches() {
    let mut rig = Rig::new().await;
    for _ in 0..5 {
        let hold = rig.running().await;
        rig.retry(&hold).await;
    }
    let mut moved = Vec::new();
    for _ in 0..4 {
        moved.push(rig.store.forward(rig.stream(), 2).await.unwrap().moved);
    }
    assert_eq!(moved, [2, 2, 1, 0]);
    assert_eq!(rig.queue_length().await, 5);
    rig.leaves_jobs();
}

#[tokio::test]
async fn a_job_that_ends_while_due_is_never_forwarded() {
    let mut rig = Rig::new().await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let hold = rig.running().await;
        rig.retry(&hold).await;
        ids.push(hold.claimed.id);
    }
    rig.expire(ids[0]).await;
    rig.store.cancel(ids[1], &rig.owner, "no").await.unwrap();
    let due = rig.store.keys().due(rig.shard, &rig.tool.queue);
    assert_eq!(
        rig.raw::<usize>("ZCARD", &due).await,
        1,
        "the cancelled one left"
    );
    let one_expired = ForwardReply {
        expired: 1,
        ..NONE_LEFT
    };
    assert_eq!(
        rig.store.forward(rig.stream(), 10).await.unwrap(),
        one_expired
    );
    assert_eq!(
        rig.raw::<usize>("ZCARD", &due).await,
        0,
        "and so did the expired one"
    );
    assert_eq!(rig.queue_length().await, 0);
    assert_eq!(rig.record(ids[0]).await.len(), 0);
}
