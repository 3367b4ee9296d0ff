//! A new primary: everything follows it, without a restart and within a bound, however the old one went.

use std::time::{Duration, Instant};

use taskferry_contract::{
    BlockingConnection, Error, FinishReply, FrontEndId, HeldAttempt, RedisSettings, Ring, Status,
    Store, StreamReader, TaskId,
};
use taskferry_testing::{Proxy, Sentinels, TestServer, eventually, eventually_some};

use crate::rig::{Rig, SOON};
use crate::rings::Listener;

/// How long a command may take here.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Longer than two looks at where the address leads.
const LOOKS: Duration = Duration::from_secs(15);
/// How long a failover may take: a second until the primary counts as gone, an election, and our own way there.
const FAILOVER: Duration = Duration::from_secs(60);
/// How long it may take at most where no sentinel takes part. What it takes is printed.
const BOUND: Duration = Duration::from_secs(20);

fn store_at(url: &str) -> Store {
    let mut settings = RedisSettings::new(url);
    settings.response_timeout = TIMEOUT;
    Store::new(&settings).unwrap()
}

/// A primary, a replica, and a store that reaches the primary through a proxy.
async fn proxied() -> (Rig, TestServer, Proxy) {
    let mut rig = Rig::new().await;
    let replica = TestServer::replica_of(&rig.server).await;
    let proxy = Proxy::start(rig.server.port()).await;
    rig.uses(&store_at(&proxy.url()));
    (rig, replica, proxy)
}

/// The same, reached through sentinels.
async fn guarded() -> (Rig, TestServer, Sentinels) {
    let mut rig = Rig::new().await;
    let replica = TestServer::replica_of(&rig.server).await;
    let sentinels = Sentinels::watch(&rig.server).await;
    rig.uses(&store_at(&sentinels.url()));
    (rig, replica, sentinels)
}

/// Waits until the replica has all that was written.
async fn caught_up(rig: &mut Rig) {
    // WAIT speaks of what was written up to the last command of its own connection.
    rig.raw::<String>("ECHO", "now").await;
    let replicas: i64 = rig.raw("WAIT", (1, 10_000)).await;
    assert_eq!(replicas, 1);
}

/// Submits until it succeeds; the task.
async fn submitted(rig: &Rig) -> TaskId {
    eventually_some(FAILOVER, "a job is queued", async || {
        let submission = rig.submission();
        let outcome = rig.store.submit(&submission).await;
        outcome
            .inspect_err(|error| assert!(error.is_transient(), "{error:?}"))
            .ok()
            .map(|_queued| submission.id)
    })
    .await
}

/// Waits until the bell works again, and a ring comes through.
async fn rings_through(rig: &mut Rig, at: &mut Listener) {
    let mark = TaskId::random(rig.shard);
    let channel = format!("{}bell:r1", rig.store.keys().base(rig.shard));
    let mut redis = rig.redis.clone();
    eventually(LOOKS, "someone listens at the new primary", async || {
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(&channel).arg(mark.to_string());
        publish.query_async::<i64>(&mut redis).await.unwrap() > 0
    })
    .await;
    let mut connected = 0;
    loop {
        match at.next().await {
            Ring::Connected => connected += 1,
            Ring::Task(id) if id == mark => break,
            _ => {}
        }
    }
    assert!(connected > 0, "whoever waits is told to look again");
}

/// Reads as a worker does that waits for something new.
async fn blocked_read(
    rig: &Rig,
    reader: &mut BlockingConnection,
    block: Duration,
) -> Result<(), Error> {
    let source = StreamReader {
        worker: &rig.worker,
        shard: rig.shard,
        queues: std::slice::from_ref(&rig.tool.queue),
    };
    let read = rig.store.read_new(reader, source, 1, Some(block));
    read.await.map(|_deliveries| ())
}

/// An attempt that began at the old primary ends at the new one, and so does the next.
async fn goes_on(rig: Rig, hold: &HeldAttempt) {
    assert_eq!(rig.finish(hold).await, FinishReply::Stored);
    let (next, _) = rig.start().await;
    assert_eq!(rig.finish(&next).await, FinishReply::Stored);
}

fn bell() -> FrontEndId {
    "r1".parse().unwrap()
}

#[tokio::test]
async fn connections_that_a_proxy_leaves_half_open_are_left_for_the_promoted_replica() {
    let (mut rig, replica, proxy) = proxied().await;
    let mut at = Listener::at(rig.store.front_end_bell(&bell())).await;
    let hold = rig.running().await;
    caught_up(&mut rig).await;
    let mut reader = rig.store.connections().blocking().await.unwrap();
    let (read, took) = tokio::join!(
        async {
            let begun = Instant::now();
            let read = blocked_read(&rig, &mut reader, Duration::from_secs(5)).await;
            (read, begun.elapsed())
        },
        async {
            replica.promote().await;
            proxy.lead_to_and_hang(replica.port());
            let begun = Instant::now();
            submitted(&rig).await;
            begun.elapsed()
        }
    );
    let (read, ended) = read;
    assert!(read.unwrap_err().is_transient());
    println!("half open: writes after {took:?}, the blocked read ended after {ended:?}");
    assert!(took < BOUND, "{took:?}");
    assert!(ended < BOUND, "the read ended after {ended:?}");
    let _old = rig.move_to(replica).await;
    rings_through(&mut rig, &mut at).await;
    // The new primary's script cache is its own.
    goes_on(rig, &hold).await;
}

