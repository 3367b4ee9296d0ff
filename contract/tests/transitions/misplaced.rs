//! A key that somebody else wrote to stops what it is for, and nothing else.

use std::time::Duration;

use taskferry_contract::{ClaimReply, Error, FinishReply, QueueStream, RetryReply, Status};

use crate::rig::Rig;
use crate::samples::{failed, queue, started};

async fn spoil(rig: &mut Rig, key: &str) {
    rig.raw::<i64>("DEL", key).await;
    rig.raw::<()>("SET", (key, "x")).await;
}

async fn mend(rig: &mut Rig, key: &str) {
    rig.raw::<i64>("DEL", key).await;
}

#[tokio::test]
async fn the_error_and_the_survey_name_the_key() {
    let mut rig = Rig::new().await;
    let key = rig.store.keys().queue(rig.shard, &queue("aaa"));
    spoil(&mut rig, &key).await;
    let stream = QueueStream {
        queue: &queue("aaa"),
        ..rig.stream()
    };
    let error = rig.store.ensure_group(stream).await;
    let error = error.unwrap_err();
    assert!(matches!(&error, Error::WrongType { misplaced, .. } if misplaced[0].key == key));
    assert!(error.to_string().contains(&key), "{error}");
    assert!(!error.may_pass());
    let found = rig.store.survey().await.unwrap();
    assert_eq!(found.misplaced.len(), 1);
    assert_eq!(
        (
            found.misplaced[0].holds.as_str(),
            found.misplaced[0].belongs
        ),
        ("string", "stream")
    );
    assert!(found.queues.contains(&rig.tool.queue), "{found:?}");
    let overview = rig.store.queue_overview(&queue("aaa")).await.unwrap();
    assert_eq!(overview.misplaced.unwrap().key, key);
    mend(&mut rig, &key).await;
    assert_eq!(rig.store.survey().await.unwrap().misplaced, []);
    rig.leaves_jobs();
}

#[tokio::test]
async fn a_job_ends_whatever_its_indexes_hold() {
    let mut rig = Rig::new().await;
    let base = rig.store.keys().base(rig.shard);
    let stream = rig.store.keys().queue(rig.shard, &rig.tool.queue);
    let owner = rig.owner.clone();
    let keys = [
        format!("{base}active:{owner}"),
        format!("{base}owned:{owner}"),
        format!("{base}due"),
        format!("{base}dead"),
        stream.clone(),
    ];
    for key in &keys {
        let hold = rig.running().await;
        spoil(&mut rig, key).await;
        assert_eq!(rig.finish(&hold).await, FinishReply::Stored, "{key}");
        assert_eq!(rig.status(hold.claimed.id).await, Some(Status::Completed));
        mend(&mut rig, key).await;
        rig.ensure_group().await;
    }
}

#[tokio::test]
async fn an_expired_job_is_dropped_whatever_holds_the_counts() {
    let mut rig = Rig::new().await;
    let expired = rig.store.keys().expired(rig.shard);
    spoil(&mut rig, &expired).await;
    let id = rig.submit().await;
    rig.expire(id).await;
    let claimed = rig.next().await;
    let reply = rig.claim(&claimed).await;
    assert!(matches!(reply, ClaimReply::Gone(Some(_))), "{reply:?}");
    let overview = rig.store.shard_overview(&rig.queues()).await.unwrap();
    assert!(overview.expired.is_empty());
    mend(&mut rig, &expired).await;
    // A count that is none stops nothing either.
    rig.raw::<()>("HSET", (&expired, "report", "many")).await;
    let id = rig.submit().await;
    rig.expire(id).await;
    let claimed = rig.next().await;
    let reply = rig.claim(&claimed).await;
    assert!(matches!(reply, ClaimReply::Gone(Some(_))), "{reply:?}");
}

