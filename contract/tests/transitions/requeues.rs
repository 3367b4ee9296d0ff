//! requeue, and who keeps house: jobs that lost their worker come to whoever reads the stream next.

use std::time::Duration;

use taskferry_contract::{
    ClaimReply, Error, FinishReply, Found, HeldAttempt, HousekeepingReply, Look, Lost, PendingFrom,
    Refused, RequeueReply, Requeued, Status, WaitsFor,
};
use taskferry_testing::eventually;
use tokio_util::sync::CancellationToken;

use crate::rig::{LEASE, Rig, SOON};
use crate::samples::{asking, look_at, worker};

/// Everything that is pending is looked at.
async fn requeue(rig: &Rig) -> RequeueReply {
    let (of, from) = (rig.stream(), PendingFrom::default());
    let reply = rig.store.requeue(of, &from, look_at(100));
    reply.await.unwrap()
}

/// What became of the one job that was found.
async fn requeued(rig: &Rig) -> (String, Found) {
    let mut reply = requeue(rig).await;
    assert_eq!((reply.found.len(), reply.next), (1, None));
    let Requeued { id, what } = reply.found.remove(0);
    (id, what)
}

fn lost(hold: &HeldAttempt, crashes: u64) -> Lost {
    Lost {
        crashes,
        tool: "report".to_owned(),
        attempt: hold.attempt.0,
        worker: hold.worker.to_string(),
    }
}

#[tokio::test]
async fn a_lost_job_comes_to_whoever_reads_next_and_the_lost_attempt_is_refused() {
    let mut rig = Rig::new().await;
    let (first, alive) = (rig.running().await, rig.running().await);
    // However idle its entry is, the lease counts.
    rig.lapse_entry(&alive).await;
    assert_eq!(requeue(&rig).await.found, []);
    rig.lapse(&first).await;
    let id = first.claimed.id;
    let found = requeued(&rig).await;
    assert_eq!(found, (id.to_string(), Found::Queued(lost(&first, 1))));
    assert_eq!(requeue(&rig).await.found, [], "once");
    let view = rig.view(id).await.unwrap();
    let waits = view.waits.unwrap();
    assert_eq!(
        (view.status, waits.what),
        (Status::Queued, WaitsFor::Worker)
    );
    let gone = rig.finish(&first).await;
    assert_eq!(gone, FinishReply::Refused(Refused::LeaseLost));
    let (next, job) = rig.start().await;
    assert_eq!((next.claimed.id, next.attempt.0), (id, 2));
    assert_eq!((job.crashes, job.taken_from), (1, None));
    assert_eq!(rig.finish(&next).await, FinishReply::Stored);
    rig.finish(&alive).await;
}

#[tokio::test]
async fn one_that_waits_for_an_answer_is_lost_with_its_worker_and_keeps_its_questions() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    rig.store.ask_input(&hold, &[asking("k")]).await.unwrap();
    rig.lapse(&hold).await;
    assert!(matches!(requeued(&rig).await.1, Found::Queued(_)));
    let (next, _) = rig.start().await;
    assert_eq!(rig.record(next.claimed.id).await["asked"], "1");
    rig.finish(&next).await;
}

#[tokio::test]
async fn at_the_crash_limit_it_is_a_dead_letter() {
    let mut rig = Rig::new().await;
    rig.tool.crash_limit = 2;
    let first = rig.running().await;
    rig.lapse(&first).await;
    requeued(&rig).await;
    let (second, _) = rig.start().await;
    rig.lapse(&second).await;
    assert_eq!(requeued(&rig).await.1, Found::Poison(lost(&second, 2)));
    let id = second.claimed.id;
    assert_eq!(rig.status(id).await, Some(Status::Failed));
    let letters = rig.dead_letters().await;
    assert_eq!(letters[0]["reason"], "crash limit");
    assert_eq!(rig.record(id).await["crashes"], "2");
    assert_eq!((rig.queue_length().await, rig.pending().await), (0, 0));
}

#[tokio::test]
async fn of_a_tool_with_a_limit_it_comes_before_those_that_were_queued_after_it() {
    let mut rig = Rig::new().await;
    rig.tool.concurrency = Some(1);
    let first = rig.running().await;
    let second = rig.submit().await;
    let claimed = rig.next().await;
    assert!(matches!(rig.claim(&claimed).await, ClaimReply::Waits(None)));
    rig.lapse(&first).await;
    assert!(matches!(requeued(&rig).await.1, Found::Waits(_)));
    // Its slot was given to it again.
    let (next, _) = rig.start().await;
    assert_eq!(next.claimed.id, first.claimed.id);
    rig.finish(&next).await;
    let (last, _) = rig.start().await;
    assert_eq!(last.claimed.id, second);
    rig.finish(&last).await;
}

