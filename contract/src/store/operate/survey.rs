//! A scan of all keys: finds queues that no tool names, and keys of another type than they should have.

use std::collections::BTreeSet;

use crate::error::Error;
use crate::model::names::QueueName;
use crate::model::overview::{Misplaced, Survey};
use crate::model::shard::Shard;
use crate::store::Store;

/// How many keys Redis checks for one reply (`COUNT` of `SCAN`).
const A_STEP: u32 = 5_000;

impl Store {
    /// Reads all keys for queues and for keys of the wrong type. For a user that may not run SCAN, checks only the keys
    /// that are known by name.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn survey(&self) -> Result<Survey, Error> {
        let mut keys: BTreeSet<String> = [
            self.keys.queues(),
            self.keys.homes(),
            self.keys.definitions(),
            self.keys.workers(),
            self.keys.contract(),
        ]
        .into();
        for shard in self.shards.all() {
            keys.insert(self.keys.dead(shard));
            keys.insert(self.keys.expired(shard));
            keys.insert(self.keys.paused(shard));
        }
        for queue in self.queues_with_tools().await? {
            keys.insert(self.keys.tools(&queue));
            for shard in self.shards.all() {
                keys.insert(self.keys.queue(shard, &queue));
                keys.insert(self.keys.due(shard, &queue));
                keys.insert(self.keys.tools_with_waiting_jobs(shard, &queue));
                keys.insert(self.keys.lines(shard, &queue));
                keys.insert(self.keys.backlog(shard, &queue));
            }
        }
        match self.scan(&mut keys).await {
            Err(error) if !error.is_forbidden() => return Err(error),
            _ => {}
        }
        let queues = keys.iter().filter_map(|key| {
            let (_, name) = key.split_once("}:")?;
            let (of, name) = name.split_once(':')?;
            let name = name.split(':').next()?;
            let is_of_queue = ["queue", "due", "waiting", "running", "backlog"].contains(&of);
            name.parse::<QueueName>().ok().filter(|_| is_of_queue)
        });
        let queues = queues.collect();
        let keys: Vec<String> = keys.into_iter().collect();
        Ok(Survey {
            queues,
            misplaced: self.connections.misplaced(&keys).await?,
        })
    }

    /// The queues that have, or had, tools. None if a key of another type stands in the place of their names.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn queues_with_tools(&self) -> Result<Vec<QueueName>, Error> {
        let mut read = redis::cmd("ZRANGE");
        read.arg(self.keys.queues()).arg(0).arg(-1);
        let named = self.connections.command::<Vec<String>>("queues", &read);
        match named.await {
            Err(error) if error.is_wrong_type() => Ok(Vec::new()),
            named => Ok(named?.iter().filter_map(|name| name.parse().ok()).collect()),
        }
    }

    /// Adds the keys of queues, and those of tools with a concurrency limit, each once.
    async fn scan(&self, keys: &mut BTreeSet<String>) -> Result<(), Error> {
        let pattern = format!("{}:{{[0-9]*}}:[bdlqrw]*", self.keys.prefix());
        let mut cursor = "0".to_owned();
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(&cursor).arg("MATCH").arg(&pattern);
            scan.arg("COUNT").arg(A_STEP);
            let (next, found): (String, Vec<String>) =
                self.connections.command("SCAN", &scan).await?;
            keys.extend(found);
            if next == "0" {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// Those of these queues whose key holds something else than a stream.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn misplaced_queues(
        &self,
        shard: Shard,
        queues: &[QueueName],
    ) -> Result<Vec<(QueueName, Misplaced)>, Error> {
        let keys: Vec<String> = queues.iter().map(|q| self.keys.queue(shard, q)).collect();
        let found = self.connections.misplaced(&keys).await?;
        let queue_of = |key: &str| queues.iter().find(|q| self.keys.queue(shard, q) == key);
        Ok(found
            .into_iter()
            .filter_map(|one| Some((queue_of(&one.key)?.clone(), one)))
            .collect())
    }
}
