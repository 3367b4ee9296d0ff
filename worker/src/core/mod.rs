//! What the loops of a worker and its running attempts share. Nothing here knows handlers or tools.

pub(crate) mod activity;
pub(crate) mod attempt;
pub(crate) mod awaiting;
pub(crate) mod clock;
pub(crate) mod in_flight;
pub(crate) mod lock;
pub(crate) mod pause;
pub(crate) mod phase;
pub(crate) mod queue_slots;
pub(crate) mod quota;
pub(crate) mod relay;
pub(crate) mod reports;
pub(crate) mod slot_guard;
pub(crate) mod slots;
pub(crate) mod turns;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use taskferry_contract::{DRAINING, Error, QueueName, Shard, Store, WorkerId};
use taskferry_housekeeping::Housekeeping;
use taskferry_process::Offload;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use activity::{Activity, Fetching};
use in_flight::InFlight;
use lock::lock;
use phase::{Phase, Tally};
use quota::Quota;
use slots::Slots;

/// What all loops and attempts of a worker share.
pub(crate) struct Core {
    pub(crate) store: Store,
    pub(crate) worker: WorkerId,
    pub(crate) host: String,
    pub(crate) lease: Duration,
    pub(crate) park_after: Duration,
    /// The largest outcome that is stored, bytes.
    pub(crate) max_result: usize,
    /// The queues of its tools, each once, with its weight among them.
    pub(crate) queues: Vec<QueueName>,
    pub(crate) weights: BTreeMap<QueueName, u32>,
    pub(crate) slots: Arc<Slots>,
    pub(crate) quota: Arc<Quota>,
    pub(crate) in_flight: Arc<InFlight>,
    /// One future per entry that was delivered, until it is settled.
    pub(crate) jobs: TaskTracker,
    /// Handlers that run, each on its own so that a panic or a blocked thread is the handler's alone.
    pub(crate) handlers: TaskTracker,
    pub(crate) phase: Phase,
    /// Wakes the janitor.
    pub(crate) make_known: Notify,
    /// Keeps the queues going, of all who work on them, if no other process does.
    pub(crate) housekeeping: Housekeeping,
    pub(crate) ended: Tally,
    /// Checks large results on threads of their own.
    pub(crate) offload: Offload,
    /// What its loops do, as it reports it.
    pub(crate) activity: Mutex<Activity>,
    /// Why this worker must end by itself. `None` while it can go on.
    pub(crate) fatal_error: Mutex<Option<Error>>,
}

impl Core {
    pub(crate) fn is_stopping(&self) -> bool {
        self.phase.stop.is_cancelled()
    }

    /// Notes what the fetcher of a shard does from now on.
    pub(crate) fn note_fetcher(&self, shard: Shard, does: Fetching) {
        lock(&self.activity).note_fetcher(shard, does, Instant::now());
    }

    /// In one line what the worker does.
    pub(crate) fn doing(&self) -> String {
        if self.is_stopping() {
            return DRAINING.to_owned();
        }
        lock(&self.activity).in_one_line(Instant::now())
    }

    /// Winds the worker down, as a signal would, because it can work here no longer.
    pub(crate) fn give_up(&self, error: Error) {
        lock(&self.fatal_error).get_or_insert(error);
        self.phase.stop.cancel();
    }
}
