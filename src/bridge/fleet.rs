//! What this front end knows of the workers, to show callers what their jobs wait for. A poll is one Redis command: what it
//! shows beside its record was read a moment before, for all.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use taskferry_contract::{
    Again, Fleet, Pauses, Served, Status, Store, TaskView, Waits, WaitsFor, local_ms,
};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::Tool;
use super::unserved::{A_WHILE, Because, Unserved};

/// The workers are read at most this often, and only when somebody asks for a job that waits.
const READ_EVERY: Duration = Duration::from_secs(1);

/// While calls wait for a tool of which nobody knows yet whether a worker has it, the workers are read so often without being
/// asked for; and so often while it is known, and was told, that none has.
const LOOK: Duration = Duration::from_secs(5);
const LOOK_CALMLY: Duration = Duration::from_secs(15);

/// A tool is not looked after by itself if the workers were read so lately, and one had it.
const LATELY: Duration = LOOK_CALMLY;

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
    unserved: Unserved,
    /// After what time without a worker calls of a tool are refused; never if absent.
    refuse_after: Option<Duration>,
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
    pub(super) fn new(store: Store, refuse_after: Option<Duration>) -> Self {
        Self {
            store,
            last: ArcSwapOption::empty(),
            reading: Mutex::new(()),
            unserved: Unserved::default(),
            refuse_after,
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
        for news in fleet.iter().flat_map(|fleet| self.unserved.note(fleet, at)) {
            news.log();
        }
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
                turn_ms: None,
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
                .map(|fleet| self.serving(fleet, (&view.queue, &view.tool), read.at));
            view.paused = read.pauses.holding_up(&view.queue, &view.tool).cloned();
        }
        let in_line = view.waits.is_some_and(|waits| waits.what == WaitsFor::Turn);
        if in_line && view.status == Status::Queued && !view.plain {
            let ahead = timeout(PATIENCE, self.store.ahead_in_line(&view)).await;
            view.ahead = ahead.ok().and_then(Result::ok).flatten();
        }
        view
    }

    /// Who serves a tool for which somebody asks, as was read at `read`. One that nobody has is looked after.
    fn serving(&self, fleet: &Fleet, of: (&str, &str), read: Instant) -> Served {
        let served = fleet.serving(of.0, of.1);
        if served.able > 0 {
            return served;
        }
        let lacking = self.unserved.lacks(of, read, Instant::now());
        Served {
            long_unserved: lacking >= A_WHILE,
            ..served
        }
    }

    /// Notes that a tool is called, so that it is told if no worker has it for a while.
    pub(super) fn called(&self, of: (&str, &str)) {
        let last = self.last.load();
        let last = last.as_ref().filter(|read| read.at.elapsed() < LATELY);
        let fleet = last.and_then(|read| read.fleet.as_ref());
        if fleet.is_none_or(|fleet| fleet.serving(of.0, of.1).able == 0) {
            self.unserved.watch(of, Because::Called, Instant::now());
        }
    }

    /// Whether calls of a tool are refused: no living worker has had it for as long as was set, as far as was seen, and none has
    /// it now. Then how long that is.
    pub(super) async fn refuses(&self, of: (&str, &str)) -> Option<Duration> {
        let long = self.refuse_after?;
        let lacks = || {
            let lacking = self.unserved.lacking_for(of, Instant::now());
            lacking.is_some_and(|lacking| lacking >= long)
        };
        // It is read again: a worker may just have come. What cannot be read says nothing.
        let refuses = lacks() && self.fresh().await.fleet.is_some() && lacks();
        refuses.then_some(long)
    }

    /// Reads the workers now and then while tools are looked after, until `stop`: those that calls and polls asked for, and all
    /// that are listed if calls of those that have no worker are refused after a time.
    pub(super) async fn keep_looking(
        &self,
        stop: &CancellationToken,
        listed: impl Fn() -> Vec<Arc<Tool>>,
    ) {
        loop {
            let all = self.refuse_after.map(|_| listed());
            for tool in all.iter().flatten() {
                let tool = &tool.definition;
                let of = (tool.queue.as_str(), tool.name.as_str());
                self.unserved.watch(of, Because::Listed, Instant::now());
            }
            if !self.unserved.is_empty() {
                self.fresh().await;
            }
            let period = match (self.unserved.is_empty(), self.unserved.is_calm()) {
                (true, _) if all.is_none() => None,
                (_, true) => Some(LOOK_CALMLY),
                _ => Some(LOOK),
            };
            let rest = async {
                match period {
                    Some(period) => tokio::time::sleep(period).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = rest => {}
                () = self.unserved.more() => {}
            }
        }
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
