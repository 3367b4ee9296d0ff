//! reclaim, `dead_letter` and reading: entries of silent workers, entries nobody can read, and what is rebuilt when
//! Redis lost something.

use std::time::Duration;

use taskferry_contract::{
    Delivery, FinishReply, QueueStream, Refused, RenewReply, Status, StreamReader, WorkerId,
};
use taskferry_testing::eventually_some;

use crate::rig::{LEASE, Rig, SOON};
use crate::samples::{completed, job_in};

fn other() -> WorkerId {
    "w2".parse().unwrap()
}

#[tokio::test]
async fn leaves_entries_of_workers_that_are_heard_of() {
    let mut rig = Rig::new().await;
    let silent = rig.running().await;
    let heard = rig.running().await;
    rig.lapse(&silent).await;
    let reclaimed = rig.reclaim_by(&other()).await;
    assert_eq!(job_in(reclaimed).entry, silent.claimed.entry);
    assert_eq!(rig.reclaim_by(&other()).await, [], "it is idle no more");
    rig.finish(&silent).await;
    rig.finish(&heard).await;
}

#[tokio::test]
async fn reclaims_at_most_what_was_asked_for() {
    let mut rig = Rig::new().await;
    for _ in 0..5 {
        let hold = rig.running().await;
        rig.lapse(&hold).await;
    }
    let from = rig.stream();
    let (two, all) = (
        rig.store.reclaim(&other(), from, LEASE, 2).await.unwrap(),
        rig.store.reclaim(&other(), from, LEASE, 100).await.unwrap(),
    );
    assert_eq!((two.len(), all.len()), (2, 3));
    rig.leaves_jobs();
}

#[tokio::test]
async fn a_lease_of_milliseconds_runs_out_by_itself() {
    let mut rig = Rig::new().await;
    rig.submit().await;
    let claimed = rig.next().await;
    let short = Duration::from_millis(20);
    rig.store.claim(&claimed, &rig.worker, short).await.unwrap();
    let from = rig.stream();
    let second = eventually_some(SOON, "the next attempt starts", async || {
        let reclaimed = rig.store.reclaim(&other(), from, short, 10).await.unwrap();
        let Some(Delivery::Job(claimed)) = reclaimed.into_iter().next() else {
            return None;
        };
        match rig.store.claim(&claimed, &other(), LEASE).await.unwrap() {
            taskferry_contract::ClaimReply::Started(job) => Some(job),
            taskferry_contract::ClaimReply::Busy { .. } => None,
            reply => panic!("{reply:?}"),
        }
    })
    .await;
    assert_eq!((second.attempt.0, second.crashes), (2, 1));
    rig.store
        .cancel(second.id, &rig.owner, "enough")
        .await
        .unwrap();
    rig.pending().await;
}

#[tokio::test]
async fn buries_an_entry_that_cannot_be_read_and_goes_on() {
    let mut rig = Rig::new().await;
    let queue = rig.store.keys().queue(rig.shard, &rig.tool.queue);
    rig.raw::<String>("XADD", (&queue, "*", "hello", "world"))
        .await;
    rig.raw::<String>("XADD", (&queue, "*", "id", "7-nonsense", "tool", "x"))
        .await;
    let elsewhere = "5-00000000-0000-4000-8000-000000000000";
    rig.raw::<String>("XADD", (&queue, "*", "id", elsewhere, "tool", "report"))
        .await;
    rig.submit().await;

    let mut jobs = Vec::new();
    let mut found = Vec::new();
    loop {
        match rig.deliveries().await.pop() {
            None => break,
            Some(Delivery::Job(claimed)) => jobs.push(claimed),
            Some(Delivery::Unreadable(entry)) => {
                // Twice: the second finds nothing to bury.
                for _ in 0..2 {
                    let bury = rig.store.dead_letter(&entry, "unreadable");
                    bury.await.unwrap();
                }
                found.push((entry.id, entry.tool));
            }
        }
    }
    assert_eq!(jobs.len(), 1);
    let expected = [("", ""), ("7-nonsense", "x"), (elsewhere, "report")];
    assert_eq!(
        found,
        expected.map(|(id, tool)| (id.to_owned(), tool.to_owned()))
    );
    let dead = rig.dead_letters().await;
    assert_eq!(dead.len(), 3);
    assert!(
        dead.iter().all(|letter| letter["reason"] == "unreadable"),
        "{dead:?}"
    );

    let reply = rig.claim(&jobs[0]).await;
    let (hold, _) = crate::samples::started(jobs.remove(0), &rig.worker, reply);
    rig.finish(&hold).await;
}

