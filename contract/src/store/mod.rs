//! The store: typed calls of the transitions, and the reads beside them.
//!
//! [`submit`], [`input`] and [`request`] are what a front end calls, [`attempt`] what a worker calls for the job it holds,
//! [`flow`] what keeps jobs moving between streams, `due` and workers, [`consumers`] who reads the streams.

pub(crate) mod attempt;
pub(crate) mod consumers;
mod durable;
pub(crate) mod flow;
pub(crate) mod input;
pub(crate) mod remote;
pub(crate) mod request;
pub(crate) mod submit;

use std::time::Duration;

use crate::connection::{Connections, RedisSettings};
use crate::doorbell::Doorbell;
use crate::durability::Replication;
use crate::error::Error;
use crate::ids::{QueueName, ReplicaId, Shard, Shards, TaskId, WorkerId};
use crate::keys::Keys;
use crate::reply::Reply;
use crate::script::{TRANSITIONS, Transition};

/// Replies that refuse: they promise nothing that could be lost.
const NOTHING_PROMISED: [&str; 4] = ["QUEUE_FULL", "LIMIT", "OTHER_CALL", "GONE"];

/// The Redis data model. Cheap to clone; every clone shares the connections.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) connections: Connections,
    pub(crate) keys: Keys,
    pub(crate) shards: Shards,
    replication: Option<Replication>,
}

impl Store {
    /// A store on the Redis that `settings` name. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// If the address cannot be read.
    pub fn new(settings: &RedisSettings) -> Result<Self, Error> {
        Ok(Self {
            connections: Connections::new(settings)?,
            keys: Keys::new(&settings.prefix),
            shards: settings.shards,
            replication: None,
        })
    }

    /// The same store, whose changes that a client is told of (tasks made and handed out, answers taken, tasks cancelled)
    /// are told only once replicas have them.
    #[must_use]
    pub fn with_replication(mut self, replication: Option<Replication>) -> Self {
        self.replication = replication;
        self
    }

    /// The names of its keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// How many shards it has.
    #[must_use]
    pub fn shards(&self) -> Shards {
        self.shards
    }

    /// Its connections.
    #[must_use]
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// The bell that wakes a replica.
    #[must_use]
    pub fn replica_bell(&self, replica: &ReplicaId) -> Doorbell {
        Doorbell::for_replica(&self.connections, &self.keys, self.shards, replica)
    }

    /// The bell that wakes a worker.
    #[must_use]
    pub fn worker_bell(&self, worker: &WorkerId) -> Doorbell {
        Doorbell::for_worker(&self.connections, &self.keys, self.shards, worker)
    }

    /// Redis's clock, ms since the epoch.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn now_ms(&self) -> Result<u64, Error> {
        let (seconds, micros): (u64, u64) = self
            .connections
            .command("TIME", &redis::cmd("TIME"))
            .await?;
        Ok(seconds * 1000 + micros / 1000)
    }

    /// Whether Redis answers, has every transition loaded, and is used with a contract that this binary can keep; loads
    /// the transitions it lacks, and stores the contract's version if there is none.
    ///
    /// # Errors
    ///
    /// If Redis fails; [`Error::Unsuitable`] if the contract's version is incompatible.
    pub async fn ready(&self) -> Result<(), Error> {
        let all = TRANSITIONS.all();
        let mut exists = redis::cmd("SCRIPT");
        exists.arg("EXISTS");
        for transition in &all {
            exists.arg(transition.script.get_hash());
        }
        let loaded: Vec<bool> = self.connections.command("SCRIPT EXISTS", &exists).await?;
        let missing = all.iter().zip(loaded).filter(|(_, loaded)| !loaded);
        let mut load = redis::pipe();
        let mut count = 0;
        for (transition, _) in missing {
            load.load_script(&transition.script).ignore();
            count += 1;
        }
        if count > 0 {
            self.connections
                .pipeline::<()>("SCRIPT LOAD", &load)
                .await?;
        }
        self.agree_version().await.map(drop)
    }

    /// Makes the group of a queue if it is missing. It starts at the first entry, so that jobs queued before it was
    /// made, or after Redis lost it, are read.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn ensure_group(&self, shard: Shard, queue: &QueueName) -> Result<(), Error> {
        let key = self.keys.queue(shard, queue);
        let reply = self.call(&TRANSITIONS.ensure_group, &[&key], &[]).await?;
        reply.done()
    }

    /// Calls a transition that needs the record alone: base, id and `args`.
    pub(crate) async fn on_record(
        &self,
        transition: &Transition,
        id: TaskId,
        args: &[&str],
    ) -> Result<Reply, Error> {
        let (base, text) = (self.keys.base(id.shard()), id.to_string());
        let mut all = vec![base.as_str(), &text];
        all.extend(args);
        self.call(transition, &[&self.keys.task(id)], &all).await
    }

    /// Calls a transition whose outcome a client is promised: with replication, that is answered once enough replicas
    /// have it. A repeated call waits for what the first one wrote.
    pub(crate) async fn promise(
        &self,
        transition: &Transition,
        keys: &[&str],
        args: &[&str],
    ) -> Result<Reply, Error> {
        let Some(replication) = self.replication else {
            return self.call(transition, keys, args).await;
        };
        let value = self
            .connections
            .replicated_transition(transition, (keys, args), replication, |value| {
                !Reply::has_tag(value, &NOTHING_PROMISED)
            })
            .await?;
        Reply::new(transition.name, value)
    }

    pub(crate) async fn call(
        &self,
        transition: &Transition,
        keys: &[&str],
        args: &[&str],
    ) -> Result<Reply, Error> {
        let value = self.connections.transition(transition, keys, args).await?;
        Reply::new(transition.name, value)
    }
}

/// Whole milliseconds, as Redis takes them.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
