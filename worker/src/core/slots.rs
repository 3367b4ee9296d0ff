//! How many jobs run at once.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use taskferry_contract::{Connections, QueueName, Shard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::lock::lock;
use super::queue_slots::{QueueRight, QueueSlots};
use super::quota::{Begun, Quota};

/// A slot of this worker, taken: the right to run one job, of one queue. In this order: what is rung by the end of the
/// queue's right must find the slot free.
#[derive(Debug)]
pub(crate) struct Permit {
    _slot: OwnedSemaphorePermit,
    _right: QueueRight,
}

/// Slots without a job, taken for jobs of whichever queue, and as much of the worker's quota.
#[derive(Debug)]
pub(crate) struct FreeSlots {
    slot: OwnedSemaphorePermit,
    quota: OwnedSemaphorePermit,
}

impl FreeSlots {
    /// How many jobs may begin in them.
    pub(crate) fn jobs(&self) -> usize {
        self.slot.num_permits()
    }

    /// Takes so many out of these. `None` if there are fewer.
    pub(crate) fn split(&mut self, jobs: usize) -> Option<Self> {
        Some(Self {
            slot: self.slot.split(jobs)?,
            quota: self.quota.split(jobs)?,
        })
    }

    pub(crate) fn merge(&mut self, more: Self) {
        self.slot.merge(more.slot);
        self.quota.merge(more.quota);
    }

    /// The right to begin as many jobs of the queue whose right this is.
    pub(crate) fn of(self, right: QueueRight) -> StartPermit {
        StartPermit { slots: self, right }
    }
}

/// The right to begin one job of a queue, or several if it was taken for several.
#[derive(Debug)]
pub(crate) struct StartPermit {
    slots: FreeSlots,
    right: QueueRight,
}

impl StartPermit {
    /// Takes the right to so many jobs out of this one. `None` if it has fewer.
    pub(crate) fn split(&mut self, jobs: usize) -> Option<Self> {
        Some(Self {
            slots: self.slots.split(jobs)?,
            right: self.right.split(jobs)?,
        })
    }

    /// The slots, for jobs of another queue.
    pub(crate) fn unused(self) -> FreeSlots {
        self.right.unused();
        self.slots
    }

    /// A job begins with it.
    pub(crate) fn begin(self, quota: &Quota) -> (Permit, Begun) {
        let permit = Permit {
            _slot: self.slots.slot,
            _right: self.right,
        };
        (permit, quota.begin(self.slots.quota))
    }
}

/// Pause between calls that end the blocking reads, while a job waits for a slot that one of them holds.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// The slots of a worker. A fetcher that waits in a blocking read holds slots that no job uses yet. They count as spare: a
/// job that is already in flight gets one by ending the read.
#[derive(Debug)]
pub(crate) struct Slots {
    total: usize,
    semaphore: Arc<Semaphore>,
    queues: QueueSlots,
    quota: Arc<Quota>,
    connections: Connections,
    blocked: Mutex<HashMap<Shard, Blocked>>,
}

/// What a fetcher holds while it waits in a blocking read.
#[derive(Debug, Clone)]
pub(crate) struct Blocked {
    pub(crate) client_id: i64,
    /// How many slots.
    pub(crate) permits: usize,
    /// The queues it reads, of whose bounds it holds as many.
    pub(crate) queues: Vec<QueueName>,
}

impl Slots {
    pub(crate) fn new(
        total: usize,
        queues: QueueSlots,
        quota: Arc<Quota>,
        connections: Connections,
    ) -> Self {
        Self {
            total,
            semaphore: Arc::new(Semaphore::new(total)),
            queues,
            quota,
            connections,
            blocked: Mutex::default(),
        }
    }

    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// The bounds of its queues.
    pub(crate) fn queues(&self) -> &QueueSlots {
        &self.queues
    }

    /// Jobs that hold a slot.
    pub(crate) fn busy(&self) -> usize {
        self.total.saturating_sub(self.spare())
    }

    /// Slots without a job.
    pub(crate) fn spare(&self) -> usize {
        let lent: usize = lock(&self.blocked).values().map(|b| b.permits).sum();
        self.semaphore.available_permits() + lent
    }

