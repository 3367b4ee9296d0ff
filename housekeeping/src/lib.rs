//! What keeps the queues going, whoever lives: due jobs come to their streams, jobs that lost their worker are put back, slots
//! that nobody freed are given out, names of workers that are gone are taken off. Front ends and workers all run this; for each
//! shard one of them at a time does the work, by a short lease in Redis, and another begins within two seconds when it dies.
//!
//! Nothing here runs a job or knows its tool.

mod keeper;
mod post;
mod queue;
mod rounds;
pub mod told;
mod wire;

use std::sync::atomic::{AtomicU64, Ordering};

use taskferry_contract::{QueueName, Shard, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use keeper::Keeper;

/// What one process does for all shards.
#[derive(Debug)]
pub struct Housekeeping {
    store: Store,
    /// The id of this process: a front end's or a worker's.
    holder: String,
    /// Queues that it looks after even if nobody has registered tools for them, and the only ones if its user may not look
    /// after all.
    own: Vec<QueueName>,
    wake: Notify,
    /// How often [`Self::nudge`] was called.
    nudges: AtomicU64,
}

impl Housekeeping {
    /// For the process with this id. `own` are the queues of a worker, none for a front end.
    #[must_use]
    pub fn new(store: Store, holder: String, own: Vec<QueueName>) -> Self {
        Self {
            store,
            holder,
            own,
            wake: Notify::new(),
            nudges: AtomicU64::new(0),
        }
    }

    /// A job became due, or soon will be: if this process keeps house, it looks now rather than within half a second.
    pub fn nudge(&self) {
        self.nudges.fetch_add(1, Ordering::Relaxed);
        self.wake.notify_waiters();
    }

    /// Keeps the queues of one shard going until `stop`, whenever no other process does. Then gives that up, so that another
    /// begins at once.
    pub async fn run(&self, shard: Shard, stop: &CancellationToken) {
        let mut keeper = Keeper::new(self, shard);
        rounds::repeat(&mut keeper, &self.wake, stop).await;
        keeper.leave().await;
    }
}
