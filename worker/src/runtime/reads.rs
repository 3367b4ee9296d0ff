//! Reads of the new entries of one shard, over a connection of their own, since they block.

use std::sync::Arc;
use std::time::Duration;

use taskferry_contract::{BlockingConnection, Delivery, Error, QueueName, Shard, StreamReader};
use tokio::time::Instant;

use super::Runtime;
use crate::core::slots::Blocked;

/// The reads of one shard. They note what they find, for a worker that ends when there is nothing.
pub(super) struct Reads {
    runtime: Arc<Runtime>,
    shard: Shard,
    connection: Option<BlockingConnection>,
}

impl Reads {
    pub(super) fn new(runtime: Arc<Runtime>, shard: Shard) -> Self {
        Self {
            runtime,
            shard,
            connection: None,
        }
    }

    /// Opens the connection, if it is not open.
    pub(super) async fn connect(&mut self) -> Result<(), Error> {
        if self.connection.is_none() {
            let connections = self.runtime.core.store.connections();
            self.connection = Some(connections.blocking().await?);
        }
        Ok(())
    }

    /// Closes the connection.
    pub(super) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Up to `count` entries that are there.
    pub(super) async fn now(
        &mut self,
        queue: &QueueName,
        count: usize,
    ) -> Result<Vec<Delivery>, Error> {
        let core = &self.runtime.core;
        let Some(connection) = &mut self.connection else {
            // The fetcher has opened it; this cannot happen.
            return Ok(Vec::new());
        };
        let reader = StreamReader {
            worker: &core.worker,
            shard: self.shard,
            queues: std::slice::from_ref(queue),
        };
        let read = core.store.read_new(connection, reader, count, None);
        let deliveries = read.await?;
        if !deliveries.is_empty() {
            core.quota.found_something(self.shard);
        }
        Ok(deliveries)
    }

    /// Waits for the first of up to `count` entries of each queue, for `wait`, or until `enough`. The read is never dropped
    /// halfway: the server may have delivered an entry already.
    pub(super) async fn blocking(
        &mut self,
        queues: &[QueueName],
        count: usize,
        wait: Duration,
        enough: impl Future<Output = ()>,
    ) -> Result<Vec<Delivery>, Error> {
        let (core, shard) = (&self.runtime.core, self.shard);
        let Some(connection) = &mut self.connection else {
            // The fetcher has opened it; this cannot happen.
            return Ok(Vec::new());
        };
        let reader = StreamReader {
            worker: &core.worker,
            shard,
            queues,
        };
        let blocked = Blocked {
            client_id: connection.client_id(),
            permits: count,
            queues: queues.to_vec(),
        };
        let _blocking = core.slots.blocking(shard, blocked);
        if core.is_stopping() {
            return Ok(Vec::new());
        }
        let began = Instant::now();
        let read = core.store.read_new(connection, reader, count, Some(wait));
        let deliveries = tokio::select! {
            deliveries = read => deliveries?,
            never = core.slots.unblock_once(shard, enough) => match never {},
        };
        if deliveries.is_empty() {
            core.quota.found_nothing(shard, began);
        } else {
            core.quota.found_something(shard);
        }
        Ok(deliveries)
    }
}