#[tokio::test]
async fn what_was_delivered_and_not_claimed_is_put_back() {
    let mut rig = Rig::new().await;
    let id = rig.submit().await;
    let claimed = rig.next().await;
    assert_eq!(requeue(&rig).await.found, [], "it may be claimed yet");
    idle(&mut rig, claimed.entry.as_str()).await;
    assert!(matches!(requeued(&rig).await.1, Found::Unclaimed { .. }));
    assert!(matches!(rig.claim(&claimed).await, ClaimReply::Stale));
    let (hold, job) = rig.start().await;
    assert_eq!((hold.claimed.id, hold.attempt.0, job.crashes), (id, 1, 0));
    rig.finish(&hold).await;
}

/// Makes an entry look as if it was delivered long ago.
async fn idle(rig: &mut Rig, entry: &str) {
    let queue = rig.store.keys().queue(rig.shard, &rig.tool.queue);
    let idle = (
        queue, "workers", "w1", 0, entry, "IDLE", 3_600_000, "JUSTID",
    );
    rig.raw::<Vec<String>>("XCLAIM", idle).await;
}

#[tokio::test]
async fn what_stands_for_no_job_is_dropped_and_what_cannot_be_read_is_read_again() {
    let mut rig = Rig::new().await;
    let expired = rig.submit().await;
    let entry = rig.next().await.entry;
    rig.expire(expired).await;
    idle(&mut rig, entry.as_str()).await;
    assert!(matches!(requeued(&rig).await.1, Found::Expired { .. }));
    assert_eq!((rig.queue_length().await, rig.pending().await), (0, 0));

    // An entry that was deleted while it was pending.
    let queue = rig.store.keys().queue(rig.shard, &rig.tool.queue);
    let entry: String = rig.raw("XADD", (&queue, "*", "hello", "world")).await;
    rig.deliveries().await;
    rig.raw::<i64>("XDEL", (&queue, &entry)).await;
    idle(&mut rig, &entry).await;
    assert_eq!(requeue(&rig).await.found, []);
    assert_eq!(rig.pending().await, 0);

    let entry: String = rig.raw("XADD", (&queue, "*", "hello", "world")).await;
    rig.deliveries().await;
    idle(&mut rig, &entry).await;
    assert_eq!(requeue(&rig).await.found, []);
    let again = rig.deliveries().await;
    let [taskferry_contract::Delivery::Unreadable(found)] = &again[..] else {
        panic!("{again:?}");
    };
    rig.store.dead_letter(found, "unreadable").await.unwrap();

    let hold = rig.running().await;
    let record = rig.store.keys().record(hold.claimed.id);
    rig.raw::<()>("HSET", (&record, "crashes", "many")).await;
    rig.lapse(&hold).await;
    assert_eq!(requeue(&rig).await.found, []);
    let again = rig.next().await;
    let claim = rig.store.claim(&again, &rig.worker, LEASE).await;
    assert!(matches!(claim, Err(Error::Malformed { .. })), "{claim:?}");
    rig.raw::<()>("HSET", (&record, "crashes", "0")).await;
    rig.store
        .cancel(hold.claimed.id, &rig.owner, "no")
        .await
        .unwrap();
}

#[tokio::test]
async fn many_are_looked_at_in_parts() {
    let mut rig = Rig::new().await;
    for _ in 0..5 {
        let hold = rig.running().await;
        rig.lapse(&hold).await;
    }
    let (mut from, mut parts) = (Some(PendingFrom::default()), Vec::new());
    while let Some(after) = from {
        let part = rig.store.requeue(rig.stream(), &after, look_at(2));
        let part = part.await.unwrap();
        parts.push(part.found.len());
        from = part.next;
    }
    assert_eq!(parts, [2, 2, 1]);
    rig.leaves_jobs();
}

