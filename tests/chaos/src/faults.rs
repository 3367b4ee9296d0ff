//! Makes the faults of a schedule happen.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use taskferry_testing::redis::{self, RedisError};
use tokio::time::{Instant, sleep, sleep_until};

use crate::connect::connect;
use crate::history::Injected;
use crate::member::Member;
use crate::producer::World;
use crate::proxy::Proxy;
use crate::quiet;
use crate::schedule::{BadEntry, Fault, Link, Timed};
use crate::topology::Topology;

/// Until a command is sent again that must not be lost.
const AGAIN: Duration = Duration::from_millis(100);
/// The stream that all jobs of a run wait on.
pub(crate) const QUEUE: &str = "tf:{0}:queue:default";
/// Names the process that keeps the queues going.
const HOUSEKEEPER: &str = "tf:{0}:housekeeper";

/// Makes the faults of a schedule, and stands still after every `phase` of it. The laws that were broken then.
pub(crate) async fn make(
    topology: &Topology,
    world: &World,
    faults: Vec<Timed>,
    folder: &Path,
    phase: Duration,
) -> Vec<String> {
    let mut log = File::options();
    let log = log
        .create(true)
        .append(true)
        .open(folder.join("faults.log"));
    let log = log.ok();
    let phase_ms = u64::try_from(phase.as_millis()).unwrap_or(u64::MAX).max(1);
    let numbered: Vec<(usize, Timed)> = faults.into_iter().enumerate().collect();
    let mut broken = Vec::new();
    for part in
        numbered.chunk_by(|(_, one), (_, next)| one.at_ms / phase_ms == next.at_ms / phase_ms)
    {
        let begins_ms = part
            .first()
            .map_or(0, |(_, timed)| timed.at_ms / phase_ms * phase_ms);
        some(topology, world, part, begins_ms, log.as_ref()).await;
        let now_ms = world.recorder.now_ms();
        let found = quiet::look(topology).await.into_iter();
        broken.extend(found.map(|text| format!("at {now_ms} ms: {text}")));
    }
    broken
}

/// Makes every fault of a phase at its time; returns once each is over.
async fn some(
    topology: &Topology,
    world: &World,
    faults: &[(usize, Timed)],
    begins_ms: u64,
    log: Option<&File>,
) {
    let begin = Instant::now();
    let all = faults.iter().map(|&(number, timed)| {
        let mut log = log;
        async move {
            sleep_until(begin + Duration::from_millis(timed.at_ms - begins_ms)).await;
            if let Some(log) = &mut log {
                let _disk_full = writeln!(log, "{:>7} ms  {timed}", world.recorder.now_ms());
            }
            one(topology, world, number, timed.fault).await;
        }
    });
    join_all(all).await;
}

async fn one(topology: &Topology, world: &World, number: usize, fault: Fault) {
    match fault {
        Fault::KillWorker(at) => kill(topology.workers.get(at)).await,
        Fault::FreezeWorker(at, ms) => freeze(topology.workers.get(at), ms).await,
        Fault::StopWorker(at) => replace(topology.workers.get(at)).await,
        Fault::KillReplica(at) => kill(topology.replicas.get(at)).await,
        Fault::FreezeReplica(at, ms) => freeze(topology.replicas.get(at), ms).await,
        Fault::StopReplica(at) => replace(topology.replicas.get(at)).await,
        Fault::KillHousekeeper => kill_housekeeper(topology).await,
        Fault::RollWorkers => roll(&topology.workers).await,
        Fault::RollReplicas => roll(&topology.replicas).await,
        Fault::KillRedis(away_ms) => kill_redis(topology, away_ms).await,
        Fault::FlushRedis => order(topology, &["FLUSHALL"]).await,
        Fault::FillRedis(ms) => fill_redis(topology, ms).await,
        Fault::KillClients(kind) => order(topology, &["CLIENT", "KILL", "TYPE", kind]).await,
        Fault::PauseClients(ms) => order(topology, &["CLIENT", "PAUSE", &ms.to_string()]).await,
        Fault::SleepRedis(ms) => {
            let seconds = Duration::from_millis(ms).as_secs_f64().to_string();
            order(topology, &["DEBUG", "SLEEP", &seconds]).await;
        }
        Fault::FlushScripts => order(topology, &["SCRIPT", "FLUSH"]).await,
        Fault::BadEntry(kind) => bad_entry(topology, world, number, kind).await,
        Fault::Cut(link, stride) => disturb(topology, link, 0, |wire| wire.cut(stride)).await,
        Fault::Delay(link, by_ms, ms) => {
            let by = Duration::from_millis(by_ms);
            disturb(topology, link, ms, |wire| wire.delay(by)).await;
        }
        Fault::HalfOpen(link, stride, ms) => {
            disturb(topology, link, ms, |wire| wire.half_open(stride)).await;
        }
        Fault::Partition(link, ms) => disturb(topology, link, ms, Proxy::partition).await,
    }
}

