//! Slots of tools with a concurrency limit, where what happens to several jobs meets.

use std::time::Duration;

use taskferry_contract::{ClaimReply, HeldAttempt, Status, Submission, TaskId, WorkerId};

use crate::rig::Rig;
use crate::samples::{job_in, started};

async fn limited(limit: u32) -> Rig {
    let mut rig = Rig::new().await;
    rig.tool.concurrency = Some(limit);
    rig
}

/// Queues a job that finds no slot.
async fn waiting(rig: &Rig) -> TaskId {
    let id = rig.submit().await;
    let claimed = rig.next().await;
    let reply = rig.claim(&claimed).await;
    assert!(matches!(reply, ClaimReply::Waits(None)), "{reply:?}");
    id
}

/// Lets the lease of a job's slot run out.
async fn lapse_slot(rig: &mut Rig, hold: &HeldAttempt) {
    let slots = format!("tf:{{0}}:running:{}:{}", rig.tool.queue, rig.tool.name);
    let lapsed = (slots, "XX", 1, hold.claimed.id.to_string());
    rig.raw::<()>("ZADD", lapsed).await;
}

fn other() -> WorkerId {
    "w2".parse().unwrap()
}

#[tokio::test]
async fn of_several_slots_each_is_given_and_freed_by_itself() {
    let mut rig = limited(3).await;
    let mut running = Vec::new();
    for _ in 0..3 {
        running.push(rig.running().await);
    }
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(waiting(&rig).await);
    }
    let end = running.pop().unwrap();
    rig.finish(&end).await;
    assert_eq!(rig.queue_length().await, 3, "one came back to the stream");
    // Whoever looks again finds it there.
    for _ in 0..2 {
        rig.store.forward(rig.stream(), 10).await.unwrap();
    }
    assert_eq!(rig.queue_length().await, 3);
    let (first, _) = rig.start().await;
    assert_eq!(first.claimed.id, ids[0]);
    for hold in running {
        rig.finish(&hold).await;
    }
    assert_eq!(rig.queue_length().await, 3, "two more came back");
    for expected in &ids[1..3] {
        let (hold, _) = rig.start().await;
        assert_eq!(hold.claimed.id, *expected);
        rig.finish(&hold).await;
    }
    rig.finish(&first).await;
    let (last, _) = rig.start().await;
    assert_eq!(last.claimed.id, ids[3]);
    rig.finish(&last).await;
    rig.store.forward(rig.stream(), 10).await.unwrap();
}

#[tokio::test]
async fn a_job_whose_worker_died_goes_on_in_its_own_slot() {
    let mut rig = limited(1).await;
    let first = rig.running().await;
    let behind = waiting(&rig).await;
    // Its slot is still its own, since that was not let go.
    let second = rig.crash(&first).await;
    assert_eq!(rig.status(first.claimed.id).await, Some(Status::Working));
    rig.finish(&second).await;
    let (hold, _) = rig.start().await;
    assert_eq!(hold.claimed.id, behind);
    rig.finish(&hold).await;
    rig.store.forward(rig.stream(), 10).await.unwrap();
}

#[tokio::test]
async fn a_crash_counts_though_its_job_has_to_wait_for_a_slot() {
    let mut rig = limited(1).await;
    rig.tool.crash_limit = 2;
    let dead = rig.running().await;
    lapse_slot(&mut rig, &dead).await;
    let holder = rig.running().await;
    rig.lapse(&dead).await;
    let claimed = job_in(rig.reclaim_by(&other()).await);
    let reply = rig.claim_by(&claimed, &other()).await;
    let ClaimReply::Waits(Some(lost)) = reply else {
        panic!("{reply:?}");
    };
    assert_eq!((lost.crashes, lost.attempt), (1, 1));
    assert_eq!(lost.worker, dead.worker.as_str());
    let record = rig.record(dead.claimed.id).await;
    let fields = ["status", "attempt", "crashes", "worker", "entry"];
    assert_eq!(
        fields.map(|name| record[name].as_str()),
        ["queued", "1", "1", "", ""]
    );
    rig.finish(&holder).await;
    let again = rig.next().await;
    let (hold, job) = started(again.clone(), &rig.worker, rig.claim(&again).await);
    assert_eq!((job.attempt.0, job.crashes), (2, 1));
    // With the one before, this is the crash limit.
    rig.lapse(&hold).await;
    let claimed = job_in(rig.reclaim_by(&other()).await);
    let reply = rig.claim_by(&claimed, &other()).await;
    assert!(
        matches!(&reply, ClaimReply::Poison(lost) if lost.crashes == 2),
        "{reply:?}"
    );
    rig.store.forward(rig.stream(), 10).await.unwrap();
}

#[tokio::test]
async fn whoever_finds_no_place_brings_back_those_before_it_for_whom_there_is_one() {
    let mut rig = limited(1).await;
    let gone = rig.running().await;
    let first = waiting(&rig).await;
    // Nobody frees the slot of a job that expired.
    rig.expire(gone.claimed.id).await;
    lapse_slot(&mut rig, &gone).await;
    let second = waiting(&rig).await;
    let (hold, _) = rig.start().await;
    assert_eq!(hold.claimed.id, first, "without a forwarder");
    rig.finish(&hold).await;
    let (hold, _) = rig.start().await;
    assert_eq!(hold.claimed.id, second);
    rig.finish(&hold).await;
    rig.lapse_entry(&gone).await;
    let claimed = job_in(rig.reclaim_by(&other()).await);
    let reply = rig.claim_by(&claimed, &other()).await;
    assert!(matches!(reply, ClaimReply::Gone(_)), "{reply:?}");
    rig.store.forward(rig.stream(), 10).await.unwrap();
}

