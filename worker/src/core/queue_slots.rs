//! How many of the worker's slots the jobs of one queue may take.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use taskferry_contract::{QueueName, Shard};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::lock::lock;

/// The bounds of the queues that have one. All others may take every slot.
#[derive(Debug, Default)]
pub(crate) struct QueueSlots {
    bounds: BTreeMap<QueueName, Bound>,
    freed: Arc<Notify>,
}

#[derive(Debug)]
struct Bound {
    slots: Arc<Semaphore>,
    /// A shard whose fetcher found the queue at its bound, and has not come back yet.
    wanted_by: Mutex<Option<Shard>>,
}

/// The right of a queue's jobs to take some of the worker's slots. It holds something only if the queue has a bound; then
/// the fetchers are rung when it ends.
#[derive(Debug, Default)]
pub(crate) struct QueueRight(Option<Held>);

#[derive(Debug)]
struct Held {
    slots: OwnedSemaphorePermit,
    freed: Arc<Notify>,
}

impl Drop for QueueRight {
    fn drop(&mut self) {
        if let Some(Held { slots, freed }) = self.0.take() {
            let any = slots.num_permits() > 0;
            // Whoever is rung must find them free.
            drop(slots);
            if any {
                freed.notify_waiters();
            }
        }
    }
}

impl QueueSlots {
    pub(crate) fn new(bounds: impl IntoIterator<Item = (QueueName, usize)>) -> Self {
        let bounds = bounds.into_iter().map(|(queue, slots)| {
            let slots = Arc::new(Semaphore::new(slots));
            let wanted_by = Mutex::default();
            (queue, Bound { slots, wanted_by })
        });
        Self {
            bounds: bounds.collect(),
            freed: Arc::default(),
        }
    }

    /// How many slots more the queue's jobs may take; zero at its bound.
    pub(crate) fn room(&self, queue: &QueueName) -> usize {
        let bound = self.bounds.get(queue);
        bound.map_or(usize::MAX, |bound| bound.slots.available_permits())
    }

    /// The right to so many slots, for what a fetcher reads. `None` if the queue has no room for them.
    pub(crate) fn take(&self, queue: &QueueName, count: usize) -> Option<QueueRight> {
        let Some(bound) = self.bounds.get(queue) else {
            return Some(QueueRight(None));
        };
        let count = u32::try_from(count).ok()?;
        let slots = Arc::clone(&bound.slots).try_acquire_many_owned(count);
        slots.ok().map(|slots| self.right(slots))
    }

    /// The right to one slot, for a fetcher that blocks until there is an entry. `None` if the queue is at its bound, or if
    /// the fetcher of another shard waits for its last slot, and this one would keep it from it for ever.
    pub(crate) fn lend(&self, queue: &QueueName, shard: Shard) -> Option<QueueRight> {
        if let Some(bound) = self.bounds.get(queue) {
            let wanted_by = lock(&bound.wanted_by).take();
            let is_the_last = bound.slots.available_permits() == 1;
            if is_the_last && wanted_by.is_some_and(|other| other != shard) {
                return None;
            }
        }
        let right = self.take(queue, 1);
        if right.is_none() {
            self.note_wanted(queue, shard);
        }
        right
    }

    /// Notes that the fetcher of a shard would read the queue, were it not at its bound.
    pub(crate) fn note_wanted(&self, queue: &QueueName, shard: Shard) {
        if let Some(bound) = self.bounds.get(queue) {
            lock(&bound.wanted_by).get_or_insert(shard);
        }
    }

    /// Waits for the right to one slot.
    pub(crate) async fn acquire(&self, queue: &QueueName) -> QueueRight {
        let Some(bound) = self.bounds.get(queue) else {
            return QueueRight(None);
        };
        let slots = Arc::clone(&bound.slots).acquire_owned().await;
        self.right(slots.expect("the semaphore is never closed"))
    }

    fn right(&self, slots: OwnedSemaphorePermit) -> QueueRight {
        let freed = Arc::clone(&self.freed);
        QueueRight(Some(Held { slots, freed }))
    }

    /// Rings when a queue with a bound may have room again.
    pub(crate) fn freed(&self) -> &Notify {
        &self.freed
    }
}

impl QueueRight {
    /// Takes the right to so many slots out of this one. `None` if it has fewer.
    pub(crate) fn split(&mut self, count: usize) -> Option<Self> {
        let Some(held) = &mut self.0 else {
            return Some(Self(None));
        };
        Some(Self(Some(Held {
            slots: held.slots.split(count)?,
            freed: Arc::clone(&held.freed),
        })))
    }

    /// Ends it without a ring: nothing began with it, and whoever held it looks again by itself.
    pub(crate) fn unused(mut self) {
        self.0 = None;
    }
}
