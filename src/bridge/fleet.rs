//! What this front end knows of the workers, to show callers what their jobs wait for. A poll is one Redis command: what it
//! shows beside its record was read a moment before, for all.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use taskferry_contract::{
    Again, Fleet, Pauses, Status, Store, TaskView, Waits, WaitsFor, local_ms,
};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// The workers are read at most this often, and only when somebody asks for a job that waits.
const READ_EVERY: Duration = Duration::from_secs(1);

/// A poll waits no longer than this for what it shows beside its record.
const PATIENCE: Duration = Duration::from_millis(300);

/// A lease counts as over so long after its end, ms: a renewal may be on its way, and two clocks are compared.
const LEASE_GRACE_MS: i64 = 1_000;

/// The workers, as they were read last.
#[derive(Debug)]
pub(super) struct KnownFleet {
    store: Store,
    last: ArcSwapOption<Read>,
    reading: Mutex<()>,
    /// By how much Redis's clock is ahead of this machine's, ms.
    ahead_ms: AtomicI64,
}

#[derive(Debug)]
struct Read {
    at: Instant,
    /// `None` if it failed, or took too long.
    fleet: Option<Fleet>,
    pauses: Pauses,
}

impl KnownFleet {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            last: ArcSwapOption::empty(),
            reading: Mutex::new(()),
            ahead_ms: AtomicI64::new(0),
        }
    }

    /// The workers, read within the last second. One reads for all who ask.
    async fn fresh(&self) -> Arc<Read> {
        let fresh = || {
            let last = self.last.load_full();
            last.filter(|read| read.at.elapsed() < READ_EVERY)
        };
        if let Some(read) = fresh() {
            return read;
        }
        let _one = self.reading.lock().await;
        if let Some(read) = fresh() {
            return read;
        }
        let fleet = match timeout(PATIENCE, self.store.fleet()).await {
            Ok(Ok(fleet)) => {
                let ahead_ms = fleet.now_ms.saturating_sub(local_ms());
                self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
                Some(fleet)
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "the workers could not be read");
                None
            }
            Err(_elapsed) => None,
        };
        let pauses = self.pauses().await;
        let at = Instant::now();
        let read = Arc::new(Read { at, fleet, pauses });
        self.last.store(Some(Arc::clone(&read)));
        read
    }

    /// What is paused, as far as it could be read.
    async fn pauses(&self) -> Pauses {
        // It is the same on all shards.
        let shard = self.store.shards().all().next();
        let Some(shard) = shard else {
            return Pauses::default();
        };
        match timeout(PATIENCE, self.store.pauses_of(shard)).await {
            Ok(Ok(pauses)) => pauses,
            Ok(Err(error)) => {
                tracing::debug!(%error, "what is paused could not be read");
                Pauses::default()
            }
            Err(_elapsed) => Pauses::default(),
        }
    }

    /// The same view with what is known of the workers. A job whose lease is over is shown as it is: it waits to be taken over.
    pub(super) async fn complete(&self, mut view: TaskView) -> TaskView {
        if let Some(since_ms) = self.lost(&view).await {
            view.status = Status::Queued;
            view.updated_ms = since_ms;
            let again = if view.last_crash {
                Again::LostForGood
            } else {
                Again::Lost
            };
            view.waits = Some(Waits {
                what: WaitsFor::Worker,
                since_ms,
                again: Some(again),
                due_ms: None,
            });
        }
        // A plain call shows nothing of this.
        if view.status == Status::Queued && !view.plain {
            let read = self.fresh().await;
            let fleet = read.fleet.as_ref();
            // What a worker returned is due soon; whether another can run it is the question.
            let by_workers = view.waits.is_none_or(|waits| {
                waits.what == WaitsFor::Worker || waits.again == Some(Again::Returned)
            });
            view.served = fleet
                .filter(|_| by_workers)
                .map(|fleet| fleet.serving(&view.queue, &view.tool));
            view.paused = read.pauses.holding_up(&view.queue, &view.tool).cloned();
        }
        let in_line = view.waits.is_some_and(|waits| waits.what == WaitsFor::Turn);
        if in_line && view.status == Status::Queued && !view.plain {
            let ahead = timeout(PATIENCE, self.store.ahead_in_line(&view)).await;
            view.ahead = ahead.ok().and_then(Result::ok).flatten();
        }
        view
    }

    /// Since when a job that is worked on has lost its worker, by its lease. `None` if it has not.
    async fn lost(&self, view: &TaskView) -> Option<i64> {
        let until_ms = view.lease_ms.filter(|_| view.status == Status::Working)?;
        let is_over = || self.now_ms().saturating_sub(until_ms) > LEASE_GRACE_MS;
        if !is_over() {
            return None;
        }
        // By the clock as it is now.
        self.fresh().await;
        is_over().then_some(until_ms)
    }

    /// Redis's clock, as far as is known without asking.
    fn now_ms(&self) -> i64 {
        local_ms().saturating_add(self.ahead_ms.load(Ordering::Relaxed))
    }
}
