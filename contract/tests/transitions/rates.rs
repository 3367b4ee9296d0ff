//! Tools with a rate: how many attempts begin in a time, and in which order the other jobs follow.

use std::time::Duration;

use taskferry_contract::{
    Again, CancelReply, ClaimReply, Delivery, Pausable, Rate, RateExcess, Status, TaskId, Waits,
    WaitsFor, WorkerId,
};

use crate::rig::{LEASE, Rig};
use crate::samples::{asking, job_in, started};

/// A window that no test outlives.
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
const HOUR_MS: u64 = 3_600_000;

/// A tool of which so many attempts begin in an hour.
pub(crate) async fn rated(count: u32, excess: RateExcess) -> Rig {
    let mut rig = Rig::new().await;
    rig.tool.rate = Some(Rate {
        excess,
        ..Rate::new(count, HOUR)
    });
    rig
}

async fn waits(count: u32) -> Rig {
    rated(count, RateExcess::Wait).await
}

fn begun_key(rig: &Rig) -> String {
    format!("tf:{{0}}:begun:{}:{}", rig.tool.queue, rig.tool.name)
}

/// The beginnings that are kept, the oldest first: attempt and time.
async fn begun(rig: &mut Rig) -> Vec<(String, u64)> {
    let key = begun_key(rig);
    rig.raw("ZRANGE", (key, 0, -1, "WITHSCORES")).await
}

/// Lets every beginning be so much longer ago.
pub(crate) async fn pass(rig: &mut Rig, ms: u64) {
    let key = begun_key(rig);
    for (member, _) in begun(rig).await {
        let ago = format!("-{ms}");
        rig.raw::<f64>("ZINCRBY", (&key, ago, member)).await;
    }
}

async fn told(rig: &Rig, id: TaskId) -> Waits {
    let view = rig.view(id).await.unwrap();
    assert_eq!(view.status, Status::Queued);
    view.waits.expect("it says what it waits for")
}

/// Begins and ends a job.
async fn run(rig: &Rig) -> TaskId {
    let (hold, _) = rig.start().await;
    rig.finish(&hold).await;
    hold.claimed.id
}

async fn forward(rig: &Rig) -> Option<u64> {
    let reply = rig.store.forward(rig.stream(), 10).await.unwrap();
    reply.call_again_ms
}

/// Lets jobs that wait run, so many in each hour: their order.
async fn run_all(rig: &mut Rig, count: usize) -> Vec<TaskId> {
    let mut ran = Vec::new();
    while ran.len() < count {
        pass(rig, HOUR_MS + 1).await;
        forward(rig).await;
        assert!(rig.queue_length().await > 0, "{} of {count}", ran.len());
        while rig.queue_length().await > 0 {
            ran.push(run(rig).await);
        }
    }
    forward(rig).await;
    ran
}

#[tokio::test]
async fn in_no_window_more_attempts_begin_than_the_rate_says() {
    let mut rig = Rig::new().await;
    let window_ms = 1_000;
    rig.tool.rate = Some(Rate::new(3, Duration::from_millis(window_ms)));
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(rig.submit().await);
    }
    let mut ran = Vec::new();
    let mut begun_ms: Vec<u64> = Vec::new();
    while ran.len() < ids.len() {
        while let Some(Delivery::Job(claimed)) = rig.deliveries().await.pop() {
            let reply = rig.claim(&claimed).await;
            if matches!(reply, ClaimReply::Waits(None)) {
                continue;
            }
            let (hold, _) = started(claimed, &rig.worker, reply);
            let record = rig.record(hold.claimed.id).await;
            begun_ms.push(record["started_ms"].parse().unwrap());
            rig.finish(&hold).await;
            ran.push(hold.claimed.id);
        }
        let (at, now) = (forward(&rig).await, rig.store.now_ms().await.unwrap());
        let wait = at.unwrap_or(now).saturating_sub(now);
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
    assert_eq!(ran, ids, "in the order of the calls");
    for (first, fourth) in begun_ms.iter().zip(begun_ms.iter().skip(3)) {
        assert!(fourth - first > window_ms, "{begun_ms:?}");
    }
    assert_eq!(forward(&rig).await, None);
}

