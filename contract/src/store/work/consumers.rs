//! The consumer groups of queues, and the workers as their consumers. Names of workers that are gone are removed.

use std::collections::{HashMap, HashSet};

use redis::Value;

use crate::error::Error;
use crate::keys::GROUP;
use crate::model::names::WorkerId;
use crate::model::queue::QueueStream;
use crate::model::worker::KEPT;
use crate::script::TRANSITIONS;
use crate::store::{Store, millis};

impl Store {
    /// Makes the group of a queue if it is missing. It starts at the first entry, so that jobs queued before it was
    /// made, or after Redis lost it, are read.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn ensure_group(&self, of: QueueStream<'_>) -> Result<(), Error> {
        let key = self.keys.queue(of.shard, of.queue);
        let reply = self.call(&TRANSITIONS.ensure_group, &[&key], &[]).await?;
        reply.done()
    }

    /// Takes a worker that left off a queue's consumers; says whether that could be done, since one with entries that
    /// nobody has taken over stays.
    ///
    /// # Errors
    ///
    /// If Redis fails. [`Error::is_no_group`] is true of the error if the consumer group is gone.
    pub async fn forget_worker(
        &self,
        worker: &WorkerId,
        from: QueueStream<'_>,
    ) -> Result<bool, Error> {
        let key = self.keys.queue(from.shard, from.queue);
        let reply = self
            .call(&TRANSITIONS.forget_worker, &[&key], &[worker.as_str()])
            .await?;
        match reply.tag.as_str() {
            "OK" => Ok(true),
            "PENDING" => Ok(false),
            _ => Err(reply.unknown()),
        }
    }

    /// Takes the workers off a queue's consumers that were killed: they have not reported for a minute, and other workers
    /// took over what they held. Says how many. One that lives after all comes back with its next read.
    ///
    /// # Errors
    ///
    /// If Redis fails, or there is no such queue.
    pub async fn forget_silent_workers(&self, from: QueueStream<'_>) -> Result<usize, Error> {
        let mut consumers = redis::cmd("XINFO");
        consumers
            .arg("CONSUMERS")
            .arg(self.keys.queue(from.shard, from.queue))
            .arg(GROUP);
        let consumers: Vec<HashMap<String, Value>> = self
            .connections
            .command("XINFO CONSUMERS", &consumers)
            .await?;
        let alive = self.alive().await?;
        let mut forgotten = 0;
        for consumer in consumers {
            let (name, pending) = (consumer.get("name"), consumer.get("pending"));
            let name = name.and_then(|name| redis::from_redis_value_ref::<String>(name).ok());
            let Some(name) = name.filter(|name| !alive.contains(name)) else {
                continue;
            };
            if let (Some(Value::Int(0)), Ok(worker)) = (pending, name.parse())
                && self.forget_worker(&worker, from).await?
            {
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }

    /// The workers that have reported lately.
    async fn alive(&self) -> Result<HashSet<String>, Error> {
        let since_ms = self.now_ms().await?.saturating_sub(millis(KEPT));
        let mut alive = redis::cmd("ZRANGE");
        alive
            .arg(self.keys.workers())
            .arg(since_ms)
            .arg("+inf")
            .arg("BYSCORE");
        self.connections.command("workers", &alive).await
    }
}
