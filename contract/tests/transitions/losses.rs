//! What a server that is killed under load loses of what it accepted, at each level of durability.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use taskferry_contract::{RedisSettings, Replication, Shards, Store, TaskId};
use taskferry_testing::{AppendOnly, ServerOptions, TestServer, eventually};

use crate::rig::{Rig, SOON};
use crate::samples::patient;

/// How many submit at once.
const CLIENTS: usize = 16;
/// How many must have been accepted before the server is killed, while more are under way.
const LOAD: usize = 4000;
/// How long that may take.
const LOADED: Duration = Duration::from_secs(60);
/// What the replicated level waits for.
const ONE: Replication = Replication {
    replicas: 1,
    timeout: Duration::from_secs(1),
};

/// What became of the tasks that were accepted.
struct Fates {
    accepted: usize,
    /// How long before the kill each lost one was accepted.
    lost: Vec<Duration>,
}

/// Submits to the server of `rig` until it dies: `kill` is called once there is load. The accepted tasks, each with when
/// it was, and when the server was killed.
async fn load(
    rig: &Rig,
    (level, url): (&str, &str),
    replication: Option<Replication>,
    kill: impl FnOnce(),
) -> (Vec<(TaskId, Instant)>, Instant) {
    let mut settings = RedisSettings::new(url);
    settings.response_timeout = Duration::from_secs(1);
    let store = Store::new(&settings).unwrap().with_replication(replication);
    let (over, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let begun = Instant::now();
    let client = async || {
        let mut accepted = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let submission = rig.submission();
            if store.submit(&submission).await.is_ok() {
                accepted.push((submission.id, Instant::now()));
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        accepted
    };
    let killing = async {
        eventually(LOADED, "there is load", async || {
            count.load(Ordering::Relaxed) >= LOAD
        })
        .await;
        let rate = count.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
        eprintln!("{level}: {rate:.0} tasks a second by {CLIENTS} clients");
        let at = Instant::now();
        kill();
        over.store(true, Ordering::Relaxed);
        at
    };
    let (accepted, killed) = tokio::join!(join_all((0..CLIENTS).map(|_| client())), killing);
    (accepted.into_iter().flatten().collect(), killed)
}

/// Looks for what was accepted at the server that is there after the kill.
async fn fates(level: &str, url: &str, load: (Vec<(TaskId, Instant)>, Instant)) -> Fates {
    let store = Store::new(&patient(url)).unwrap();
    eventually(SOON, "the store works again", async || {
        store.now_ms().await.is_ok()
    })
    .await;
    let (accepted, killed) = load;
    let mut fates = Fates {
        accepted: accepted.len(),
        lost: Vec::new(),
    };
    for (id, at) in accepted {
        if store.view(id).await.unwrap().is_none() {
            fates.lost.push(killed.saturating_duration_since(at));
        }
    }
    let (accepted, lost) = (fates.accepted, fates.lost.len());
    eprintln!("{level}: {accepted} accepted, {lost} lost");
    fates
}

/// Kills a server under load and starts it again.
async fn restarted(level: &str, append_only: AppendOnly) -> Fates {
    let options = ServerOptions {
        append_only,
        ..ServerOptions::default()
    };
    let mut rig = Rig::on(options, Shards::default()).await;
    let mut server = rig.move_to(TestServer::start().await).await;
    let url = server.url();
    let load = load(&rig, (level, &url), None, || server.kill9()).await;
    server.restart().await;
    fates(level, &server.url(), load).await
}

#[tokio::test]
async fn a_server_that_syncs_always_loses_no_accepted_task() {
    let fates = restarted("always", AppendOnly::Always).await;
    assert!(fates.lost.is_empty(), "{:?}", fates.lost);
}

/// Killing the process leaves what the kernel holds. Redis writes before it answers, unless a sync of the second before
/// is still under way: then it puts the write off for up to two seconds. A stalled machine is given as many more.
#[tokio::test]
async fn a_server_that_syncs_each_second_loses_the_last_seconds_at_most() {
    let fates = restarted("everysec", AppendOnly::EverySecond).await;
    let oldest = fates.lost.iter().max();
    assert!(oldest.is_none_or(|oldest| *oldest <= Duration::from_secs(4)));
}

#[tokio::test]
async fn a_server_that_keeps_nothing_loses_everything() {
    let fates = restarted("memory", AppendOnly::No).await;
    assert_eq!(fates.lost.len(), fates.accepted);
}

#[tokio::test]
async fn a_replica_that_takes_over_has_every_task_that_was_accepted_on_one() {
    let options = ServerOptions {
        append_only: AppendOnly::EverySecond,
        ..ServerOptions::default()
    };
    let mut rig = Rig::on(options, Shards::default()).await;
    let mut server = rig.move_to(TestServer::start().await).await;
    let replica = TestServer::replica_of(&server).await;
    let (level, url) = ("replicated:1", server.url());
    let load = load(&rig, (level, &url), Some(ONE), || server.kill9()).await;
    replica.promote().await;
    let fates = fates(level, &replica.url(), load).await;
    assert!(fates.lost.is_empty(), "{:?}", fates.lost);
}