#[tokio::test]
async fn a_job_beyond_the_rate_waits_and_says_until_when() {
    let mut rig = waits(2).await;
    let mut running = Vec::new();
    for _ in 0..2 {
        running.push(rig.running().await);
    }
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(rig.waiting().await);
    }
    let view = rig.view(all[0]).await.unwrap();
    assert_eq!((view.rate, view.limit), (rig.tool.rate, None));
    assert_eq!(view.updated_ms, view.created_ms, "it waited before, too");
    let times = begun(&mut rig).await;
    assert_eq!(times.len(), 2);
    let [first, second] = [times[0].1, times[1].1];
    let after = HOUR_MS + 1;
    let turns = [
        first + after,
        second + after,
        first + 2 * after,
        second + 2 * after,
        first + 3 * after,
    ];
    for (id, turn) in all.iter().zip(turns) {
        let told = told(&rig, *id).await;
        assert_eq!((told.what, told.again), (WaitsFor::Rate, None));
        assert_eq!(told.turn_ms, Some(i64::try_from(turn).unwrap()));
        assert_eq!(told.due_ms, None);
    }
    // That those before it end does not matter: they began.
    for hold in running {
        rig.finish(&hold).await;
    }
    assert_eq!(rig.queue_length().await, 0);
    // The key goes when nothing of them counts any more.
    let key = begun_key(&rig);
    let left: u64 = rig.raw("PTTL", &key).await;
    assert!(
        (HOUR_MS - 60_000..=HOUR_MS + 1_000).contains(&left),
        "{left}"
    );
    assert_eq!(run_all(&mut rig, 5).await, all);
}

#[tokio::test]
async fn who_keeps_house_is_told_when_the_next_may_begin() {
    let mut rig = waits(1).await;
    run_first(&rig).await;
    let id = rig.waiting().await;
    let now = rig.store.now_ms().await.unwrap();
    let again = forward(&rig).await.unwrap();
    assert!((now + 1_000..now + 60_000).contains(&again), "in a second");
    assert_eq!(rig.queue_length().await, 0);
    // It leaves its window before that.
    let left = 900;
    let began = begun(&mut rig).await[0].1;
    let now = rig.store.now_ms().await.unwrap();
    pass(&mut rig, began + HOUR_MS - now - left).await;
    assert_eq!(forward(&rig).await, Some(now + left + 1));
    let turn = told(&rig, id).await.turn_ms;
    assert_eq!(turn, Some(i64::try_from(now + left + 1).unwrap()));
    pass(&mut rig, left + 1).await;
    forward(&rig).await;
    assert_eq!(told(&rig, id).await.what, WaitsFor::Worker);
    assert_eq!(told(&rig, id).await.turn_ms, None);
    assert_eq!(run(&rig).await, id);
    assert_eq!(forward(&rig).await, None);
}

async fn run_first(rig: &Rig) -> TaskId {
    rig.submit().await;
    run(rig).await
}

#[tokio::test]
async fn in_the_last_millisecond_of_its_window_a_beginning_counts() {
    let mut rig = waits(1).await;
    let key = begun_key(&rig);
    for _ in 0..40 {
        let id = rig.submit().await;
        let claimed = rig.next().await;
        // The window ends now; the claim comes in the same millisecond, or later.
        let began = rig.store.now_ms().await.unwrap() - HOUR_MS;
        rig.raw::<()>("ZADD", (&key, began, "earlier:1")).await;
        let reply = rig.claim(&claimed).await;
        if matches!(reply, ClaimReply::Waits(None)) {
            rig.raw::<()>("DEL", &key).await;
            forward(&rig).await;
            assert_eq!(run(&rig).await, id);
        } else {
            let (hold, _) = started(claimed, &rig.worker, reply);
            let record = rig.record(id).await;
            let started_ms: u64 = record["started_ms"].parse().unwrap();
            assert!(started_ms - began > HOUR_MS, "after {started_ms} - {began}");
            rig.finish(&hold).await;
        }
        rig.raw::<()>("DEL", &key).await;
    }
    forward(&rig).await;
}

