//! How many jobs run at once.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use taskferry_contract::{Connections, Shard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::lock::lock;
use super::quota::{Begun, Quota};

/// A permit is a slot of this worker, taken: the right to run one job.
pub(crate) type Permit = OwnedSemaphorePermit;

/// The right to begin one job, or several if it was taken for several: slots, and as much of the worker's quota.
#[derive(Debug)]
pub(crate) struct StartPermit {
    slot: Permit,
    quota: OwnedSemaphorePermit,
}

impl StartPermit {
    /// How many jobs may begin with it.
    pub(crate) fn jobs(&self) -> usize {
        self.slot.num_permits()
    }

    /// Takes the right to so many jobs out of this one. `None` if it has fewer.
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

    /// A job begins with it.
    pub(crate) fn begin(self, quota: &Quota) -> (Permit, Begun) {
        (self.slot, quota.begin(self.quota))
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
    quota: Arc<Quota>,
    connections: Connections,
    blocked: Mutex<HashMap<Shard, Blocked>>,
}

#[derive(Debug, Clone, Copy)]
struct Blocked {
    client_id: i64,
    permits: usize,
}

impl Slots {
    pub(crate) fn new(total: usize, quota: Arc<Quota>, connections: Connections) -> Self {
        Self {
            total,
            semaphore: Arc::new(Semaphore::new(total)),
            quota,
            connections,
            blocked: Mutex::default(),
        }
    }

    pub(crate) fn total(&self) -> usize {
        self.total
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

    /// Waits for the right to begin a job.
    pub(crate) async fn acquire_start(&self) -> StartPermit {
        // In this order: who waits for the quota must not hold a slot that a job in flight needs.
        let quota = self.quota.acquire().await;
        let slot = self.acquire().await;
        StartPermit { slot, quota }
    }

    /// The same for an entry that was delivered already; ends blocking reads to get it.
    pub(crate) async fn acquire_start_now(&self) -> StartPermit {
        self.now(self.acquire_start()).await
    }

    /// Waits for a slot.
    pub(crate) async fn acquire(&self) -> Permit {
        Arc::clone(&self.semaphore)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed")
    }

    /// Waits for a slot for a job in flight, and ends blocking reads to get one.
    pub(crate) async fn acquire_now(&self) -> Permit {
        self.now(self.acquire()).await
    }

    /// Waits for this permit, and ends blocking reads to get it.
    async fn now<P>(&self, permit: impl Future<Output = P>) -> P {
        let mut permit = pin!(permit);
        loop {
            tokio::select! {
                biased;
                permit = &mut permit => return permit,
                () = self.unblock() => {}
            }
            tokio::select! {
                biased;
                permit = &mut permit => return permit,
                () = tokio::time::sleep(ASK_AGAIN) => {}
            }
        }
    }

    /// All free slots but `kept`, as far as the quota has room.
    pub(crate) fn take_free(&self, kept: usize) -> Option<StartPermit> {
        let free = self.semaphore.available_permits().saturating_sub(kept);
        let quota = self.quota.take(free)?;
        let count = u32::try_from(quota.num_permits()).ok()?;
        // Another loop may have been faster; then the next round takes what is left.
        let slot = Arc::clone(&self.semaphore).try_acquire_many_owned(count);
        slot.ok().map(|slot| StartPermit { slot, quota })
    }

    /// Notes that a fetcher blocks on this connection while it holds `permits` slots, until the guard is dropped.
    pub(crate) fn blocking(&self, shard: Shard, client_id: i64, permits: usize) -> Blocking<'_> {
        lock(&self.blocked).insert(shard, Blocked { client_id, permits });
        Blocking { slots: self, shard }
    }

    /// Ends every blocking read.
    pub(crate) async fn unblock(&self) {
        let blocked: Vec<i64> = lock(&self.blocked).values().map(|b| b.client_id).collect();
        for client_id in blocked {
            if let Err(error) = self.connections.unblock(client_id).await {
                tracing::debug!(%error, "a blocking read could not be ended");
            }
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