/// A disturbance of a wire, and its end; one of no length needs none.
async fn disturb(topology: &Topology, link: Link, lasts_ms: u64, how: impl Fn(&Proxy)) {
    let Some(proxy) = topology.proxy(link) else {
        return;
    };
    how(proxy);
    if lasts_ms > 0 {
        sleep(Duration::from_millis(lasts_ms)).await;
        proxy.heal();
    }
}

async fn kill(member: Option<&Member>) {
    if let Some(member) = member {
        member.kill().await;
    }
}

/// Redis names who keeps the queues going. Nobody is killed while it cannot be asked, or names none that lives.
async fn kill_housekeeper(topology: &Topology) {
    let Ok(redis::Value::BulkString(text)) = send(topology, &["GET", HOUSEKEEPER]).await else {
        return;
    };
    let text = String::from_utf8_lossy(&text);
    if let Some(holder) = text.split(' ').next().filter(|holder| !holder.is_empty()) {
        kill(topology.housekeeper(holder).await).await;
    }
}

async fn freeze(member: Option<&Member>, ms: u64) {
    if let Some(member) = member {
        member.freeze(Duration::from_millis(ms)).await;
    }
}

async fn replace(member: Option<&Member>) {
    if let Some(member) = member {
        member.replace().await;
    }
}

async fn roll(members: &[Member]) {
    for member in members {
        member.replace().await;
    }
}

async fn kill_redis(topology: &Topology, away_ms: u64) {
    let mut redis = topology.redis.lock().await;
    redis.kill9();
    sleep(Duration::from_millis(away_ms)).await;
    redis.restart().await;
}

/// One that restarts meanwhile has its memory back.
async fn fill_redis(topology: &Topology, ms: u64) {
    order(topology, &["CONFIG", "SET", "maxmemory", "1"]).await;
    sleep(Duration::from_millis(ms)).await;
    while send(topology, &["CONFIG", "SET", "maxmemory", "0"])
        .await
        .is_err()
    {
        sleep(AGAIN).await;
    }
}

async fn send(topology: &Topology, words: &[&str]) -> Result<redis::Value, RedisError> {
    let mut connection = connect(topology).await?;
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(*word);
    }
    command.query_async(&mut connection).await
}

/// A command whose reply does not matter: Redis may be dead just now, and some of them kill the very connection.
async fn order(topology: &Topology, words: &[&str]) {
    let _reply = send(topology, words).await;
}

async fn bad_entry(topology: &Topology, world: &World, number: usize, kind: BadEntry) {
    let tool = format!("bad-{number}");
    let unknown = format!("0-00000000-0000-4000-8000-{number:012}");
    let fields = match kind {
        BadEntry::NoId => vec!["tool", &tool],
        BadEntry::NotAnId => vec!["id", "nonsense", "tool", &tool],
        BadEntry::UnknownId => vec!["id", &unknown, "tool", &tool],
        BadEntry::Garbage => vec!["tool", &tool, "\u{0}\r\n", "\u{fffd}", "id", ""],
    };
    let words: Vec<&str> = ["XADD", QUEUE, "*"].into_iter().chain(fields).collect();
    let certain = send(topology, &words).await.is_ok();
    world.recorder.injected(Injected {
        tool,
        // An entry without a record is one of a job that expired: it is dropped.
        buried: kind != BadEntry::UnknownId,
        certain,
    });
}