#[tokio::test]
async fn a_retry_counts_and_waits_at_its_place() {
    let mut rig = waits(2).await;
    let first = rig.running().await;
    let second = rig.running().await;
    let behind = rig.waiting().await;
    let id = first.claimed.id;
    rig.retry(&first).await;
    forward(&rig).await;
    assert_eq!(rig.queue_length().await, 1, "only the other one");
    let waits = told(&rig, id).await;
    assert_eq!(
        (waits.what, waits.again),
        (WaitsFor::Rate, Some(Again::Failed))
    );
    assert!(waits.due_ms.is_some() && waits.turn_ms.is_some());
    rig.finish(&second).await;
    assert_eq!(run_all(&mut rig, 2).await, [id, behind]);
    let attempts: Vec<String> = begun(&mut rig)
        .await
        .into_iter()
        .map(|(of, _)| of)
        .collect();
    assert_eq!(attempts, [format!("{id}:2"), format!("{behind}:1")]);
}

#[tokio::test]
async fn a_lost_attempt_counts_and_so_does_the_next() {
    let mut rig = waits(2).await;
    let lost = rig.running().await;
    let id = lost.claimed.id;
    let again = rig.crash(&lost).await;
    assert_eq!(again.attempt.0, 2);
    assert_eq!(begun(&mut rig).await.len(), 2);
    let behind = rig.waiting().await;
    // Whoever takes it over by name finds the rate used up.
    rig.lapse(&again).await;
    let other: WorkerId = "w3".parse().unwrap();
    let claimed = job_in(rig.reclaim_by(&other).await);
    let reply = rig.claim_by(&claimed, &other).await;
    let ClaimReply::Waits(Some(crash)) = reply else {
        panic!("{reply:?}");
    };
    assert_eq!((crash.crashes, crash.attempt), (2, 2));
    let waits = told(&rig, id).await;
    assert_eq!(
        (waits.what, waits.again),
        (WaitsFor::Rate, Some(Again::Lost))
    );
    assert!(waits.turn_ms.is_some());
    assert_eq!(run_all(&mut rig, 2).await, [id, behind]);
}

#[tokio::test]
async fn a_call_that_is_repeated_counts_once() {
    let mut rig = waits(2).await;
    rig.submit().await;
    let claimed = rig.next().await;
    let first = started(claimed.clone(), &rig.worker, rig.claim(&claimed).await).0;
    let again = started(claimed.clone(), &rig.worker, rig.claim(&claimed).await).0;
    assert_eq!(first.attempt, again.attempt);
    assert_eq!(begun(&mut rig).await.len(), 1);
    rig.finish(&first).await;
    run_first(&rig).await;
}

#[tokio::test]
async fn an_attempt_that_was_given_back_counts_if_anything_of_it_ran() {
    let mut rig = waits(1).await;
    let hold = rig.running().await;
    let id = hold.claimed.id;
    rig.store
        .release_unrun(&hold, Duration::ZERO, None)
        .await
        .unwrap();
    assert_eq!(begun(&mut rig).await, []);
    let (hold, _) = rig.start().await;
    assert_eq!((hold.claimed.id, hold.attempt.0), (id, 2));
    rig.store
        .release_after_run(&hold, Duration::ZERO, None)
        .await
        .unwrap();
    assert_eq!(begun(&mut rig).await.len(), 1);
    assert_eq!(rig.queue_length().await, 0);
    let waits = told(&rig, id).await;
    assert_eq!(
        (waits.what, waits.again),
        (WaitsFor::Rate, Some(Again::Released))
    );
    assert_eq!(run_all(&mut rig, 1).await, [id]);
}

#[tokio::test]
async fn one_that_was_parked_takes_its_place_again() {
    let mut rig = waits(1).await;
    let hold = rig.running().await;
    let id = hold.claimed.id;
    let behind = rig.waiting().await;
    rig.store.ask_input(&hold, &[asking("k")]).await.unwrap();
    rig.store.park(&hold).await.unwrap();
    let answer = rig.store.answer_input(rig.question(id, "k"), "1");
    answer.await.unwrap();
    assert_eq!(told(&rig, id).await.what, WaitsFor::Rate);
    assert_eq!(run_all(&mut rig, 2).await, [id, behind]);
}

