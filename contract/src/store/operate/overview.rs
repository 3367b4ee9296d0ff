//! How many jobs, entries, workers and dead letters there are, for operators. Nothing here writes.

use std::collections::BTreeSet;

use crate::error::Error;
use crate::keys::GROUP;
use crate::model::names::{QueueName, WorkerId};
use crate::model::overview::{QueueOverview, ServerOverview, ShardOverview};
use crate::model::shard::Shard;
use crate::model::worker::WorkerInfo;
use crate::store::Store;

/// What `XPENDING` says of a group: how many, and three more things.
type Pending = (u64, redis::Value, redis::Value, redis::Value);

impl Store {
    /// The server.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn server_overview(&self) -> Result<ServerOverview, Error> {
        let info = self.connections.info().await?;
        let number = |name| info.number(name).unwrap_or(0);
        Ok(ServerOverview {
            product: info.product().unwrap_or_else(|| "a server".to_owned()),
            is_primary: info.text("role") != Some("slave"),
            uptime_seconds: number("uptime_in_seconds"),
            used_bytes: number("used_memory"),
            max_bytes: number("maxmemory"),
            connections: number("connected_clients"),
            contract: or_nothing(self.stored_version().await)?,
            now_ms: self.now_ms().await?,
        })
    }

    /// A queue.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn queue_overview(&self, queue: &QueueName) -> Result<QueueOverview, Error> {
        let mut all = QueueOverview::default();
        for shard in self.shards.all() {
            let (in_lines, first) = or_nothing(self.in_lines(shard, queue).await)?;
            all.in_lines += in_lines;
            all.oldest_ms = earlier(all.oldest_ms, first);
            let key = self.keys.queue(shard, queue);
            let mut read = redis::pipe();
            read.cmd("XLEN").arg(&key);
            read.cmd("XRANGE")
                .arg(&key)
                .arg("-")
                .arg("+")
                .arg("COUNT")
                .arg(1);
            let read = self.connections.pipeline("queue_overview", &read).await;
            let (length, first): (u64, Vec<(String, redis::Value)>) = match read {
                Err(Error::WrongType { misplaced, .. }) => {
                    all.misplaced = misplaced.into_iter().next();
                    continue;
                }
                read => read?,
            };
            let mut pending = redis::cmd("XPENDING");
            pending.arg(&key).arg(GROUP);
            let pending: Result<Pending, Error> =
                self.connections.command("queue_overview", &pending).await;
            all.pending += match pending {
                Ok((count, ..)) => count,
                Err(error) if error.is_no_group() => 0,
                Err(error) => return Err(error),
            };
            all.length += length;
            let oldest = first.first().and_then(|(entry, _)| time_of(entry));
            all.oldest_ms = earlier(all.oldest_ms, oldest);
        }
        Ok(all)
    }

    /// How many jobs of these queues are due, and how many dead letters there are. A key of another type counts for nothing.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn shard_overview(
        &self,
        queues: &BTreeSet<QueueName>,
    ) -> Result<ShardOverview, Error> {
        let mut all = ShardOverview::default();
        for shard in self.shards.all() {
            for queue in queues {
                let (due, next) = self.due(shard, queue).await?;
                all.due += due;
                all.next_due_ms = earlier(all.next_due_ms, next);
                all.waiting += or_nothing(self.waiting_for_slots(shard, queue).await)?;
            }
            let mut dead = redis::cmd("XLEN");
            dead.arg(self.keys.dead(shard));
            let dead = self.connections.command("shard_overview", &dead);
            let mut expired = redis::cmd("HGETALL");
            expired.arg(self.keys.expired(shard));
            let expired = self.connections.command("shard_overview", &expired);
            for (tool, count) in or_nothing::<Vec<(String, String)>>(expired.await)? {
                let count: u64 = count.parse().unwrap_or_default();
                let of = all.expired.entry(tool).or_default();
                *of = of.saturating_add(count);
            }
            all.dead += or_nothing::<u64>(dead.await)?;
        }
        Ok(all)
    }

    /// How many jobs of a queue are due, and when the next one's time comes.
    async fn due(&self, shard: Shard, queue: &QueueName) -> Result<(u64, Option<u64>), Error> {
        let key = self.keys.due(shard, queue);
        let mut read = redis::pipe();
        read.cmd("ZCARD").arg(&key);
        let first = read.cmd("ZRANGE").arg(&key).arg(0).arg(0);
        first.arg("WITHSCORES");
        let read = self.connections.pipeline("shard_overview", &read);
        let (due, next): (u64, Vec<(String, u64)>) = or_nothing(read.await)?;
        Ok((due, next.first().map(|(_, at)| *at)))
    }

    /// How many jobs of a queue wait in lines, and since when the first of them.
    async fn in_lines(&self, shard: Shard, queue: &QueueName) -> Result<(u64, Option<u64>), Error> {
        let key = self.keys.backlog(shard, queue);
        let mut read = redis::pipe();
        read.cmd("ZCARD").arg(&key);
        let first = read.cmd("ZRANGE").arg(&key).arg(0).arg(0);
        first.arg("WITHSCORES");
        let read = self.connections.pipeline("queue_overview", &read);
        let (count, first): (u64, Vec<(String, u64)>) = read.await?;
        Ok((count, first.first().map(|(_, place)| place / 1000)))
    }

    async fn waiting_for_slots(&self, shard: Shard, queue: &QueueName) -> Result<u64, Error> {
        let mut tools = redis::cmd("ZRANGE");
        tools
            .arg(self.keys.tools_with_waiting_jobs(shard, queue))
            .arg(0)
            .arg(-1);
        let tools: Vec<String> = self.connections.command("shard_overview", &tools).await?;
        let mut all = 0;
        for tool in tools.iter().filter_map(|name| name.parse().ok()) {
            let mut size = redis::cmd("ZCARD");
            size.arg(self.keys.waiting_jobs(shard, queue, &tool));
            let size = self.connections.command("shard_overview", &size);
            all += or_nothing::<u64>(size.await)?;
        }
        Ok(all)
    }

    /// The workers that are alive, each with its last report, ms since the epoch; by name.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn workers(&self) -> Result<Vec<(WorkerInfo, u64)>, Error> {
        let mut beats = redis::cmd("ZRANGE");
        beats
            .arg(self.keys.workers())
            .arg(0)
            .arg(-1)
            .arg("WITHSCORES");
        let beats = self.connections.command("workers", &beats).await;
        let beats: Vec<(String, u64)> = or_nothing(beats)?;
        let mut workers = Vec::new();
        for (id, beat_ms) in beats {
            let Ok(id) = id.parse() else {
                continue;
            };
            let mut read = redis::cmd("HMGET");
            read.arg(self.keys.worker(&id));
            read.arg(&[
                "host", "pid", "version", "slots", "busy", "tools", "queues", "doing", "digests",
            ]);
            let told = self.connections.command("workers", &read).await;
            let told: [Option<String>; 9] = or_nothing(told)?;
            // The hash expires a minute after the last report, the set later if others report.
            if let Some(worker) = worker_info(id, told) {
                workers.push((worker, beat_ms));
            }
        }
        workers.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
        Ok(workers)
    }
}

/// A worker from the fields of its hash, in the order in which [`Store::workers`] reads them.
fn worker_info(id: WorkerId, told: [Option<String>; 9]) -> Option<WorkerInfo> {
    let [
        host,
        pid,
        version,
        slots,
        busy,
        tools,
        queues,
        doing,
        digests,
    ] = told;
    Some(WorkerInfo {
        id,
        host: host?,
        pid: pid?.parse().ok()?,
        version: version?,
        slots: slots?.parse().ok()?,
        busy: busy?.parse().ok()?,
        tools: tools?,
        doing: doing.unwrap_or_default(),
        queues: queues.unwrap_or_default(),
        digests: digests.unwrap_or_default(),
    })
}

/// What was read. `None` where the key is of another type than it should be.
pub(super) fn or_nothing<T: Default>(read: Result<T, Error>) -> Result<T, Error> {
    match read {
        Err(error) if error.is_wrong_type() => Ok(T::default()),
        read => read,
    }
}

fn time_of(entry: &str) -> Option<u64> {
    entry.split('-').next()?.parse().ok()
}

fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
