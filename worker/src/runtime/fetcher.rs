//! Takes new entries off the streams of one shard.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use taskferry_contract::{Delivery, Error, QueueName, QueueStream, Shard, StreamReader};

use super::Runtime;
use super::executor::take_up;
use super::reads::Reads;
use crate::core::activity::Fetching;
use crate::core::pause::GrowingPause;
use crate::core::queue_slots::QueueRight;
use crate::core::slots::{FreeSlots, StartPermit};
use crate::core::turns::Turns;

/// How long a read waits for an entry.
const BLOCK: Duration = Duration::from_secs(5);
/// The same with several shards. Shorter, because the read holds a worker slot that the fetcher of another shard may need.
const BLOCK_AMONG_SHARDS: Duration = Duration::from_millis(500);

/// How often to check whether a queue can be read again whose key had the wrong type.
const CHECK_AGAIN: Duration = Duration::from_secs(2);

/// The fetcher of one shard. It takes a worker slot before it reads new entries, and does not read a queue that is at its
/// bound. Only a read over several queues may bring an entry too many, which then waits for a slot.
pub(crate) struct Fetcher {
    runtime: Arc<Runtime>,
    shard: Shard,
    /// Those that can be read, in rotating order, so that no queue always comes first.
    queues: Vec<QueueName>,
    /// Which of them is read next while there are jobs.
    turns: Turns,
    reads: Reads,
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
        let queues = runtime.core.queues.clone();
        let weight = |queue: &QueueName| runtime.core.weights.get(queue).copied();
        let weighted = queues.iter().map(|queue| (queue.clone(), weight(queue)));
        Self {
            turns: Turns::new(weighted.map(|(queue, weight)| (queue, weight.unwrap_or(1)))),
            queues,
            reads: Reads::new(Arc::clone(&runtime), shard),
            runtime,
            shard,
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
                    self.reads.disconnect();
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
        // Shown only while it waits.
        self.note(Fetching::Full);
        if !self.until_one_has_room().await {
            return Ok(());
        }
        let slots = tokio::select! {
            biased;
            () = self.runtime.core.phase.stop.cancelled() => return Ok(()),
            slots = self.runtime.core.slots.acquire_free() => slots,
        };
        self.note(Fetching::Reading);
        self.reads.connect().await?;
        match self.queues.len() {
            1 => self.read_one(slots).await,
            _ => self.read_several(slots).await,
        }
    }

    /// Waits, without a slot, while all queues are at their bounds. Returns whether one has room now.
    async fn until_one_has_room(&self) -> bool {
        let bounds = self.runtime.core.slots.queues();
        let mut freed = pin!(bounds.freed().notified());
        // Before the look, so that no end of a job is missed.
        freed.as_mut().enable();
        let has_room = || self.queues.iter().any(|queue| bounds.room(queue) > 0);
        if has_room() {
            return true;
        }
        for queue in &self.queues {
            bounds.note_wanted(queue, self.shard);
        }
        tokio::select! {
            () = freed => {}
            // What the fetcher of another shard holds comes back without a ring.
            () = tokio::time::sleep(self.longest_wait(true)) => {}
            () = self.runtime.core.phase.stop.cancelled() => {}
        }
        has_room()
    }