#[tokio::test]
async fn a_slot_comes_before_the_rate_and_a_pause_before_both() {
    let mut rig = waits(2).await;
    rig.tool.concurrency = Some(1);
    let first = rig.running().await;
    let ids = [rig.waiting().await, rig.waiting().await];
    assert_eq!(told(&rig, ids[0]).await.what, WaitsFor::Slot);
    rig.finish(&first).await;
    let (second, _) = rig.start().await;
    assert_eq!(second.claimed.id, ids[0]);
    // The slot is free, and the rate used up.
    rig.finish(&second).await;
    assert_eq!(rig.queue_length().await, 0);
    assert_eq!(told(&rig, ids[1]).await.what, WaitsFor::Rate);
    let tool = Pausable::Tool(rig.tool.name.clone());
    rig.operator.pause(&tool, "ops", "").await.unwrap();
    let third = rig.waiting().await;
    assert_eq!(told(&rig, third).await.what, WaitsFor::Paused);
    pass(&mut rig, HOUR_MS + 1).await;
    forward(&rig).await;
    assert_eq!(rig.queue_length().await, 0, "it is paused");
    let queues = [rig.tool.queue.clone()];
    rig.operator.resume(&tool, &queues).await.unwrap();
    let (hold, _) = rig.start().await;
    assert_eq!(hold.claimed.id, ids[1]);
    // The rate has room for the other, and the slot is taken.
    let late = rig.waiting().await;
    forward(&rig).await;
    assert_eq!(rig.queue_length().await, 1);
    assert_eq!(told(&rig, late).await.what, WaitsFor::Slot);
    rig.finish(&hold).await;
    assert_eq!(run(&rig).await, third);
    assert_eq!(run_all(&mut rig, 1).await, [late]);
}

#[tokio::test]
async fn one_that_lost_its_worker_needs_no_other_slot_but_room_in_the_rate() {
    let mut rig = waits(1).await;
    rig.tool.concurrency = Some(1);
    let lost = rig.running().await;
    let id = lost.claimed.id;
    rig.lapse(&lost).await;
    let other: WorkerId = "w2".parse().unwrap();
    let claimed = job_in(rig.reclaim_by(&other).await);
    let reply = rig.claim_by(&claimed, &other).await;
    assert!(matches!(reply, ClaimReply::Waits(Some(_))), "{reply:?}");
    assert_eq!(told(&rig, id).await.what, WaitsFor::Rate);
    let running = format!("tf:{{0}}:running:{}:{}", rig.tool.queue, rig.tool.name);
    assert_eq!(rig.raw::<u64>("ZCARD", running).await, 0);
    assert_eq!(run_all(&mut rig, 1).await, [id]);
}

#[tokio::test]
async fn one_that_waits_for_the_rate_can_be_cancelled_and_can_expire() {
    let mut rig = waits(1).await;
    run_first(&rig).await;
    let (cancelled, expired) = (rig.waiting().await, rig.waiting().await);
    let last = rig.waiting().await;
    let reply = rig.store.cancel(cancelled, &rig.owner, "no").await.unwrap();
    assert!(matches!(reply, CancelReply::Cancelled(_)), "{reply:?}");
    rig.expire(expired).await;
    let forwarded = rig.store.forward(rig.stream(), 10).await.unwrap();
    assert_eq!(forwarded.expired, 1);
    // It is the next now, and knows.
    let began = begun(&mut rig).await[0].1;
    let turn = told(&rig, last).await.turn_ms;
    assert_eq!(turn, Some(i64::try_from(began + HOUR_MS + 1).unwrap()));
    assert_eq!(run_all(&mut rig, 1).await, [last]);
}

#[tokio::test]
async fn what_is_called_later_lets_those_pass_that_wait() {
    let mut rig = waits(1).await;
    run_first(&rig).await;
    let first = rig.waiting().await;
    // On the stream before the other comes back.
    let late = rig.submit().await;
    pass(&mut rig, HOUR_MS + 1).await;
    rig.must_wait(late).await;
    assert_eq!(run(&rig).await, first);
    assert_eq!(run_all(&mut rig, 1).await, [late]);
}