#[tokio::test]
async fn one_that_expires_while_it_waits_for_a_slot_is_counted_once() {
    let mut rig = limited(1).await;
    let running = rig.running().await;
    // One expires at its place, and one when it has its entry again.
    let first = waiting(&rig).await;
    rig.expire(first).await;
    let second = waiting(&rig).await;
    rig.finish(&running).await;
    let counted = async |rig: &Rig| {
        let all = rig.store.shard_overview(&rig.queues()).await.unwrap();
        all.expired.get("report").copied()
    };
    assert_eq!(counted(&rig).await, Some(1));
    rig.expire(second).await;
    let claimed = rig.next().await;
    assert_eq!(claimed.id, second);
    let reply = rig.claim(&claimed).await;
    assert!(matches!(reply, ClaimReply::Gone(Some(_))), "{reply:?}");
    assert_eq!(counted(&rig).await, Some(2));
    // Met by the forwarder first, and by a worker then.
    let running = rig.running().await;
    let third = waiting(&rig).await;
    rig.finish(&running).await;
    rig.expire(third).await;
    let forwarded = rig.store.forward(rig.stream(), 10).await.unwrap();
    assert_eq!(forwarded.expired, 1);
    let claimed = rig.next().await;
    rig.claim(&claimed).await;
    assert_eq!(counted(&rig).await, Some(3));
}

#[tokio::test]
async fn one_that_expires_while_it_is_due_is_counted_and_one_that_ran_is_not() {
    let mut rig = Rig::new().await;
    let due = rig.running().await;
    let last = crate::samples::failed("no");
    let retry = rig.store.schedule_retry(&due, Duration::ZERO, "no", &last);
    retry.await.unwrap();
    rig.expire(due.claimed.id).await;
    let forwarded = rig.store.forward(rig.stream(), 10).await.unwrap();
    assert_eq!((forwarded.moved, forwarded.expired), (0, 1));
    let ran = rig.running().await;
    rig.expire(ran.claimed.id).await;
    rig.lapse_entry(&ran).await;
    let claimed = job_in(rig.reclaim_by(&other()).await);
    let reply = rig.claim_by(&claimed, &other()).await;
    let ClaimReply::Gone(Some(expired)) = reply else {
        panic!("{reply:?}");
    };
    assert!(expired.begun);
    let all = rig.store.shard_overview(&rig.queues()).await.unwrap();
    assert_eq!(all.expired, [("-".to_owned(), 1)].into());
}

#[tokio::test]
async fn the_slot_of_one_that_expired_is_free_when_its_lease_is_over_and_not_before() {
    let mut rig = limited(1).await;
    let gone = rig.running().await;
    let next = waiting(&rig).await;
    rig.expire(gone.claimed.id).await;
    rig.store.forward(rig.stream(), 10).await.unwrap();
    assert_eq!(rig.queue_length().await, 1, "its handler may still run");
    lapse_slot(&mut rig, &gone).await;
    rig.store.forward(rig.stream(), 10).await.unwrap();
    assert_eq!(rig.queue_length().await, 2);
    let claimed = rig.next().await;
    assert_eq!(claimed.id, next);
    rig.store.cancel(next, &rig.owner, "no").await.unwrap();
    rig.leaves_jobs();
}

#[tokio::test]
async fn a_hundred_that_wait_are_looked_at_together() {
    let mut rig = limited(1).await;
    let places = rig
        .store
        .keys()
        .waiting_jobs(rig.shard, &rig.tool.queue, &rig.tool.name);
    // All of them expired meanwhile.
    for place in 0..250 {
        let id = TaskId::random(rig.shard).to_string();
        rig.raw::<()>("ZADD", (&places, place, id)).await;
    }
    let tool = rig.tool.name.to_string();
    rig.raw::<()>("ZADD", ("tf:{0}:waiting:default", 0, tool))
        .await;
    for left in [150, 50, 0] {
        let looked = rig.store.forward(rig.stream(), 10).await.unwrap();
        assert_eq!(looked.call_again_ms.is_some(), left > 0);
        assert_eq!(rig.raw::<usize>("ZCARD", &places).await, left);
    }
}

#[tokio::test]
async fn an_index_lives_a_second_longer_than_the_longest_of_its_jobs() {
    let mut rig = Rig::new().await;
    let mut latest = 0;
    for seconds in [600, 60, 900] {
        let submission = Submission {
            ttl: Duration::from_secs(seconds),
            ..rig.submission()
        };
        let id = rig.submit_as(submission).await;
        let expires: i64 = rig.raw("PEXPIRETIME", rig.store.keys().record(id)).await;
        latest = latest.max(expires);
        for index in ["active", "owned"] {
            let index = format!("tf:{{0}}:{index}:{}", rig.owner);
            let lives: i64 = rig.raw("PEXPIRETIME", &index).await;
            assert_eq!(lives, latest + 1000, "{index} after {seconds}");
        }
    }
    rig.leaves_jobs();
}