#[tokio::test]
async fn one_keeps_house_until_it_says_so_no_more() {
    let mut rig = Rig::new().await;
    let store = rig.store.clone();
    let post = (rig.shard, None);
    let valid = Duration::from_millis(300);
    let hold = async |who: &str, processes| {
        let held = store.hold_housekeeping(post, who, valid, processes).await;
        held.unwrap()
    };
    let held_at_once = HousekeepingReply::Held {
        unheld: Duration::ZERO,
    };
    assert_eq!(hold("f1", 7).await, held_at_once);
    let HousekeepingReply::Taken {
        left, processes, ..
    } = hold("w1", 1).await
    else {
        panic!("two keep house");
    };
    assert!(left <= valid && processes == 7, "{left:?} {processes}");
    let queue = rig.tool.queue.clone();
    let of_a_queue = (rig.shard, Some(&queue));
    let other = store.hold_housekeeping(of_a_queue, "w1", valid, 1).await;
    assert_eq!(other.unwrap(), held_at_once, "another post");
    assert_eq!(hold("f1", 7).await, held_at_once, "again");
    // It falls silent.
    eventually(SOON, "another takes it", async || {
        matches!(hold("w1", 1).await, HousekeepingReply::Held { .. })
    })
    .await;
    store.drop_housekeeping(post, "f1").await.unwrap();
    assert!(matches!(
        hold("f1", 1).await,
        HousekeepingReply::Taken { .. }
    ));
    store.drop_housekeeping(post, "w1").await.unwrap();
    assert!(matches!(
        hold("f1", 1).await,
        HousekeepingReply::Held { .. }
    ));
    // The next one sees for how long nobody did.
    let key = store.keys().housekeeper(rig.shard, None);
    rig.raw::<()>("SET", (&key, "f0 1000 1", "EX", 60)).await;
    let HousekeepingReply::Held { unheld } = hold("f1", 1).await else {
        panic!("nobody keeps house");
    };
    assert!(unheld > LEASE, "{unheld:?}");
    rig.raw::<()>("SET", (&key, "nonsense", "EX", 60)).await;
    assert_eq!(hold("f1", 1).await, held_at_once);
}

#[tokio::test]
async fn the_first_two_that_ask_are_deputies_until_they_ask_no_more() {
    let mut rig = Rig::new().await;
    let store = rig.store.clone();
    let (post, valid) = ((rig.shard, None), Duration::from_secs(60));
    let hold = async |who: &str| {
        let held = store.hold_housekeeping(post, who, valid, 5).await;
        held.unwrap()
    };
    let is_deputy = async |who: &str| match hold(who).await {
        HousekeepingReply::Taken { is_deputy, .. } => is_deputy,
        held @ HousekeepingReply::Held { .. } => panic!("{held:?}"),
    };
    hold("f1").await;
    assert!(is_deputy("w1").await && is_deputy("w2").await);
    assert!(!is_deputy("w3").await);
    assert!(is_deputy("w1").await, "it stays one");
    hold("f1").await;
    assert!(!is_deputy("w3").await, "the holder leaves them as they are");

    // One of them fell silent.
    let key = store.keys().housekeeper(rig.shard, None);
    let stored: String = rig.raw("GET", &key).await;
    let words: Vec<&str> = stored.split(' ').collect();
    let [holder, until, count, first, _, second, asked] = words[..] else {
        panic!("{stored}");
    };
    assert_eq!([holder, count, first, second], ["f1", "5", "w2", "w1"]);
    let long_ago = asked.parse::<u64>().unwrap() - 3_000;
    let stored = format!("f1 {until} 5 w2 {long_ago} w1 {asked}");
    rig.raw::<()>("SET", (&key, stored, "EX", 60)).await;
    assert!(is_deputy("w3").await);
    assert!(!is_deputy("w2").await, "another took its place");
    let left_ms: i64 = rig.raw("PTTL", &key).await;
    assert!((1..=60_000).contains(&left_ms), "{left_ms}");

    // Whoever takes the post is no deputy.
    store.drop_housekeeping(post, "f1").await.unwrap();
    assert!(matches!(hold("w1").await, HousekeepingReply::Held { .. }));
    assert!(is_deputy("w3").await && is_deputy("w2").await);
    rig.raw::<()>("DEL", &key).await;
    rig.raw::<()>("LPUSH", (&key, "something else")).await;
    assert!(matches!(hold("w2").await, HousekeepingReply::Held { .. }));
}

#[tokio::test]
async fn whether_any_worker_has_a_job_is_told() {
    let rig = Rig::new().await;
    assert!(requeue(&rig).await.is_idle);
    let hold = rig.running().await;
    let reply = requeue(&rig).await;
    assert!(!reply.is_idle && reply.found.is_empty());
    rig.finish(&hold).await;
    let waits = rig.submit().await;
    assert!(requeue(&rig).await.is_idle, "nobody has it");
    rig.store.cancel(waits, &rig.owner, "no").await.unwrap();
}

