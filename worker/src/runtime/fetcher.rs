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
use crate::core::slots::Permit;

/// How long a read waits for an entry.
const BLOCK: Duration = Duration::from_secs(5);
/// The same if there are several shards: the fetcher of another one may want the permit that is held during the read.
const BLOCK_AMONG_SHARDS: Duration = Duration::from_millis(500);

/// How often a queue that was left out is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The fetcher of one shard. It holds a permit before it reads, so nothing is taken off a stream that cannot run.
pub(crate) struct Fetcher {
    runtime: Arc<Runtime>,
    shard: Shard,
    /// In rotating order, so that no queue always comes first.
    queues: Vec<QueueName>,
    connection: Option<BlockingConnection>,
    /// Whether entries may have been delivered to this worker whose delivery never arrived, as when the connection broke.
    lost: bool,
    /// The last round failed.
    failing: bool,
    /// Queues whose key holds something else than a stream, and when that was seen.
    left_out: Option<(Instant, Vec<QueueName>)>,
}

impl Fetcher {
    /// A fetcher. One that is begun `again`, after another died, first takes up the entries that were delivered to that one.
    pub(crate) fn new(runtime: Arc<Runtime>, shard: Shard, again: bool) -> Self {
        Self {
            queues: runtime.core.queues.clone(),
            runtime,
            shard,
            connection: None,
            lost: again,
            failing: false,
            left_out: None,
        }
    }

    /// Fetches until the worker stops; whoever stops it ends the blocking read.
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
                    self.failing = true;
                    self.connection = None;
                    self.lost = true;
                    tokio::select! {
                        () = pause.wait() => {}
                        () = stop.cancelled() => {}
                    }
                }
            }
        }
        if self.lost {
            // What was delivered unseen is given back now, rather than after its lease.
            if let Err(error) = self.look_for_lost().await {
                tracing::debug!(%error, "entries that were delivered unseen are left to the reclaimers");
            }
        }
    }

    /// Notes what it does. A failure stays noted until a round went well.
    fn does(&self, what: Fetching) {
        if !self.failing {
            self.runtime.core.note_fetcher(self.shard, what);
        }
    }

    async fn round(&mut self) -> Result<(), Error> {
        let look_again = |(seen, _): &(Instant, _)| seen.elapsed() >= LOOK_AGAIN;
        if self.lost || self.left_out.as_ref().is_some_and(look_again) {
            let changed = self.choose_queues().await?;
            if self.lost || changed {
                self.look_for_lost().await?;
                self.lost = false;
            }
        }
        if self.queues.is_empty() {
            tokio::select! {
                () = self.runtime.core.phase.stop.cancelled() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            return Ok(());
        }
        self.does(Fetching::Full);
        let permit = tokio::select! {
            biased;
            () = self.runtime.core.phase.stop.cancelled() => return Ok(()),
            permit = self.runtime.core.slots.acquire() => permit,
        };
        self.does(Fetching::Reading);
        if self.connection.is_none() {
            let connections = self.runtime.core.store.connections();
            self.connection = Some(connections.blocking().await?);
        }
        match self.queues.len() {
            1 => self.read_one(permit).await,
            _ => self.read_several(permit).await,
        }
    }

    /// Leaves out the queues whose key holds something else than a stream: one such key makes every read fail. They are
    /// looked at again after a while. Says whether others are left out than before.
    async fn choose_queues(&mut self) -> Result<bool, Error> {
        let all = &self.runtime.core.queues;
        let misplaced = self
            .runtime
            .core
            .store
            .misplaced_queues(self.shard, all)
            .await?;
        let before = self.left_out.take().map(|(_, queues)| queues);
        let before = before.unwrap_or_default();
        for (queue, found) in &misplaced {
            if !before.contains(queue) {
                tracing::error!(%queue, %found, "a queue cannot be read; it is left out until its key is removed");
            }
        }
        let left_out: Vec<QueueName> = misplaced.into_iter().map(|(queue, _)| queue).collect();
        let usable = all.iter().filter(|queue| !left_out.contains(queue));
        self.queues = usable.cloned().collect();
        let changed = before != left_out;
        if !left_out.is_empty() {
            self.left_out = Some((Instant::now(), left_out));
        }
        Ok(changed)
    }

    /// Waits on the only queue with as many permits as are free, but leaves one to the reclaimer.
    async fn read_one(&mut self, mut permits: Permit) -> Result<(), Error> {
        if let Some(more) = self.runtime.core.slots.take_free(1) {
            permits.merge(more);
        }
        let queues = self.queues.clone();
        let deliveries = self.read(&queues, permits.num_permits(), true).await?;
        take_up(&self.runtime, deliveries, Some(permits));
        Ok(())
    }

    /// Looks into each queue, and waits on all together only if all were empty. A read over several queues may bring one
    /// entry of each: those without a permit wait for one before they are claimed.
    async fn read_several(&mut self, mut permits: Permit) -> Result<(), Error> {
        self.queues.rotate_left(1);
        if let Some(more) = self.runtime.core.slots.take_free(0) {
            permits.merge(more);
        }
        let mut found = false;
        for queue in self.queues.clone() {
            let count = permits.num_permits();
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
        let one = permits.split(1);
        drop(permits);
        let queues = self.queues.clone();
        let deliveries = self.read(&queues, 1, true).await?;
        take_up(&self.runtime, deliveries, one);
        Ok(())
    }

    /// Reads new entries. A read that blocks is never dropped halfway: the server may have handed an entry out already.
    async fn read(
        &mut self,
        queues: &[QueueName],
        count: usize,
        block: bool,
    ) -> Result<Vec<Delivery>, Error> {
        let (runtime, shard) = (&self.runtime, self.shard);
        let Some(connection) = &mut self.connection else {
            return Ok(Vec::new());
        };
        let source = StreamReader {
            worker: &runtime.core.worker,
            shard,
            queues,
        };
        let store = &runtime.core.store;
        if !block {
            return store.read_new(connection, source, count, None).await;
        }
        let several = runtime.core.store.shards().all().nth(1).is_some();
        let wait = if several { BLOCK_AMONG_SHARDS } else { BLOCK };
        let _blocking = runtime
            .core
            .slots
            .blocking(shard, connection.client_id(), count);
        if runtime.core.is_stopping() {
            return Ok(Vec::new());
        }
        store.read_new(connection, source, count, Some(wait)).await
    }

    /// Makes the groups that are missing, and takes up entries that were delivered to this worker and are not in hand.
    async fn look_for_lost(&self) -> Result<(), Error> {
        let (runtime, shard) = (&self.runtime, self.shard);
        for queue in &self.queues {
            let stream = QueueStream { shard, queue };
            runtime.core.store.ensure_group(stream).await?;
        }
        // A Redis that lost the groups may have lost the registered tools too.
        runtime.core.wake.janitor.notify_one();
        let source = StreamReader {
            worker: &runtime.core.worker,
            shard,
            queues: &self.queues,
        };
        // The read returns entries in hand too. The others are at most as many as the slots: no fetcher asks for more.
        if self.queues.is_empty() {
            return Ok(());
        }
        let count = runtime.core.in_flight.len() + runtime.core.slots.total();
        let deliveries = runtime.core.store.read_pending(source, count).await?;
        take_up(runtime, deliveries, None);
        Ok(())
    }
}