#[tokio::test]
async fn a_large_rate_is_used_up_though_a_hundred_come_back_at_once() {
    let mut rig = waits(120).await;
    let tool = Pausable::Tool(rig.tool.name.clone());
    rig.operator.pause(&tool, "ops", "").await.unwrap();
    let mut all = Vec::new();
    for _ in 0..125 {
        all.push(rig.waiting().await);
    }
    let queues = [rig.tool.queue.clone()];
    rig.operator.resume(&tool, &queues).await.unwrap();
    assert_eq!(rig.queue_length().await, 100);
    let mut ran = Vec::new();
    while rig.queue_length().await > 0 {
        ran.push(run(&rig).await);
    }
    assert_eq!(ran, all[..120]);
    assert_eq!(run_all(&mut rig, 5).await, all[120..]);
}

#[tokio::test]
async fn tools_without_a_rate_and_other_tools_have_nothing_to_do_with_it() {
    let mut rig = Rig::new().await;
    let id = run_first(&rig).await;
    assert!(!rig.record(id).await.contains_key("rate"));
    assert_eq!(begun(&mut rig).await, []);
    rig.tool.rate = Some(Rate::new(1, HOUR));
    run_first(&rig).await;
    let waits = rig.waiting().await;
    let other = crate::samples::tool("other");
    let rated = std::mem::replace(&mut rig.tool, other);
    for _ in 0..3 {
        run_first(&rig).await;
    }
    rig.tool = rated;
    assert_eq!(run_all(&mut rig, 1).await, [waits]);
}

#[tokio::test]
async fn a_job_keeps_the_rate_with_which_it_was_called() {
    let mut rig = waits(1).await;
    run_first(&rig).await;
    let waits = rig.waiting().await;
    rig.tool.rate = Some(Rate::new(3, HOUR));
    // It waits behind the other, and has room in its own.
    let late = rig.submit().await;
    assert_eq!(run(&rig).await, late);
    rig.tool.rate = Some(Rate::new(1, HOUR));
    assert_eq!(run_all(&mut rig, 1).await, [waits]);
}

#[tokio::test]
async fn a_key_of_another_type_stops_the_jobs_that_have_the_rate() {
    let mut rig = waits(1).await;
    let key = begun_key(&rig);
    rig.raw::<()>("SET", (&key, "x")).await;
    let id = rig.submit().await;
    let claimed = rig.next().await;
    let before = rig.record(id).await;
    let refused = rig.at_work.claim(&claimed, &rig.worker, LEASE).await;
    let refused = refused.unwrap_err();
    assert!(refused.is_wrong_type(), "{refused}");
    assert!(refused.to_string().contains(&key), "{refused}");
    assert_eq!(rig.record(id).await, before);
    let found = rig.operator.survey().await.unwrap().misplaced;
    assert_eq!(found[0].key, key);
    // One that has none begins.
    let rated = rig.tool.rate.take();
    let (hold, _) = {
        rig.submit().await;
        rig.start().await
    };
    rig.tool.rate = rated;
    rig.raw::<()>("DEL", &key).await;
    let (first, _) = started(claimed.clone(), &rig.worker, rig.claim(&claimed).await);
    let waits = rig.waiting().await;
    rig.raw::<()>("SET", (&key, "x")).await;
    let forwarded = rig.store.forward(rig.stream(), 10).await.unwrap();
    assert_eq!(forwarded.misplaced, std::slice::from_ref(&key));
    for hold in [hold, first] {
        rig.finish(&hold).await;
    }
    assert_eq!(rig.queue_length().await, 0, "it waits");
    rig.raw::<()>("DEL", &key).await;
    forward(&rig).await;
    assert_eq!(run(&rig).await, waits);
    forward(&rig).await;
}

#[tokio::test]
async fn what_is_no_rate_bounds_nothing() {
    let mut rig = waits(1).await;
    run_first(&rig).await;
    for wrong in ["0/5", "5/0", "x", "1/3600000.5", ""] {
        let id = rig.submit().await;
        let record = rig.store.keys().record(id);
        rig.raw::<()>("HSET", (record, "rate", wrong)).await;
        assert_eq!(run(&rig).await, id, "{wrong}");
    }
    assert_eq!(begun(&mut rig).await.len(), 1);
    forward(&rig).await;
}
