//! Pauses of queues and tools: what begins no attempt meanwhile, and how it comes back.

use std::time::Duration;

use taskferry_contract::{
    CancelReply, ClaimReply, Pausable, Paused, Status, TaskId, WaitsFor, WorkerId,
};

use crate::rig::Rig;
use crate::samples::job_in;

fn tool(rig: &Rig) -> Pausable {
    Pausable::Tool(rig.tool.name.clone())
}

fn queue(rig: &Rig) -> Pausable {
    Pausable::Queue(rig.tool.queue.clone())
}

async fn pause(rig: &Rig, what: &Pausable) {
    let reply = rig.operator.pause(what, "alice", "a reason").await.unwrap();
    assert!(matches!(reply, Paused::Now(_)), "{reply:?}");
}

async fn resume(rig: &Rig, what: &Pausable) {
    let queues = [rig.tool.queue.clone()];
    let was = rig.operator.resume(what, &queues).await.unwrap();
    assert_eq!(was.unwrap().reason, "a reason");
}

async fn waits_for(rig: &Rig, id: TaskId) -> WaitsFor {
    let view = rig.view(id).await.unwrap();
    assert_eq!(view.status, Status::Queued);
    view.waits.expect("it says what it waits for").what
}

/// Lets the jobs run one after another: their order.
async fn run_all(rig: &Rig, count: usize) -> Vec<TaskId> {
    let mut ran = Vec::new();
    for _ in 0..count {
        let (hold, _) = rig.start().await;
        rig.finish(&hold).await;
        ran.push(hold.claimed.id);
    }
    ran
}

#[tokio::test]
async fn what_is_paused_begins_nothing_and_what_runs_goes_on() {
    for limit in [None, Some(2)] {
        let mut rig = Rig::new().await;
        rig.tool.concurrency = limit;
        for what in [tool(&rig), queue(&rig)] {
            let running = rig.running().await;
            let queued = rig.submit().await;
            pause(&rig, &what).await;
            rig.must_wait(queued).await;
            assert_eq!(waits_for(&rig, queued).await, WaitsFor::Paused);
            let later = rig.waiting().await;
            // It reports, and ends.
            let renewed = rig.at_work.renew_lease(&running, crate::rig::LEASE).await;
            assert!(matches!(
                renewed.unwrap(),
                taskferry_contract::RenewReply::Renewed(_)
            ));
            rig.finish(&running).await;
            let forwarded = rig.store.forward(rig.stream(), 10).await.unwrap();
            assert!(forwarded.call_again_ms.is_some());
            assert_eq!(rig.queue_length().await, 0, "nothing comes back");
            resume(&rig, &what).await;
            assert_eq!(rig.queue_length().await, 2);
            assert_eq!(waits_for(&rig, later).await, WaitsFor::Worker);
            assert_eq!(run_all(&rig, 2).await, [queued, later]);
            rig.store.forward(rig.stream(), 10).await.unwrap();
        }
    }
}

#[tokio::test]
async fn another_tool_of_the_queue_goes_on() {
    let mut rig = Rig::new().await;
    pause(&rig, &tool(&rig)).await;
    let paused = rig.waiting().await;
    rig.tool = crate::samples::tool("other");
    let other = rig.running().await;
    rig.finish(&other).await;
    rig.tool = crate::samples::tool("report");
    resume(&rig, &tool(&rig)).await;
    assert_eq!(run_all(&rig, 1).await, [paused]);
    rig.store.forward(rig.stream(), 10).await.unwrap();
}

#[tokio::test]
async fn a_job_is_held_up_until_both_its_tool_and_its_queue_are_resumed() {
    let mut rig = Rig::new().await;
    pause(&rig, &tool(&rig)).await;
    pause(&rig, &queue(&rig)).await;
    let id = rig.waiting().await;
    resume(&rig, &tool(&rig)).await;
    assert_eq!(rig.queue_length().await, 0);
    resume(&rig, &queue(&rig)).await;
    assert_eq!(run_all(&rig, 1).await, [id]);
    rig.store.forward(rig.stream(), 10).await.unwrap();
}

#[tokio::test]
async fn what_comes_after_a_pause_waits_behind_what_waited_through_it() {
    let rig = Rig::new().await;
    pause(&rig, &tool(&rig)).await;
    let mut all = vec![rig.waiting().await, rig.waiting().await];
    // Nobody reads these before the end of the pause, so that their entries stand before those that are brought back.
    all.extend([rig.submit().await, rig.submit().await]);
    resume(&rig, &tool(&rig)).await;
    rig.must_wait(all[2]).await;
    rig.must_wait(all[3]).await;
    assert_eq!(run_all(&rig, 4).await, all);
    // Nobody is left to wait for.
    let last = rig.submit().await;
    assert_eq!(run_all(&rig, 1).await, [last]);
    rig.store.forward(rig.stream(), 10).await.unwrap();
}