#[tokio::test]
async fn a_demoted_primary_is_left_by_writers_readers_and_bells() {
    let (mut rig, replica, proxy) = proxied().await;
    let mut at = Listener::at(rig.store.front_end_bell(&bell())).await;
    rig.submit().await;
    rig.start().await;
    caught_up(&mut rig).await;
    let mut reader = rig.store.connections().blocking().await.unwrap();
    let reading = blocked_read(&rig, &mut reader, Duration::from_secs(60));
    let (read, ()) = tokio::join!(reading, async {
        let mut redis = rig.redis.clone();
        eventually(SOON, "the read blocks", async || {
            let list = redis::cmd("CLIENT").arg("LIST").to_owned();
            let clients: String = list.query_async(&mut redis).await.unwrap();
            clients.contains("cmd=xreadgroup")
        })
        .await;
        replica.promote().await;
        // Old connections stay, and lead to what is now a replica.
        proxy.lead_to(replica.port());
        rig.server.demote_to(&replica).await;
    });
    let error = read.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    let begun = Instant::now();
    let id = submitted(&rig).await;
    let took = begun.elapsed();
    println!("demoted: writes after {took:?}");
    assert!(took < BOUND, "{took:?}");
    let _old = rig.move_to(replica).await;
    rings_through(&mut rig, &mut at).await;
    assert_eq!(rig.next().await.id, id);
    rig.leaves_jobs();
}

#[tokio::test]
async fn a_process_that_only_reads_learns_that_its_primary_was_replaced() {
    let (mut rig, replica, proxy) = proxied().await;
    let mut at = Listener::at(rig.store.front_end_bell(&bell())).await;
    let id = rig.submit().await;
    caught_up(&mut rig).await;
    // The old primary lives on, takes writes, and nothing tells us that it is stale.
    replica.promote().await;
    proxy.lead_to(replica.port());
    let _old = rig.move_to(replica).await;
    let own = store_at(&rig.server.url());
    own.cancel(id, &rig.owner, "there").await.unwrap();
    let begun = Instant::now();
    eventually(
        LOOKS,
        "the task is seen as it is at the new primary",
        async || rig.status(id).await == Some(Status::Cancelled),
    )
    .await;
    println!("stale but alive: seen after {:?}", begun.elapsed());
    rings_through(&mut rig, &mut at).await;
}

#[tokio::test]
async fn sentinels_lead_to_the_replica_that_they_promoted() {
    let (mut rig, replica, _sentinels) = guarded().await;
    let mut at = Listener::at(rig.store.front_end_bell(&bell())).await;
    let hold = rig.running().await;
    caught_up(&mut rig).await;
    rig.server.kill9();
    let begun = Instant::now();
    submitted(&rig).await;
    println!("sentinel, killed: writes after {:?}", begun.elapsed());
    let _old = rig.move_to(replica).await;
    rings_through(&mut rig, &mut at).await;
    goes_on(rig, &hold).await;
}

#[tokio::test]
async fn a_primary_that_froze_and_thaws_is_not_gone_back_to() {
    let (mut rig, replica, _sentinels) = guarded().await;
    let _at = Listener::at(rig.store.front_end_bell(&bell())).await;
    let hold = rig.running().await;
    caught_up(&mut rig).await;
    rig.server.pause();
    let begun = Instant::now();
    submitted(&rig).await;
    println!("sentinel, frozen: writes after {:?}", begun.elapsed());
    let old = rig.move_to(replica).await;
    old.resume();
    // What it was asked before it froze, and what it still believes, changes nothing.
    assert_eq!(rig.finish(&hold).await, FinishReply::Stored);
    eventually(
        FAILOVER,
        "the sentinels make the old primary a replica",
        async || {
            let info = redis::cmd("INFO").arg("replication").to_owned();
            // They cut its connections when they do, also one that is being opened.
            let Ok(mut connection) = old.connect().await else {
                return false;
            };
            let text = info.query_async::<String>(&mut connection).await;
            text.is_ok_and(|text| text.contains("role:slave"))
        },
    )
    .await;
    let (next, _) = rig.start().await;
    assert_eq!(rig.finish(&next).await, FinishReply::Stored);
}

#[tokio::test]
async fn sentinels_that_know_no_primary_are_told_of_clearly_and_soon() {
    let rig = Rig::new().await;
    let url = format!(
        "redis+sentinel://127.0.0.1:1,127.0.0.1:{}/main/0",
        rig.server.port()
    );
    let store = store_at(&url);
    let begun = Instant::now();
    let errors = futures_util::future::join_all((0..100).map(|_| store.now_ms())).await;
    let took = begun.elapsed();
    assert!(took < BOUND, "{took:?}");
    for error in errors {
        let error = error.unwrap_err();
        assert!(error.is_transient(), "{error:?}");
        let text = error.to_string();
        for part in ["main", "127.0.0.1:1:", "sentinel"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}