    /// Lets the fetcher of another shard have the last slot of a queue, after this one had it.
    async fn make_way(&self) {
        if self.is_one_of_several() {
            tokio::select! {
                () = tokio::time::sleep(BLOCK_AMONG_SHARDS) => {}
                () = self.runtime.core.phase.stop.cancelled() => {}
            }
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

    /// Blocks on the only queue, with all free worker slots that it may take, but for one that stays for the fetchers of
    /// other shards.
    async fn read_one(&mut self, mut slots: FreeSlots) -> Result<(), Error> {
        let runtime = Arc::clone(&self.runtime);
        let kept = usize::from(self.is_one_of_several());
        if let Some(more) = runtime.core.slots.take_free(kept) {
            slots.merge(more);
        }
        let Some(queue) = self.queues.first().cloned() else {
            return Ok(());
        };
        let bounds = runtime.core.slots.queues();
        let count = slots.jobs().min(bounds.room(&queue).saturating_sub(kept));
        let (count, right) = match count {
            0 | 1 => (1, bounds.lend(&queue, self.shard)),
            _ => (count, bounds.take(&queue, count)),
        };
        let mine = slots.split(count);
        drop(slots);
        let (Some(right), Some(mine)) = (right, mine) else {
            self.make_way().await;
            return Ok(());
        };
        let (queues, wait) = ([queue], self.longest_wait(true));
        let never = std::future::pending();
        let read = self.reads.blocking(&queues, count, wait, never);
        let deliveries = read.await?;
        self.begin(deliveries, mine.of(right));
        Ok(())
    }

    /// Reads the queues whose turns come, and blocks on all together only if all were empty. A read over several queues may
    /// bring one entry of each: those without a worker slot wait for one before they are claimed.
    async fn read_several(&mut self, mut slots: FreeSlots) -> Result<(), Error> {
        if let Some(more) = self.runtime.core.slots.take_free(0) {
            slots.merge(more);
        }
        if self.read_in_turn(&mut slots).await? {
            return Ok(());
        }
        let slot_for_one = slots.split(1);
        drop(slots);
        self.read_whatever_comes(slot_for_one).await
    }

    /// Reads what is there, in the order of the queues' turns, until these slots are used up or all queues that have room
    /// are empty. Returns whether there was anything.
    async fn read_in_turn(&mut self, slots: &mut FreeSlots) -> Result<bool, Error> {
        let runtime = Arc::clone(&self.runtime);
        let bounds = runtime.core.slots.queues();
        let mut left = self.queues.clone();
        let mut found = false;
        loop {
            let room = |queue: &QueueName| {
                let may_have_some = left.contains(queue).then(|| bounds.room(queue));
                may_have_some.unwrap_or(0)
            };
            let shares = self.turns.share(slots.jobs(), room);
            if shares.is_empty() {
                return Ok(found);
            }
            for (queue, count) in shares {
                let right = bounds.take(&queue, count);
                let (Some(right), Some(mine)) = (right, slots.split(count)) else {
                    // The fetcher of another shard was faster.
                    left.retain(|other| *other != queue);
                    continue;
                };
                let deliveries = self.reads.now(&queue, count).await?;
                found |= !deliveries.is_empty();
                if deliveries.len() < count {
                    left.retain(|other| *other != queue);
                }
                slots.merge(self.begin(deliveries, mine.of(right)));
            }
        }
    }

    /// Begins the work on deliveries of one queue, with a permit for as many; returns the slots that are left.
    fn begin(&self, deliveries: Vec<Delivery>, mut permits: StartPermit) -> FreeSlots {
        let used = permits.split(deliveries.len());
        take_up(&self.runtime, deliveries, used);
        permits.unused()
    }

    /// Blocks until an entry comes on any queue that has room.
    async fn read_whatever_comes(&mut self, slot: Option<FreeSlots>) -> Result<(), Error> {
        let runtime = Arc::clone(&self.runtime);
        let bounds = runtime.core.slots.queues();
        let mut freed = pin!(bounds.freed().notified());
        // Before the look, so that no end of a job is missed.
        freed.as_mut().enable();
        self.queues.rotate_left(1);
        let mut rights: BTreeMap<QueueName, QueueRight> = BTreeMap::new();
        let mut queues = Vec::new();
        for queue in &self.queues {
            if let Some(right) = bounds.lend(queue, self.shard) {
                queues.push(queue.clone());
                rights.insert(queue.clone(), right);
            }
            if !queues.is_empty() && runtime.core.quota.is_limited() {
                // An entry too many would wait here in vain.
                break;
            }
        }
        if queues.is_empty() {
            drop(slot);
            self.make_way().await;
            return Ok(());
        }
        let lacks_some = queues.len() < self.queues.len();
        let freed = async {
            if lacks_some {
                freed.await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        let wait = self.longest_wait(!runtime.core.quota.is_limited());
        let read = self.reads.blocking(&queues, 1, wait, freed);
        let deliveries = read.await?;
        let mut slot = slot;
        for delivery in deliveries {
            let right = match &delivery {
                Delivery::Job(claimed) => rights.remove(&claimed.queue),
                Delivery::Unreadable(_) => None,
            };
            let slot = right.and_then(|right| Some(slot.take()?.of(right)));
            take_up(&self.runtime, vec![delivery], slot);
        }
        rights.into_values().for_each(QueueRight::unused);
        Ok(())
    }

    /// How long a blocking read waits, if it reads all queues, or only those that have room.
    fn longest_wait(&self, reads_all: bool) -> Duration {
        let wait = if self.is_one_of_several() || !reads_all {
            BLOCK_AMONG_SHARDS
        } else {
            BLOCK
        };
        wait.min(self.runtime.core.quota.longest_read())
    }

    /// Whether there are other shards.
    fn is_one_of_several(&self) -> bool {
        self.runtime.core.store.shards().all().nth(1).is_some()
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