#[tokio::test]
async fn a_reclaimed_entry_that_cannot_be_read_is_told_as_such() {
    let mut rig = Rig::new().await;
    let queue = rig.store.keys().queue(rig.shard, &rig.tool.queue);
    let entry: String = rig.raw("XADD", (&queue, "*", "hello", "world")).await;
    rig.deliveries().await;
    let idle = (
        &queue, "workers", "w1", 0, &entry, "IDLE", 3_600_000, "JUSTID",
    );
    rig.raw::<Vec<String>>("XCLAIM", idle).await;
    let reclaimed = rig.reclaim_by(&other()).await;
    let [Delivery::Unreadable(found)] = &reclaimed[..] else {
        panic!("{reclaimed:?}");
    };
    rig.store.dead_letter(found, "unreadable").await.unwrap();
}

#[tokio::test]
async fn entries_deleted_behind_our_back_leave_the_pending_list() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    let lost = rig.running().await;
    let queue = rig.store.keys().queue(rig.shard, &rig.tool.queue);
    rig.lapse(&lost).await;
    rig.raw::<i64>("XDEL", (&queue, lost.claimed.entry.as_str()))
        .await;
    assert_eq!(rig.reclaim_by(&other()).await, []);
    assert_eq!(rig.pending().await, 1);

    rig.raw::<i64>("XDEL", (&queue, hold.claimed.entry.as_str()))
        .await;
    let source = StreamReader {
        worker: &rig.worker,
        shard: rig.shard,
        queues: std::slice::from_ref(&rig.tool.queue),
    };
    let pending = rig.store.read_pending(source, 10).await.unwrap();
    let [Delivery::Unreadable(found)] = &pending[..] else {
        panic!("{pending:?}");
    };
    assert_eq!(found.entry, hold.claimed.entry);
    assert_eq!(rig.finish(&hold).await, FinishReply::Stored);
    assert_eq!(rig.pending().await, 0);
    rig.leaves_anything();
}

#[tokio::test]
async fn reads_its_own_pending_entries_again() {
    let rig = Rig::new().await;
    rig.submit().await;
    let claimed = rig.next().await;
    let source = StreamReader {
        worker: &rig.worker,
        shard: rig.shard,
        queues: std::slice::from_ref(&rig.tool.queue),
    };
    let pending = rig.store.read_pending(source, 10).await.unwrap();
    assert_eq!(job_in(pending).entry, claimed.entry);
    let someone = StreamReader {
        worker: &other(),
        ..source
    };
    assert_eq!(rig.store.read_pending(someone, 10).await.unwrap(), []);
    let reply = rig.claim(&claimed).await;
    let (hold, _) = crate::samples::started(claimed, &rig.worker, reply);
    rig.finish(&hold).await;
}