#[tokio::test]
async fn a_hundred_come_back_at_once_and_another_with_each_that_begins() {
    let mut rig = Rig::new().await;
    pause(&rig, &tool(&rig)).await;
    let mut all = Vec::new();
    for _ in 0..130 {
        all.push(rig.waiting().await);
    }
    resume(&rig, &tool(&rig)).await;
    assert_eq!(rig.queue_length().await, 100);
    assert_eq!(waits_for(&rig, all[99]).await, WaitsFor::Worker);
    assert_eq!(waits_for(&rig, all[100]).await, WaitsFor::Paused);
    let (first, _) = rig.start().await;
    assert_eq!(rig.queue_length().await, 101, "one runs, a hundred wait");
    // One that comes now is behind all of them.
    all.push(rig.submit().await);
    let (second, _) = rig.start().await;
    for hold in [first, second] {
        rig.finish(&hold).await;
    }
    let mut ran = Vec::new();
    while ran.len() < 129 {
        let claimed = rig.next().await;
        match rig.claim(&claimed).await {
            ClaimReply::Started(job) => {
                ran.push(claimed.id);
                let hold = taskferry_contract::HeldAttempt {
                    claimed,
                    attempt: job.attempt,
                    worker: rig.worker.clone(),
                };
                rig.finish(&hold).await;
            }
            reply => assert!(matches!(reply, ClaimReply::Waits(None)), "{reply:?}"),
        }
    }
    assert_eq!(ran, all[2..]);
    rig.store.forward(rig.stream(), 10).await.unwrap();
}

#[tokio::test]
async fn a_retry_a_release_and_a_lost_job_wait_for_the_end_of_the_pause() {
    for limit in [None, Some(3)] {
        let mut rig = Rig::new().await;
        rig.tool.concurrency = limit;
        let retried = rig.running().await;
        let released = rig.running().await;
        let lost = rig.running().await;
        pause(&rig, &tool(&rig)).await;
        let last = crate::samples::failed("no");
        let retry = rig
            .store
            .schedule_retry(&retried, Duration::ZERO, "no", &last);
        retry.await.unwrap();
        let release = rig.store.release_after_run(&released, Duration::ZERO, None);
        release.await.unwrap();
        rig.lapse(&lost).await;
        let other: WorkerId = "w2".parse().unwrap();
        let claimed = job_in(rig.reclaim_by(&other).await);
        let reply = rig.claim_by(&claimed, &other).await;
        let ClaimReply::Waits(Some(crash)) = reply else {
            panic!("{reply:?}");
        };
        assert_eq!(crash.crashes, 1);
        rig.store.forward(rig.stream(), 10).await.unwrap();
        while let Some(taskferry_contract::Delivery::Job(claimed)) = rig.deliveries().await.pop() {
            let reply = rig.claim(&claimed).await;
            assert!(matches!(reply, ClaimReply::Waits(_)), "{reply:?}");
        }
        assert_eq!(rig.queue_length().await, 0);
        resume(&rig, &tool(&rig)).await;
        assert_eq!(rig.queue_length().await, 3);
        run_all(&rig, 3).await;
        rig.store.forward(rig.stream(), 10).await.unwrap();
    }
}

#[tokio::test]
async fn one_that_waits_through_a_pause_can_be_cancelled_and_can_expire() {
    let mut rig = Rig::new().await;
    pause(&rig, &tool(&rig)).await;
    let cancelled = rig.waiting().await;
    let expired = rig.waiting().await;
    let last = rig.waiting().await;
    let reply = rig.store.cancel(cancelled, &rig.owner, "no").await.unwrap();
    assert!(matches!(reply, CancelReply::Cancelled(_)), "{reply:?}");
    rig.expire(expired).await;
    // It is counted though the pause goes on.
    let forwarded = rig.store.forward(rig.stream(), 10).await.unwrap();
    assert_eq!(forwarded.expired, 1);
    resume(&rig, &tool(&rig)).await;
    assert_eq!(run_all(&rig, 1).await, [last]);
    rig.store.forward(rig.stream(), 10).await.unwrap();
}

#[tokio::test]
async fn one_that_is_cancelled_on_its_way_back_gives_its_turn_to_the_next() {
    let mut rig = Rig::new().await;
    pause(&rig, &tool(&rig)).await;
    let mut all = Vec::new();
    for _ in 0..101 {
        all.push(rig.waiting().await);
    }
    resume(&rig, &tool(&rig)).await;
    rig.store.cancel(all[7], &rig.owner, "no").await.unwrap();
    assert_eq!(rig.queue_length().await, 100);
    all.remove(7);
    assert_eq!(run_all(&rig, 100).await, all);
    rig.store.forward(rig.stream(), 10).await.unwrap();
}

#[tokio::test]
async fn of_a_tool_with_a_limit_no_more_come_back_than_have_room() {
    let mut rig = Rig::new().await;
    rig.tool.concurrency = Some(2);
    let running = rig.running().await;
    pause(&rig, &tool(&rig)).await;
    let all = [rig.waiting().await, rig.waiting().await];
    resume(&rig, &tool(&rig)).await;
    assert_eq!(rig.queue_length().await, 2, "one runs, one comes back");
    rig.finish(&running).await;
    assert_eq!(run_all(&rig, 2).await, all);
    rig.store.forward(rig.stream(), 10).await.unwrap();
}

