//! Jobs keep their places among those that wait for a slot of their tool, and their records say what they wait for.

use std::time::Duration;

use taskferry_contract::{Again, ClaimReply, HeldAttempt, Status, TaskId, WaitsFor, WorkerId};

use crate::rig::Rig;
use crate::samples::{asking, job_in, started};

/// Longer than anything a test does.
const LATER: Duration = Duration::from_secs(600);

async fn limited(limit: u32) -> Rig {
    let mut rig = Rig::new().await;
    rig.tool.concurrency = Some(limit);
    rig
}

fn other() -> WorkerId {
    "w2".parse().unwrap()
}

/// Queues a job that finds no slot.
async fn waiting(rig: &Rig) -> TaskId {
    let id = rig.submit().await;
    finds_no_slot(rig, id).await;
    id
}

/// The next entry is the job's, which finds no slot.
async fn finds_no_slot(rig: &Rig, id: TaskId) {
    let claimed = rig.next().await;
    assert_eq!(claimed.id, id);
    let reply = rig.claim(&claimed).await;
    assert!(matches!(reply, ClaimReply::Waits(_)), "{reply:?}");
}

/// Lets the lease of a job's slot run out, so many ms ago.
async fn lapse_slot(rig: &mut Rig, hold: &HeldAttempt, ago_ms: u64) {
    let until = rig.store.now_ms().await.unwrap() - ago_ms;
    let slots = format!("tf:{{0}}:running:{}:{}", rig.tool.queue, rig.tool.name);
    let lapsed = (slots, "XX", until, hold.claimed.id.to_string());
    rig.raw::<()>("ZADD", lapsed).await;
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

async fn waits(rig: &Rig, id: TaskId) -> (WaitsFor, Option<Again>) {
    let view = rig.view(id).await.unwrap();
    assert_eq!(view.status, Status::Queued);
    let waits = view.waits.expect("it says what it waits for");
    assert_eq!(
        waits.since_ms, view.updated_ms,
        "it changed when it began to wait"
    );
    (waits.what, waits.again)
}

#[tokio::test]
async fn a_job_that_lost_its_worker_keeps_its_slot_until_it_is_taken_over() {
    let mut rig = limited(1).await;
    let lost = rig.running().await;
    let behind = waiting(&rig).await;
    lapse_slot(&mut rig, &lost, 1).await;
    rig.store.forward(rig.stream(), 10).await.unwrap();
    assert_eq!(rig.queue_length().await, 1, "nobody gets its slot");
    let late = waiting(&rig).await;
    let again = rig.crash(&lost).await;
    assert_eq!(again.attempt.0, 2);
    rig.finish(&again).await;
    assert_eq!(run_all(&rig, 2).await, [behind, late]);
    rig.store.forward(rig.stream(), 10).await.unwrap();
}

#[tokio::test]
async fn a_slot_whose_job_nobody_takes_over_is_given_away_after_minutes() {
    let mut rig = limited(1).await;
    let lost = rig.running().await;
    let behind = waiting(&rig).await;
    lapse_slot(&mut rig, &lost, 299_000).await;
    rig.store.forward(rig.stream(), 10).await.unwrap();
    assert_eq!(rig.queue_length().await, 1);
    lapse_slot(&mut rig, &lost, 300_001).await;
    rig.store.forward(rig.stream(), 10).await.unwrap();
    let (hold, _) = rig.start().await;
    assert_eq!(hold.claimed.id, behind);
    let last = waiting(&rig).await;
    // It comes back to its place.
    rig.lapse(&lost).await;
    let claimed = job_in(rig.reclaim_by(&other()).await);
    let reply = rig.claim_by(&claimed, &other()).await;
    assert!(matches!(reply, ClaimReply::Waits(_)), "{reply:?}");
    let told = waits(&rig, lost.claimed.id).await;
    assert_eq!(told, (WaitsFor::Slot, Some(Again::Lost)));
    rig.finish(&hold).await;
    assert_eq!(run_all(&rig, 2).await, [lost.claimed.id, last]);
    rig.store.forward(rig.stream(), 10).await.unwrap();
}

#[tokio::test]
async fn a_released_job_gets_its_slot_again_before_those_that_were_queued_after_it() {
    let rig = limited(2).await;
    let (first, second) = (rig.running().await, rig.running().await);
    let behind = waiting(&rig).await;
    rig.submit().await;
    for hold in [&second, &first] {
        let released = rig
            .store
            .release_after_run(hold, Duration::ZERO, None)
            .await;
        released.unwrap();
        let told = waits(&rig, hold.claimed.id).await;
        assert_eq!(told, (WaitsFor::Worker, Some(Again::Released)));
    }
    // The one that is on the stream already, and was queued last, lets them pass.
    let late = rig.next().await;
    assert!(matches!(rig.claim(&late).await, ClaimReply::Waits(_)));
    let (one, two) = (rig.start().await.0, rig.start().await.0);
    let ids = [one.claimed.id, two.claimed.id];
    assert_eq!(ids, [second.claimed.id, first.claimed.id], "both run again");
    rig.finish(&one).await;
    rig.finish(&two).await;
    assert_eq!(run_all(&rig, 2).await, [behind, late.id]);
    rig.store.forward(rig.stream(), 10).await.unwrap();
}

#[tokio::test]
async fn a_job_that_was_away_comes_back_to_its_place() {
    let mut rig = limited(1).await;
    let returned = rig.running().await;
    let id = returned.claimed.id;
    let mut behind = Vec::new();
    for _ in 0..3 {
        behind.push(waiting(&rig).await);
    }
    // Given back by a worker that has another definition of the tool: the next one has the slot meanwhile.
    rig.store
        .release_unrun(&returned, LATER, None)
        .await
        .unwrap();
    assert_eq!(
        waits(&rig, id).await,
        (WaitsFor::Time, Some(Again::Returned))
    );
    let (hold, _) = rig.start().await;
    assert_eq!(hold.claimed.id, behind[0]);
    rig.raw::<()>("ZADD", ("tf:{0}:due:default", "XX", 1, id.to_string()))
        .await;
    rig.store.forward(rig.stream(), 10).await.unwrap();
    assert_eq!(
        waits(&rig, id).await,
        (WaitsFor::Slot, Some(Again::Returned))
    );
    rig.finish(&hold).await;
    let (hold, _) = rig.start().await;
    assert_eq!((hold.claimed.id, hold.attempt.0), (id, 2));
    // So it is after the delay of a retry, and after an answer to a question for which it was parked.
    rig.retry(&hold).await;
    assert_eq!(waits(&rig, id).await, (WaitsFor::Time, Some(Again::Failed)));
    let (other, _) = rig.start().await;
    assert_eq!(other.claimed.id, behind[1]);
    rig.store.forward(rig.stream(), 10).await.unwrap();
    rig.finish(&other).await;
    let (hold, _) = rig.start().await;
    assert_eq!(hold.claimed.id, id);
    rig.store.ask_input(&hold, &[asking("k")]).await.unwrap();
    rig.store.park(&hold).await.unwrap();
    let (other, _) = rig.start().await;
    assert_eq!(other.claimed.id, behind[2]);
    let late = waiting(&rig).await;
    let answer = rig.store.answer_input(rig.question(id, "k"), "1");
    answer.await.unwrap();
    assert_eq!(waits(&rig, id).await, (WaitsFor::Slot, None));
    rig.finish(&other).await;
    assert_eq!(run_all(&rig, 2).await, [id, late]);
    rig.store.forward(rig.stream(), 10).await.unwrap();
}

#[tokio::test]
async fn a_record_says_what_its_job_waits_for_and_since_when() {
    let rig = limited(1).await;
    let first = rig.running().await;
    let second = rig.submit().await;
    let view = rig.view(second).await.unwrap();
    assert_eq!(view.waits, None, "for a worker, since it was created");
    assert_eq!((view.queue.as_str(), view.limit), ("default", Some(1)));
    finds_no_slot(&rig, second).await;
    assert_eq!(waits(&rig, second).await, (WaitsFor::Slot, None));
    let view = rig.view(second).await.unwrap();
    assert_eq!(view.updated_ms, view.created_ms, "it waited before, too");
    rig.finish(&first).await;
    assert_eq!(waits(&rig, second).await, (WaitsFor::Worker, None));
    let (hold, _) = rig.start().await;
    assert!(rig.view(second).await.unwrap().lease_ms.is_some());

    // Of a job that no worker could run, the wait began before all of them.
    let message = Some("nobody knows the tool");
    rig.store
        .release_unrun(&hold, LATER, message)
        .await
        .unwrap();
    let view = rig.view(second).await.unwrap();
    let told = view.waits.unwrap();
    assert_eq!(
        (told.what, told.again),
        (WaitsFor::Time, Some(Again::Returned))
    );
    assert_eq!([told.since_ms, view.updated_ms], [view.created_ms; 2]);
    assert_eq!(view.message.as_deref(), message);
    assert!(told.due_ms.unwrap() >= view.created_ms + 600_000);
    rig.store.cancel(second, &rig.owner, "no").await.unwrap();
}

#[tokio::test]
async fn a_job_that_is_given_back_at_once_by_one_that_took_it_over_waits_since_it_was_lost() {
    let mut rig = Rig::new().await;
    let first = rig.running().await;
    let id = first.claimed.id;
    let again = rig.crash(&first).await;
    rig.store
        .release_unrun(&again, Duration::ZERO, None)
        .await
        .unwrap();
    assert_eq!(waits(&rig, id).await, (WaitsFor::Worker, Some(Again::Lost)));
    // That is when its lease ran out.
    assert_eq!(rig.view(id).await.unwrap().updated_ms, 1);
    let next = rig.next().await;
    let (hold, _) = started(next.clone(), &rig.worker, rig.claim(&next).await);
    rig.finish(&hold).await;
}

#[tokio::test]
async fn places_of_an_earlier_release_go_first() {
    let mut rig = limited(1).await;
    let running = rig.running().await;
    let (early, old) = (waiting(&rig).await, waiting(&rig).await);
    // It numbered them from 1 on.
    let places = rig
        .store
        .keys()
        .waiting_jobs(rig.shard, &rig.tool.queue, &rig.tool.name);
    rig.raw::<()>("ZADD", (&places, "XX", 1, old.to_string()))
        .await;
    rig.finish(&running).await;
    assert_eq!(run_all(&rig, 2).await, [old, early]);
    rig.store.forward(rig.stream(), 10).await.unwrap();
}
