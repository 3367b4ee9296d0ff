//! claim and forward, of a tool with a concurrency limit: who gets its slots, and in which order.

use std::time::Duration;

use taskferry_contract::{CancelReply, ClaimReply, RetryReply, Submission, SubmitReply};

use crate::rig::Rig;
use crate::samples::{asking, completed, started, tool};

#[tokio::test]
async fn keeps_a_tool_within_its_concurrency_limit() {
    let mut rig = Rig::new().await;
    rig.tool.concurrency = Some(1);
    let running = rig.running().await;
    let waiting = rig.submit().await;
    let claimed = rig.next().await;
    let reply = rig.claim(&claimed).await;
    assert!(matches!(reply, ClaimReply::Waits(None)), "{reply:?}");
    // Off the stream, in its place, and no attempt used up.
    assert_eq!((rig.queue_length().await, rig.pending().await), (1, 1));
    let places = rig
        .store
        .keys()
        .waiting_jobs(rig.shard, &rig.tool.queue, &rig.tool.name);
    let waits: Vec<String> = rig.raw("ZRANGE", (&places, 0, -1)).await;
    assert_eq!(waits, [waiting.to_string()]);
    assert_eq!(rig.view(waiting).await.unwrap().attempt, 0);
    let overview = rig.store.shard_overview(&rig.queues()).await.unwrap();
    assert_eq!((overview.waiting, overview.due), (1, 0));

    // Another worker may hold the slot past its lease; then the slot is free.
    let looked = rig.store.forward(rig.stream(), 10).await.unwrap();
    assert!(looked.call_again_ms.is_some());
    assert_eq!(rig.queue_length().await, 1, "there is no slot yet");
    let slots = format!("tf:{{0}}:running:{}:{}", rig.tool.queue, rig.tool.name);
    rig.raw::<()>("ZADD", (&slots, 1, running.claimed.id.to_string()))
        .await;
    rig.store.forward(rig.stream(), 10).await.unwrap();
    let (second, _) = rig.start().await;
    assert_eq!(second.claimed.id, waiting);

    rig.finish(&running).await;
    rig.finish(&second).await;
    let looked = rig.store.forward(rig.stream(), 10).await.unwrap();
    assert_eq!(looked.call_again_ms, None);
    let left: usize = rig.raw("ZCARD", &slots).await;
    assert_eq!(left, 0);
}

#[tokio::test]
async fn jobs_that_wait_for_a_slot_get_it_in_their_order_and_count_as_queued() {
    let mut rig = Rig::new().await;
    rig.tool.concurrency = Some(1);
    let mut running = rig.running().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(rig.submit().await);
        let claimed = rig.next().await;
        let reply = rig.claim(&claimed).await;
        assert!(matches!(reply, ClaimReply::Waits(None)), "{reply:?}");
    }
    // The one that runs and the four that wait.
    let sixth = Submission {
        queue_cap: 5,
        ..rig.submission()
    };
    let full = rig.store.submit(&sixth).await.unwrap();
    assert!(
        matches!(full, SubmitReply::QueueFull { length: 5 }),
        "{full:?}"
    );

    // One is cancelled, one expires; who comes meanwhile stays behind the others.
    let cancelled = rig.store.cancel(ids[1], &rig.owner, "no").await.unwrap();
    assert!(matches!(cancelled, CancelReply::Cancelled(_)));
    rig.expire(ids[2]).await;
    rig.finish(&running).await;
    let late = rig.submit().await;
    let first = rig.next().await;
    assert_eq!(
        first.id, ids[0],
        "it is on the stream as soon as there is a slot"
    );
    let early = rig.next().await;
    assert_eq!(early.id, late);
    assert!(matches!(rig.claim(&early).await, ClaimReply::Waits(None)));
    (running, _) = started(first.clone(), &rig.worker, rig.claim(&first).await);
    for expected in [ids[3], late] {
        rig.finish(&running).await;
        (running, _) = rig.start().await;
        assert_eq!(running.claimed.id, expected);
    }
    rig.finish(&running).await;
    rig.store.forward(rig.stream(), 10).await.unwrap();
}

#[tokio::test]
async fn a_forwarder_looks_again_for_slots_within_a_second_and_for_a_due_job_when_it_is_due() {
    let mut rig = Rig::new().await;
    let later = rig.running().await;
    let delay = Duration::from_secs(600);
    let last = completed();
    let retry = rig.store.schedule_retry(&later, delay, "later", &last);
    let RetryReply::Scheduled { due_ms } = retry.await.unwrap() else {
        panic!("not scheduled");
    };
    let next = rig
        .store
        .forward(rig.stream(), 10)
        .await
        .unwrap()
        .call_again_ms;
    assert_eq!(next, Some(due_ms), "nobody waits for a slot");

    let limited = tool("limited");
    let report = std::mem::replace(&mut rig.tool, limited);
    rig.tool.concurrency = Some(1);
    let running = rig.running().await;
    rig.submit().await;
    let claimed = rig.next().await;
    assert!(matches!(rig.claim(&claimed).await, ClaimReply::Waits(None)));
    let before = rig.store.now_ms().await.unwrap();
    let next = rig
        .store
        .forward(rig.stream(), 10)
        .await
        .unwrap()
        .call_again_ms;
    let after = rig.store.now_ms().await.unwrap();
    assert!(
        (before + 1000..=after + 1000).contains(&next.unwrap()),
        "{next:?} between {before} and {after}: a slot whose holder died is freed by nobody"
    );

    // What is due before that is not kept waiting.
    let due = rig.store.keys().due(rig.shard, &rig.tool.queue);
    let soon = after + 300;
    let moved = (due, soon, later.claimed.id.to_string());
    rig.raw::<()>("ZADD", moved).await;
    let next = rig.store.forward(rig.stream(), 10).await.unwrap();
    if next.moved == 0 {
        assert_eq!(next.call_again_ms, Some(soon));
    }
    rig.tool = report;
    rig.finish(&running).await;
    rig.leaves_jobs();
}

#[tokio::test]
async fn every_way_out_of_an_attempt_frees_its_slot() {
    let mut rig = Rig::new().await;
    rig.tool.concurrency = Some(1);
    rig.submit().await;
    let slots = format!("tf:{{0}}:running:{}:{}", rig.tool.queue, rig.tool.name);

    let (hold, _) = rig.start().await;
    rig.store
        .release_after_run(&hold, Duration::ZERO, None)
        .await
        .unwrap();
    let (hold, _) = rig.start().await;
    rig.store
        .schedule_retry(&hold, Duration::ZERO, "later", &completed())
        .await
        .unwrap();
    rig.store.forward(rig.stream(), 10).await.unwrap();
    let (hold, _) = rig.start().await;
    rig.store.ask_input(&hold, &[asking("k")]).await.unwrap();
    rig.store.park(&hold).await.unwrap();
    let left: usize = rig.raw("ZCARD", &slots).await;
    assert_eq!(left, 0, "after release, retry and park");
    let answer = rig
        .store
        .answer_input(rig.question(hold.claimed.id, "k"), "1");
    answer.await.unwrap();
    let (hold, _) = rig.start().await;
    rig.store
        .cancel(hold.claimed.id, &rig.owner, "no")
        .await
        .unwrap();
    let left: usize = rig.raw("ZCARD", &slots).await;
    assert_eq!(left, 0, "after cancel");
}
