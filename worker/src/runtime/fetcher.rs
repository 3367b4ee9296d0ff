//! Takes new entries off the streams of one shard.

use std::sync::Arc;
use std::time::{Duration, Instant};

use taskferry_contract::{
    BlockingConnection, Delivery, Error, QueueName, QueueStream, Shard, StreamReader,
};

use super::Runtime;
use super::executor::take_up;
use crate::core::activity::Fetching;
use crate::core::pause::GrowingPause;
use crate::core::slots::StartPermit;

/// How long a read waits for an entry.
const BLOCK: Duration = Duration::from_secs(5);
/// The same with several shards. Shorter, because the read holds a worker slot that the fetcher of another shard may need.
const BLOCK_AMONG_SHARDS: Duration = Duration::from_millis(500);

/// How often to check whether a queue can be read again whose key had the wrong type.
const CHECK_AGAIN: Duration = Duration::from_secs(2);

/// The fetcher of one shard. It takes a worker slot before it reads new entries. Only a read over several queues may bring
/// an entry too many, which then waits for a slot.
pub(crate) struct Fetcher {
    runtime: Arc<Runtime>,
    shard: Shard,
    /// In rotating order, so that no queue always comes first.
    queues: Vec<QueueName>,
    connection: Option<BlockingConnection>,
    /// Whether Redis may have given this worker entries that it never saw, for example because the connection broke.
    may_have_unseen_entries: bool,
    /// The last round failed.
    failing: bool,
    /// Queues whose key is no stream, and when that was found.
    left_out: Option<(Instant, Vec<QueueName>)>,
}

impl Fetcher {
    /// `again`: whether another fetcher of this shard died before. Then this one first reads the entries that were given to
    /// it.
    pub(crate) fn new(runtime: Arc<Runtime>, shard: Shard, again: bool) -> Self {
        Self {
            queues: runtime.core.queues.clone(),
            runtime,
            shard,
            connection: None,
            may_have_unseen_entries: again,
            failing: false,
            left_out: None,
        }
    }

    /// Reads until the worker stops. A blocking read does not notice the stop by itself: `Slots::unblock` ends it.
    pub(crate) async fn run(mut self) {
        let stop = self.runtime.core.phase.stop.clone();
        let mut pause = GrowingPause::default();
        while !stop.is_cancelled() {
            match self.round().await {
                Ok(()) => {
                    pause = GrowingPause::default();
                    self.failing = false;
                }
                Err(error) => {
                    tracing::warn!(%error, shard = %self.shard, "reading failed; trying again");
                    let failing = Fetching::Failing(error.to_string());
                    self.runtime.core.note_fetcher(self.shard, failing);
                    self.runtime.core.quota.found_something(self.shard);
                    self.failing = true;
                    self.connection = None;
                    self.may_have_unseen_entries = true;
                    tokio::select! {
                        () = pause.wait() => {}
                        () = stop.cancelled() => {}
                    }
                }
            }
        }
        if self.may_have_unseen_entries {
            // Give back entries that this worker was given but never saw. Otherwise other workers wait for a lease before
            // they take them over.
            if let Err(error) = self.recover_unseen_entries().await {
                tracing::debug!(%error, "could not give back entries that may have been delivered; other workers take them over after a lease");
            }
        }
    }

    /// Notes what this fetcher does, for the worker's report. A failure stays noted until a round succeeds.
    fn note(&self, what: Fetching) {
        if !self.failing {
            self.runtime.core.note_fetcher(self.shard, what);
        }
    }

    async fn round(&mut self) -> Result<(), Error> {
        let check_again = |(seen, _): &(Instant, _)| seen.elapsed() >= CHECK_AGAIN;
        if self.may_have_unseen_entries || self.left_out.as_ref().is_some_and(check_again) {
            let changed = self.leave_out_unreadable_queues().await?;
            if self.may_have_unseen_entries || changed {
                self.recover_unseen_entries().await?;
                self.may_have_unseen_entries = false;
            }
        }
        if self.queues.is_empty() {
            tokio::select! {
                () = self.runtime.core.phase.stop.cancelled() => {}
                () = tokio::time::sleep(CHECK_AGAIN) => {}
            }
            return Ok(());
        }
        // Shown only while `acquire` waits.
        self.note(Fetching::Full);
        let permit = tokio::select! {
            biased;
            () = self.runtime.core.phase.stop.cancelled() => return Ok(()),
            permit = self.runtime.core.slots.acquire_start() => permit,
        };
        self.note(Fetching::Reading);
        if self.connection.is_none() {
            let connections = self.runtime.core.store.connections();
            self.connection = Some(connections.blocking().await?);
        }
        match self.queues.len() {
            1 => self.read_one(permit).await,
            _ => self.read_several(permit).await,
        }
    }

