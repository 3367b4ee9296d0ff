//! The store: typed calls of the transitions, and the reads beside them.
//!
//! [`front`] is what a front end calls, [`work`] what a worker calls, [`housekeeping`] what whoever keeps the queues going calls,
//! [`operate`] what both call to know of each other, and operators to see and mend. [`doorbell`] wakes whoever waits; [`record`] knows the fields of a job's record.

pub(crate) mod doorbell;
pub(crate) mod front;
pub(crate) mod housekeeping;
pub(crate) mod operate;
pub(crate) mod record;
pub(crate) mod work;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::connection::{Connections, RedisSettings};
use crate::error::Error;
use crate::keys::Keys;
use crate::model::durability::Replication;
use crate::model::ids::TaskId;
use crate::model::names::{FrontEndId, WorkerId};
use crate::model::shard::Shards;
use crate::script::{CallBy, ScriptReply, Transition, TransitionCall};
use crate::store::doorbell::Doorbell;

/// Replies that refuse: nothing was written, so there is nothing that could be lost.
const REFUSALS: [&str; 4] = ["QUEUE_FULL", "LIMIT", "OTHER_CALL", "GONE"];

/// The Redis data model. Cheap to clone; every clone shares the connections.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) connections: Connections,
    pub(crate) keys: Keys,
    pub(crate) shards: Shards,
    replication: Option<Replication>,
    by: CallBy,
    /// Whether this user was found not to have the right to say which queue is the home of a tool.
    leaves_homes: Arc<AtomicBool>,
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
            by: CallBy::default(),
            leaves_homes: Arc::default(),
        })
    }

    /// The same store, which answers only once Redis replicas have a change that a client hears of: tasks made or promoted,
    /// answers stored, tasks cancelled.
    #[must_use]
    pub fn with_replication(mut self, replication: Option<Replication>) -> Self {
        self.replication = replication;
        self
    }

    /// The same store, which calls the functions of the library, as workers in other languages do, and no scripts. The library
    /// must be there: [`Store::install_functions`].
    #[must_use]
    pub fn through_functions(mut self) -> Self {
        self.by = CallBy::Function;
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

    /// The bell that wakes a front end.
    #[must_use]
    pub fn front_end_bell(&self, front_end: &FrontEndId) -> Doorbell {
        Doorbell::for_front_end(&self.connections, &self.keys, self.shards, front_end)
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

    /// Calls a transition that needs the record alone: base, id and `args`.
    pub(crate) async fn on_record(
        &self,
        transition: &Transition,
        id: TaskId,
        args: &[&str],
    ) -> Result<ScriptReply, Error> {
        let (base, text) = (self.keys.base(id.shard()), id.to_string());
        let mut all = vec![base.as_str(), &text];
        all.extend(args);
        self.call(transition, &[&self.keys.record(id)], &all).await
    }

    /// Calls a transition whose outcome a client hears of: with replication, it answers once enough Redis replicas have it.
    /// A repeated call waits for what the first one wrote.
    pub(crate) async fn call_replicated(
        &self,
        transition: &Transition,
        keys: &[&str],
        args: &[&str],
    ) -> Result<ScriptReply, Error> {
        let Some(replication) = self.replication else {
            return self.call(transition, keys, args).await;
        };
        let call = TransitionCall {
            transition,
            keys,
            args,
            by: self.by,
        };
        let value = self
            .connections
            .replicated_transition(call, replication, |value| {
                !ScriptReply::has_tag(value, &REFUSALS)
            })
            .await?;
        ScriptReply::new(transition.name, value)
    }

    pub(crate) async fn call(
        &self,
        transition: &Transition,
        keys: &[&str],
        args: &[&str],
    ) -> Result<ScriptReply, Error> {
        let call = TransitionCall {
            transition,
            keys,
            args,
            by: self.by,
        };
        let value = self.connections.transition(call).await?;
        ScriptReply::new(transition.name, value)
    }
}

/// Whole milliseconds, as Redis takes them.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