#[tokio::test]
async fn a_pause_says_since_when_by_whom_and_why() {
    let rig = Rig::new().await;
    let (tool, queue) = (tool(&rig), queue(&rig));
    assert!(rig.operator.pauses().await.unwrap().0.is_empty());
    assert_eq!(rig.operator.resume(&tool, &[]).await.unwrap(), None);
    let before = rig.store.now_ms().await.unwrap();
    pause(&rig, &tool).await;
    let Paused::Before(first) = rig.operator.pause(&tool, "bob", "").await.unwrap() else {
        panic!("it was paused");
    };
    assert!(first.since_ms >= before);
    assert_eq!(
        (first.by.as_str(), first.reason.as_str()),
        ("alice", "a reason")
    );
    // A reason replaces the one before, and who gave that.
    let again = rig.operator.pause(&tool, "bob", "another reason").await;
    assert_eq!(again.unwrap(), Paused::Before(first.clone()));
    rig.operator.pause(&queue, "-", "").await.unwrap();
    let all = rig.operator.pauses().await.unwrap();
    let told: Vec<_> = all
        .0
        .iter()
        .map(|it| (it.what.to_string(), it.by.as_str(), it.reason.as_str()))
        .collect();
    let expected = [
        ("queue default".to_owned(), "-", ""),
        ("tool report".to_owned(), "bob", "another reason"),
    ];
    assert_eq!(told, expected);
    assert_eq!(all.of(&tool).unwrap().since_ms, first.since_ms);
    for what in [tool, queue] {
        let was = rig.operator.resume(&what, &[]).await.unwrap();
        assert_eq!(was.unwrap().what, what);
    }
    assert!(rig.operator.pauses().await.unwrap().0.is_empty());
}

#[tokio::test]
async fn a_pause_counts_on_every_shard() {
    let shards = taskferry_contract::Shards::new(3).unwrap();
    let mut rig = Rig::on(taskferry_testing::ServerOptions::default(), shards).await;
    // As a call that broke off leaves it.
    let key = rig.store.keys().paused(shards.all().last().unwrap());
    rig.raw::<()>("HSET", (key, "tool:report", "7 bob before"))
        .await;
    let tool = tool(&rig);
    pause(&rig, &tool).await;
    let again = rig.operator.pause(&tool, "alice", "").await.unwrap();
    assert!(matches!(again, Paused::Before(_)), "{again:?}");
    assert_eq!(rig.operator.pauses().await.unwrap().0.len(), 1);
    let id = rig.waiting().await;
    resume(&rig, &tool).await;
    assert_eq!(run_all(&rig, 1).await, [id]);
    rig.store.forward(rig.stream(), 10).await.unwrap();
}

#[tokio::test]
async fn a_key_of_another_type_pauses_nothing_and_no_pause_is_made_there() {
    let mut rig = Rig::new().await;
    let paused = rig.store.keys().paused(rig.shard);
    rig.raw::<()>("SET", (&paused, "tool:report")).await;
    let (hold, _) = {
        rig.submit().await;
        rig.start().await
    };
    rig.finish(&hold).await;
    assert!(rig.operator.pauses().await.unwrap().0.is_empty());
    for refused in [
        rig.operator
            .pause(&tool(&rig), "alice", "x")
            .await
            .map(|_| ()),
        rig.operator.resume(&tool(&rig), &[]).await.map(|_| ()),
    ] {
        let error = refused.unwrap_err();
        assert!(error.is_wrong_type(), "{error}");
        assert!(error.to_string().contains(&paused), "{error}");
    }
    let found = rig.operator.survey().await.unwrap().misplaced;
    assert_eq!(found[0].key, paused);
    rig.leaves_anything();
}

#[tokio::test]
async fn where_jobs_cannot_wait_none_begins_and_nothing_is_lost() {
    let mut rig = Rig::new().await;
    pause(&rig, &tool(&rig)).await;
    let waiting = rig
        .store
        .keys()
        .waiting_jobs(rig.shard, &rig.tool.queue, &rig.tool.name);
    rig.raw::<()>("SET", (&waiting, "x")).await;
    rig.submit().await;
    let claimed = rig.next().await;
    let refused = rig
        .at_work
        .claim(&claimed, &rig.worker, crate::rig::LEASE)
        .await
        .unwrap_err();
    assert!(refused.is_wrong_type(), "{refused}");
    assert_eq!(rig.queue_length().await, 1);
    rig.raw::<()>("DEL", &waiting).await;
    let reply = rig.claim(&claimed).await;
    assert!(matches!(reply, ClaimReply::Waits(None)), "{reply:?}");
    resume(&rig, &tool(&rig)).await;
    run_all(&rig, 1).await;
    rig.store.forward(rig.stream(), 10).await.unwrap();
}
