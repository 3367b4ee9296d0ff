//! The loops that keep jobs running, one role each, and what they share.

pub(crate) mod activity;
pub(crate) mod attempt;
pub(crate) mod backoff;
pub(crate) mod claim;
pub(crate) mod clock;
pub(crate) mod ended;
pub(crate) mod executor;
pub(crate) mod fetcher;
pub(crate) mod forwarder;
pub(crate) mod heartbeat;
pub(crate) mod in_flight;
pub(crate) mod janitor;
pub(crate) mod misfit;
pub(crate) mod progress;
pub(crate) mod reclaimer;
pub(crate) mod relay;
pub(crate) mod settle;
pub(crate) mod slots;
pub(crate) mod supervise;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use taskferry_contract::{
    DefinitionDigest, Error, QueueName, Shard, Store, ToolChecks, ToolDefinition, ToolName,
    WorkerId,
};
use taskferry_process::Offload;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::handler::Handler;
use activity::{Activity, Fetching};
use in_flight::InFlight;
use relay::Relay;
use slots::Slots;

/// A tool that this worker can run.
pub(crate) struct Tool {
    pub(crate) definition: ToolDefinition,
    /// Of the definition: what jobs were checked against that run here.
    pub(crate) digest: DefinitionDigest,
    pub(crate) handler: Arc<dyn Handler>,
    /// What its results are held to.
    pub(crate) checks: ToolChecks,
}

/// What all loops of a worker share.
pub(crate) struct Runtime {
    pub(crate) store: Store,
    /// To whom attempts talk: the store, but for a tool that is only tried.
    pub(crate) relay: Arc<dyn Relay>,
    pub(crate) worker: WorkerId,
    pub(crate) host: String,
    pub(crate) lease: Duration,
    pub(crate) park_after: Duration,
    /// The largest outcome that is stored, bytes.
    pub(crate) max_result: usize,
    pub(crate) tools: HashMap<ToolName, Tool>,
    /// The queues of its tools, each once.
    pub(crate) queues: Vec<QueueName>,
    pub(crate) slots: Arc<Slots>,
    pub(crate) in_flight: Arc<InFlight>,
    /// One future per entry that was delivered, until it is settled.
    pub(crate) jobs: TaskTracker,
    /// Handlers that run, each on its own so that a panic or a blocked thread is the handler's alone.
    pub(crate) handlers: TaskTracker,
    pub(crate) phase: Phase,
    pub(crate) wake: Wake,
    pub(crate) ended: Tally,
    /// Where large results are checked.
    pub(crate) offload: Offload,
    /// What it says of itself.
    pub(crate) activity: Mutex<Activity>,
    /// Why this worker must end by itself, once it must.
    pub(crate) unfit: Mutex<Option<Error>>,
}

/// How far the end of the worker has come. Each step implies those before, but for `read_no_more`.
#[derive(Debug, Default)]
pub(crate) struct Phase {
    /// Nothing new is begun.
    pub(crate) stop: CancellationToken,
    /// No stream is read any more, so that what is given back from now on goes to other workers.
    pub(crate) read_no_more: CancellationToken,
    /// What still runs is stopped and released.
    pub(crate) halt: CancellationToken,
    /// What is still there is dropped, and nothing is tried again.
    pub(crate) kill: CancellationToken,
}

/// Loops that sleep are woken when something is known to wait for them.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    pub(crate) forwarder: Notify,
    pub(crate) reclaimer: Notify,
    pub(crate) janitor: Notify,
}

/// What became of the jobs that were under way when the worker was told to stop.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    released: AtomicUsize,
    abandoned: AtomicUsize,
}

impl Tally {
    pub(crate) fn count_released(&self) {
        self.released.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_abandoned(&self) {
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn released(&self) -> usize {
        self.released.load(Ordering::Relaxed)
    }

    pub(crate) fn abandoned(&self) -> usize {
        self.abandoned.load(Ordering::Relaxed)
    }
}

impl Runtime {
    pub(crate) fn is_stopping(&self) -> bool {
        self.phase.stop.is_cancelled()
    }

    /// Notes what the fetcher of a shard does from now on.
    pub(crate) fn fetcher(&self, shard: Shard, does: Fetching) {
        lock(&self.activity).fetcher(shard, does, Instant::now());
    }

    /// In one line what the worker does.
    pub(crate) fn doing(&self) -> String {
        if self.is_stopping() {
            return "draining".to_owned();
        }
        lock(&self.activity).told(Instant::now())
    }

    /// Winds the worker down, as a signal would, because it can work here no longer.
    pub(crate) fn give_up(&self, error: Error) {
        lock(&self.unfit).get_or_insert(error);
        self.phase.stop.cancel();
    }
}

/// Locks data that stays whole even if a holder panicked: every critical section here is a few plain assignments.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