    /// Leaves out the queues whose key is no stream: one such key makes every read fail. They are checked again after a
    /// while. Returns whether this changed which queues are left out.
    async fn leave_out_unreadable_queues(&mut self) -> Result<bool, Error> {
        let all = &self.runtime.core.queues;
        let misplaced = self
            .runtime
            .core
            .store
            .misplaced_queues(self.shard, all)
            .await?;
        let left_out_before = self.left_out.take().map(|(_, queues)| queues);
        let left_out_before = left_out_before.unwrap_or_default();
        for (queue, found) in &misplaced {
            if !left_out_before.contains(queue) {
                tracing::error!(%queue, %found, "a queue cannot be read; it is left out until its key is removed");
            }
        }
        let left_out: Vec<QueueName> = misplaced.into_iter().map(|(queue, _)| queue).collect();
        let usable = all.iter().filter(|queue| !left_out.contains(queue));
        self.queues = usable.cloned().collect();
        let changed = left_out_before != left_out;
        if !left_out.is_empty() {
            self.left_out = Some((Instant::now(), left_out));
        }
        Ok(changed)
    }

    /// Blocks on the only queue, with all free worker slots, but for one that stays for the fetchers of other shards.
    async fn read_one(&mut self, mut permits: StartPermit) -> Result<(), Error> {
        let kept = usize::from(self.is_one_of_several());
        if let Some(more) = self.runtime.core.slots.take_free(kept) {
            permits.merge(more);
        }
        let queues = self.queues.clone();
        let deliveries = self.read(&queues, permits.jobs(), true).await?;
        take_up(&self.runtime, deliveries, Some(permits));
        Ok(())
    }

    /// Reads each queue in turn, and blocks on all together only if all were empty. A read over several queues may bring
    /// one entry of each: those without a worker slot wait for one before they are claimed.
    async fn read_several(&mut self, mut permits: StartPermit) -> Result<(), Error> {
        self.queues.rotate_left(1);
        if let Some(more) = self.runtime.core.slots.take_free(0) {
            permits.merge(more);
        }
        let mut found = false;
        for queue in self.queues.clone() {
            let count = permits.jobs();
            if count == 0 {
                return Ok(());
            }
            let deliveries = self
                .read(std::slice::from_ref(&queue), count, false)
                .await?;
            found |= !deliveries.is_empty();
            let permits = permits.split(deliveries.len());
            take_up(&self.runtime, deliveries, permits);
        }
        if found {
            return Ok(());
        }
        let permit_for_one = permits.split(1);
        drop(permits);
        let mut queues = self.queues.clone();
        if self.runtime.core.quota.is_limited() {
            // An entry too many would wait here in vain.
            queues.truncate(1);
        }
        let deliveries = self.read(&queues, 1, true).await?;
        take_up(&self.runtime, deliveries, permit_for_one);
        Ok(())
    }

    /// Whether there are other shards.
    fn is_one_of_several(&self) -> bool {
        self.runtime.core.store.shards().all().nth(1).is_some()
    }

    /// Reads new entries. A read that blocks is never dropped halfway: the server may have delivered an entry already.
    async fn read(
        &mut self,
        queues: &[QueueName],
        count: usize,
        block: bool,
    ) -> Result<Vec<Delivery>, Error> {
        let others_wait = self.is_one_of_several() || queues.len() < self.queues.len();
        let (runtime, shard) = (&self.runtime, self.shard);
        let Some(connection) = &mut self.connection else {
            // `round` has opened it; this cannot happen.
            return Ok(Vec::new());
        };
        let reader = StreamReader {
            worker: &runtime.core.worker,
            shard,
            queues,
        };
        let (store, quota) = (&runtime.core.store, &runtime.core.quota);
        if !block {
            let deliveries = store.read_new(connection, reader, count, None).await?;
            if !deliveries.is_empty() {
                quota.found_something(shard);
            }
            return Ok(deliveries);
        }
        let wait = if others_wait {
            BLOCK_AMONG_SHARDS
        } else {
            BLOCK
        };
        let wait = wait.min(quota.longest_read());
        let _blocking = runtime
            .core
            .slots
            .blocking(shard, connection.client_id(), count);
        if runtime.core.is_stopping() {
            return Ok(Vec::new());
        }
        let began = tokio::time::Instant::now();
        let deliveries = store
            .read_new(connection, reader, count, Some(wait))
            .await?;
        if deliveries.is_empty() {
            quota.found_nothing(shard, began);
        } else {
            quota.found_something(shard);
        }
        Ok(deliveries)
    }

    /// Makes missing consumer groups again, and begins work on entries that are pending for this worker but not in flight.
    async fn recover_unseen_entries(&self) -> Result<(), Error> {
        let (runtime, shard) = (&self.runtime, self.shard);
        for queue in &self.queues {
            let stream = QueueStream { shard, queue };
            runtime.core.store.ensure_group(stream).await?;
        }
        // If Redis lost data it may have lost the registered tools too: wake the janitor, which registers them again.
        runtime.core.make_known.notify_one();
        let reader = StreamReader {
            worker: &runtime.core.worker,
            shard,
            queues: &self.queues,
        };
        if self.queues.is_empty() {
            return Ok(());
        }
        // The read also returns entries that are in flight. The others are at most as many as this worker has slots, since
        // no fetcher reads more.
        let count = runtime.core.in_flight.len() + runtime.core.slots.total();
        let deliveries = runtime.core.store.read_pending(reader, count).await?;
        take_up(runtime, deliveries, None);
        Ok(())
    }
}