    /// Waits for a slot for a job that a fetcher is about to read.
    pub(crate) async fn acquire_free(&self) -> FreeSlots {
        // In this order: who waits for the quota must not hold a slot that a job in flight needs.
        let quota = self.quota.acquire().await;
        let slot = self.acquire_slot().await;
        FreeSlots { slot, quota }
    }

    /// Waits for the right to begin a job whose entry was delivered already; ends blocking reads to get it.
    pub(crate) async fn acquire_start_now(&self, queue: &QueueName) -> StartPermit {
        // In this order, for the same reason: nobody holds a slot while it waits for anything else.
        let quota = self.now(|_| true, self.quota.acquire()).await;
        let right = self.acquire_right_now(queue).await;
        let slot = self.now(|_| true, self.acquire_slot()).await;
        FreeSlots { slot, quota }.of(right)
    }

    /// Waits for a slot for a job in flight, and ends blocking reads to get one.
    pub(crate) async fn acquire_now(&self, queue: &QueueName) -> Permit {
        let right = self.acquire_right_now(queue).await;
        let slot = self.now(|_| true, self.acquire_slot()).await;
        Permit {
            _slot: slot,
            _right: right,
        }
    }

    async fn acquire_right_now(&self, queue: &QueueName) -> QueueRight {
        let reads_it = |blocked: &Blocked| blocked.queues.contains(queue);
        self.now(reads_it, self.queues.acquire(queue)).await
    }

    async fn acquire_slot(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.semaphore)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed")
    }

    /// Waits for this permit, and ends the blocking reads that may hold it.
    async fn now<P>(
        &self,
        may_hold_it: impl Fn(&Blocked) -> bool,
        permit: impl Future<Output = P>,
    ) -> P {
        let mut permit = pin!(permit);
        loop {
            tokio::select! {
                biased;
                permit = &mut permit => return permit,
                () = self.unblock_those(&may_hold_it) => {}
            }
            tokio::select! {
                biased;
                permit = &mut permit => return permit,
                () = tokio::time::sleep(ASK_AGAIN) => {}
            }
        }
    }

    /// All free slots but `kept`, as far as the quota has room.
    pub(crate) fn take_free(&self, kept: usize) -> Option<FreeSlots> {
        let free = self.semaphore.available_permits().saturating_sub(kept);
        let quota = self.quota.take(free)?;
        let count = u32::try_from(quota.num_permits()).ok()?;
        // Another loop may have been faster; then the next round takes what is left.
        let slot = Arc::clone(&self.semaphore).try_acquire_many_owned(count);
        slot.ok().map(|slot| FreeSlots { slot, quota })
    }

    /// Notes that the fetcher of a shard blocks, until the guard is dropped.
    pub(crate) fn blocking(&self, shard: Shard, blocked: Blocked) -> Blocking<'_> {
        lock(&self.blocked).insert(shard, blocked);
        Blocking { slots: self, shard }
    }

    /// Ends every blocking read.
    pub(crate) async fn unblock(&self) {
        self.unblock_those(&|_| true).await;
    }

    /// Waits for `ring`, then ends the blocking read of a shard, again and again: it may only be about to begin.
    pub(crate) async fn unblock_once(
        &self,
        shard: Shard,
        ring: impl Future<Output = ()>,
    ) -> Infallible {
        ring.await;
        loop {
            let client_id = lock(&self.blocked).get(&shard).map(|b| b.client_id);
            if let Some(client_id) = client_id {
                self.unblock_client(client_id).await;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    async fn unblock_those(&self, which: &impl Fn(&Blocked) -> bool) {
        let blocked: Vec<i64> = {
            let blocked = lock(&self.blocked);
            let those = blocked.values().filter(|blocked| which(blocked));
            those.map(|blocked| blocked.client_id).collect()
        };
        for client_id in blocked {
            self.unblock_client(client_id).await;
        }
    }

    async fn unblock_client(&self, client_id: i64) {
        if let Err(error) = self.connections.unblock(client_id).await {
            tracing::debug!(%error, "a blocking read could not be ended");
        }
    }
}

/// A read that blocks.
pub(crate) struct Blocking<'a> {
    slots: &'a Slots,
    shard: Shard,
}

impl Drop for Blocking<'_> {
    fn drop(&mut self) {
        lock(&self.slots.blocked).remove(&self.shard);
    }
}
