//! How many jobs run at once.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use taskferry_contract::{Connections, Shard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::lock::lock;

/// A permit is a slot of this worker, taken: the right to run one job, or several if it was taken for several.
pub(crate) type Permit = OwnedSemaphorePermit;

/// Pause between calls that end the blocking reads, while a job waits for a slot that one of them holds.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// The slots of a worker. A fetcher that waits in a blocking read holds slots that no job uses yet. They count as spare: a
/// job that is already in flight gets one by ending the read.
#[derive(Debug)]
pub(crate) struct Slots {
    total: usize,
    semaphore: Arc<Semaphore>,
    connections: Connections,
    blocked: Mutex<HashMap<Shard, Blocked>>,
}

#[derive(Debug, Clone, Copy)]
struct Blocked {
    client_id: i64,
    permits: usize,
}

impl Slots {
    pub(crate) fn new(total: usize, connections: Connections) -> Self {
        Self {
            total,
            semaphore: Arc::new(Semaphore::new(total)),
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

    /// Waits for a slot to read with.
    pub(crate) async fn acquire(&self) -> Permit {
        Arc::clone(&self.semaphore)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed")
    }

    /// Waits for a slot for a job in flight, and ends blocking reads to get one.
    pub(crate) async fn acquire_now(&self) -> Permit {
        let mut permit = pin!(self.acquire());
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

    /// All free slots but `kept`.
    pub(crate) fn take_free(&self, kept: usize) -> Option<Permit> {
        let free = self.semaphore.available_permits().saturating_sub(kept);
        let free = u32::try_from(free).ok().filter(|free| *free > 0)?;
        // Another loop may have been faster; then the next round takes what is left.
        Arc::clone(&self.semaphore)
            .try_acquire_many_owned(free)
            .ok()
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