#[tokio::test]
async fn only_queues_where_something_is_due_or_waits_for_a_slot_or_a_turn_are_looked_at() {
    let mut rig = Rig::new().await;
    let (own, other) = (rig.tool.queue.clone(), "other".parse().unwrap());
    let both = [own.clone(), other];
    let (store, shard) = (rig.store.clone(), rig.shard);
    let waits = async |queues: &[_]| store.queues_that_wait(shard, queues).await.unwrap();
    assert_eq!(waits(&both).await, []);
    assert_eq!(waits(&both[..1]).await, []);
    assert_eq!(waits(&[]).await, []);
    let hold = rig.running().await;
    assert_eq!(waits(&both).await, [], "it runs");
    rig.retry(&hold).await;
    assert_eq!(waits(&both).await, both[..1], "it is due");
    assert_eq!(waits(&both[..1]).await, both[..1]);
    let id = hold.claimed.id;
    rig.store.cancel(id, &rig.owner, "no").await.unwrap();
    assert_eq!(waits(&both).await, []);
    let waiting = store.keys().tools_with_waiting_jobs(shard, &own);
    rig.raw::<()>("ZADD", (&waiting, 0, "report")).await;
    assert_eq!(waits(&both).await, both[..1], "a tool has jobs that wait");
    rig.raw::<()>("DEL", waiting).await;
    let lines = store.keys().lines(shard, &own);
    rig.raw::<()>("ZADD", (lines, 0, "report:key:alice")).await;
    assert_eq!(waits(&both).await, both[..1], "a caller has a line");
    rig.leaves_anything();
}

#[tokio::test]
async fn of_a_worker_that_is_gone_the_lease_is_not_waited_for() {
    let mut rig = Rig::new().await;
    let gone = rig.running().await;
    let renewed = rig.running().await;
    rig.tool.attempts = 1;
    let once = rig.running().await;
    rig.tool.attempts = 3;
    for hold in [&gone, &once] {
        idle(&mut rig, hold.claimed.entry.as_str()).await;
    }
    let silent = [rig.worker.clone()];
    let look = Look {
        silent: &silent,
        ..look_at(100)
    };
    let from = PendingFrom::default();
    let reply = rig.store.requeue(rig.stream(), &from, look).await.unwrap();
    let found: Vec<_> = reply.found.into_iter().map(|found| found.id).collect();
    assert_eq!(found, [gone.claimed.id.to_string()]);
    let now_ms = i64::try_from(rig.store.now_ms().await.unwrap()).unwrap();
    let waits = rig.view(gone.claimed.id).await.unwrap().waits.unwrap();
    assert!(
        waits.since_ms <= now_ms,
        "since now, not the end of its lease"
    );
    let (next, job) = rig.start().await;
    assert_eq!((next.attempt.0, job.crashes), (2, 1));
    for hold in [&next, &renewed, &once] {
        assert_eq!(rig.finish(hold).await, FinishReply::Stored);
    }
}

#[tokio::test]
async fn a_worker_without_its_subscription_is_absent() {
    let rig = Rig::new().await;
    let (here, away) = (worker("w1"), worker("w2"));
    for of in [&here, &away] {
        rig.at_work.beat(of, &[]).await.unwrap();
    }
    let bell = rig.at_work.worker_bell(&here.id);
    let (stop, heard) = (CancellationToken::new(), CancellationToken::new());
    assert!(!bell.is_heard());
    let listen = bell.listen(&stop, |_| heard.cancel());
    let look = async {
        heard.cancelled().await;
        assert!(bell.is_heard());
        let seen = rig.store.listeners(rig.shard).await.unwrap();
        assert_eq!(seen.present, std::slice::from_ref(&here.id));
        assert_eq!(seen.absent, std::slice::from_ref(&away.id));
        assert_eq!(seen.run_id.len(), 40, "{seen:?}");
        stop.cancel();
    };
    tokio::join!(listen, look);
    assert!(!bell.is_heard());
    let rig_sees = || rig.store.listeners(rig.shard);
    eventually(SOON, "it is absent too", async || {
        rig_sees().await.unwrap().absent.len() == 2
    })
    .await;
    assert!(rig.store.listens(&here.id).await.unwrap());
    assert!(!rig.store.listens(&"w3".parse().unwrap()).await.unwrap());
}