#[tokio::test]
async fn reads_several_queues_and_can_be_woken() {
    let mut rig = Rig::new().await;
    let queues = ["default", "slow"].map(crate::samples::queue);
    let other = QueueStream {
        queue: &queues[1],
        ..rig.stream()
    };
    rig.store.ensure_group(other).await.unwrap();
    rig.submit().await;
    rig.tool.queue = queues[1].clone();
    rig.submit().await;
    let mut connection = rig.store.connections().blocking().await.unwrap();
    let worker = rig.worker.clone();
    let source = StreamReader {
        worker: &worker,
        shard: rig.shard,
        queues: &queues,
    };
    let block = Some(Duration::from_secs(60));
    let read = rig
        .store
        .read_new(&mut connection, source, 5, block)
        .await
        .unwrap();
    let from: Vec<_> = read
        .into_iter()
        .map(|delivery| match delivery {
            Delivery::Job(claimed) => claimed.queue,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(from, queues);

    // A read that blocks returns empty-handed when it is told to.
    let client_id = connection.client_id();
    let (store, connections) = (rig.store.clone(), rig.store.connections().clone());
    let (read, ()) = tokio::join!(store.read_new(&mut connection, source, 5, block), async {
        rig.until_blocked(client_id).await;
        connections.unblock(client_id).await.unwrap();
    });
    assert_eq!(read.unwrap(), []);
    rig.leaves_jobs();
}

#[tokio::test]
async fn everything_comes_back_after_redis_lost_its_data() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    rig.raw::<()>("FLUSHALL", "SYNC").await;
    rig.raw::<()>("SCRIPT", "FLUSH").await;
    let renewed = rig.store.renew_lease(&hold, LEASE).await.unwrap();
    assert_eq!(renewed, RenewReply::Refused(Refused::Gone));
    assert_eq!(rig.finish(&hold).await, FinishReply::Refused(Refused::Gone));

    let id = rig.submit().await;
    let mut connection = rig.store.connections().blocking().await.unwrap();
    let worker = rig.worker.clone();
    let source = StreamReader {
        worker: &worker,
        shard: rig.shard,
        queues: std::slice::from_ref(&rig.tool.queue),
    };
    let error = rig
        .store
        .read_new(&mut connection, source, 1, None)
        .await
        .unwrap_err();
    assert!(error.is_no_group() && error.is_transient(), "{error}");
    let error = rig.store.read_pending(source, 1).await.unwrap_err();
    assert!(error.is_no_group(), "{error}");
    let from = rig.stream();
    let error = rig
        .store
        .reclaim(&other(), from, LEASE, 1)
        .await
        .unwrap_err();
    assert!(error.is_no_group() && error.is_transient(), "{error}");

    // Twice: the second finds it there.
    rig.ensure_group().await;
    rig.ensure_group().await;
    let (hold, job) = rig.start().await;
    assert_eq!(job.id, id, "queued before the group was made again");
    rig.store.finish(&hold, &completed()).await.unwrap();
    assert_eq!(rig.status(id).await, Some(Status::Completed));
}

#[tokio::test]
async fn a_blocked_read_learns_that_its_stream_is_gone() {
    let rig = Rig::new().await;
    let mut connection = rig.store.connections().blocking().await.unwrap();
    let client_id = connection.client_id();
    let source = StreamReader {
        worker: &rig.worker,
        shard: rig.shard,
        queues: std::slice::from_ref(&rig.tool.queue),
    };
    let block = Some(Duration::from_secs(60));
    let (read, ()) = tokio::join!(
        rig.store.read_new(&mut connection, source, 1, block),
        async {
            rig.until_blocked(client_id).await;
            let flush = redis::cmd("FLUSHALL");
            flush
                .query_async::<()>(&mut rig.redis.clone())
                .await
                .unwrap();
        }
    );
    let error = read.unwrap_err();
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn scripts_that_redis_forgot_are_loaded_again() {
    let mut rig = Rig::new().await;
    rig.store.ready().await.unwrap();
    rig.raw::<()>("SCRIPT", "FLUSH").await;
    let hold = rig.running().await;
    rig.raw::<()>("SCRIPT", "FLUSH").await;
    assert_eq!(rig.finish(&hold).await, FinishReply::Stored);
    rig.raw::<()>("SCRIPT", "FLUSH").await;
    rig.store.ready().await.unwrap();
    rig.store.ready().await.unwrap();
}