#[tokio::test]
async fn a_retry_comes_at_once_where_the_due_cannot_be_used() {
    let mut rig = Rig::new().await;
    let due = rig.store.keys().due(rig.shard, &rig.tool.queue);
    let hold = rig.running().await;
    spoil(&mut rig, &due).await;
    let later = Duration::from_secs(600);
    let last = failed("no");
    let reply = rig.store.schedule_retry(&hold, later, "no", &last);
    assert!(matches!(reply.await.unwrap(), RetryReply::Scheduled { .. }));
    let (next, _) = rig.start().await;
    assert_eq!(next.attempt.0, 2);
    mend(&mut rig, &due).await;
    rig.finish(&next).await;
}

#[tokio::test]
async fn a_due_job_waits_while_its_queue_cannot_be_used_and_holds_up_no_other_queue() {
    let mut rig = Rig::new().await;
    let stream = rig.store.keys().queue(rig.shard, &rig.tool.queue);
    let stuck = rig.running().await;
    rig.store
        .schedule_retry(&stuck, Duration::ZERO, "no", &failed("no"))
        .await
        .unwrap();
    spoil(&mut rig, &stream).await;
    let reply = rig.store.forward(rig.stream(), 100).await.unwrap();
    assert_eq!((reply.moved, reply.misplaced), (0, vec![stream.clone()]));
    let mut other = rig.tool.clone();
    other.queue = queue("other");
    std::mem::swap(&mut rig.tool, &mut other);
    rig.ensure_group().await;
    let hold = rig.running().await;
    rig.store
        .schedule_retry(&hold, Duration::ZERO, "no", &failed("no"))
        .await
        .unwrap();
    let reply = rig.store.forward(rig.stream(), 100).await.unwrap();
    assert_eq!((reply.moved, reply.misplaced), (1, Vec::new()));
    let (next, _) = rig.start().await;
    assert_eq!(next.claimed.id, hold.claimed.id);
    rig.finish(&next).await;
    // Once its queue is one again, the other goes on, too.
    mend(&mut rig, &stream).await;
    std::mem::swap(&mut rig.tool, &mut other);
    rig.ensure_group().await;
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while rig.queue_length().await == 0 {
        assert!(std::time::Instant::now() < until, "it stays away");
        rig.store.forward(rig.stream(), 100).await.unwrap();
    }
    let (next, _) = rig.start().await;
    assert_eq!(next.claimed.id, stuck.claimed.id);
    rig.finish(&next).await;
}

#[tokio::test]
async fn a_call_that_is_refused_for_a_key_has_changed_nothing() {
    let mut rig = Rig::new().await;
    rig.tool.concurrency = Some(1);
    let id = rig.submit().await;
    let claimed = rig.next().await;
    let before = rig.record(id).await;
    let (name, tool) = (rig.tool.queue.clone(), rig.tool.name.clone());
    let running = format!("tf:{{0}}:running:{name}:{tool}");
    // A slot that a job left behind is freed by a claim, and by one that is refused not.
    rig.raw::<()>("ZADD", (&running, 1, "left-behind")).await;
    for key in [
        format!("tf:{{0}}:waiting:{name}:{tool}"),
        format!("tf:{{0}}:waiting:{name}"),
    ] {
        spoil(&mut rig, &key).await;
        let reply = rig
            .store
            .claim(&claimed, &rig.worker, Duration::from_secs(15));
        let error = reply.await.unwrap_err();
        assert!(error.is_wrong_type(), "{error}");
        assert!(error.to_string().contains(&key), "{error}");
        assert_eq!(rig.record(id).await, before, "{key}");
        assert_eq!(rig.raw::<u64>("ZCARD", &running).await, 1, "{key}");
        mend(&mut rig, &key).await;
    }
    let reply = rig.claim(&claimed).await;
    let (hold, _) = started(claimed, &rig.worker, reply);
    rig.finish(&hold).await;

    let homes = "tf:{fleet}:homes";
    let tools = "tf:{fleet}:tools:new";
    spoil(&mut rig, tools).await;
    let mut other = rig.tool.clone();
    other.queue = queue("new");
    let error = rig.store.register_tools(&[other]).await.unwrap_err();
    assert!(error.is_wrong_type(), "{error}");
    assert_eq!(
        rig.raw::<u64>("HEXISTS", (homes, tool.as_str())).await,
        0,
        "half done"
    );
    mend(&mut rig, tools).await;
}
