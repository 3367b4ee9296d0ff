//! A worker: how it runs, and how it ends.

mod builder;
mod queues;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use taskferry_contract::{Error, QueueStream, Role, Shard, WorkerId};
use taskferry_process::keep_running;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::core::activity::Fetching;
use crate::core::lock::lock;
use crate::runtime::fetcher::Fetcher;
use crate::runtime::{Runtime, heartbeat, janitor, outside};

pub use builder::{BuildError, Builder, LONGEST_LEASE, MAX_RESULT, MOST_SLOTS, SHORTEST_LEASE};
pub(crate) use builder::{DRAIN_TIMEOUT, unusable};

/// The first and the longest pause between tries to reach Redis at the start.
const WAIT_FOR_REDIS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
/// Pause between calls that end the blocking reads. They are repeated because a read may begin right after the last call.
const UNBLOCK_AGAIN: Duration = Duration::from_millis(50);
/// How long the last calls to Redis may take: jobs that are given back, and the worker's own goodbye.
const LAST_CALLS: Duration = Duration::from_secs(2);

/// Takes jobs of its tools' queues and runs them.
pub struct Worker {
    runtime: Arc<Runtime>,
    drain_timeout: Duration,
    /// Warnings about its settings, logged when it starts.
    warnings: Vec<String>,
}

/// How a worker's end went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Jobs that were given back, for others to take at once.
    pub released: usize,
    /// Jobs that were left behind: their end could not be written in time. Other workers take them over when the lease
    /// ends.
    pub abandoned: usize,
}

impl Worker {
    pub(crate) fn new(runtime: Runtime, drain_timeout: Duration, warnings: Vec<String>) -> Self {
        Self {
            runtime: Arc::new(runtime),
            drain_timeout,
            warnings,
        }
    }

    /// Its name in Redis, made fresh at each start.
    #[must_use]
    pub fn id(&self) -> &WorkerId {
        &self.runtime.core.worker
    }

    /// Cancel it to end the worker without waiting for its jobs: handlers are dropped, commands killed, and their jobs
    /// released if Redis answers.
    #[must_use]
    pub fn kill_token(&self) -> CancellationToken {
        self.runtime.core.phase.kill.clone()
    }

    /// Runs until `stop` is cancelled, or it has nothing left to do ([`Builder::max_jobs`], [`Builder::idle_exit`]), and then drains: nothing new is begun, what runs may finish within the drain
    /// timeout, the rest is stopped and released.
    ///
    /// While Redis does not answer it waits and tries again, also at the start.
    ///
    /// # Errors
    ///
    /// If Redis cannot be used: [`Error::Unsuitable`], or refused credentials. `Unsuitable` can also come after the drain:
    /// the worker stops by itself when others begin to use an incompatible version of the contract.
    pub async fn run(self, stop: CancellationToken) -> Result<Drained, Error> {
        let runtime = &self.runtime;
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
        let drained = |runtime: &Runtime| Drained {
            released: runtime.core.ended.released(),
            abandoned: runtime.core.ended.abandoned(),
        };
        tokio::select! {
            ready = wait_until_ready(runtime) => ready?,
            () = stop.cancelled() => return Ok(drained(runtime)),
        }
        tracing::info!(
            worker = %runtime.core.worker, slots = runtime.core.slots.total(), queues = runtime.core.queues.len(),
            lease = ?runtime.core.lease, tools = runtime.tools.len(), "working"
        );
        let loops = begin_loops(runtime);
        // Janitor and listener run until the drain is over: the worker must stay registered and hear answers while its jobs
        // end.
        let (background, drain_over) = (TaskTracker::new(), CancellationToken::new());
        let (own, until) = (Arc::clone(runtime), drain_over.clone());
        let janitor = move || janitor::run(Arc::clone(&own), until.clone());
        background.spawn(supervised(
            runtime,
            "janitor".to_owned(),
            &drain_over,
            janitor,
        ));
        let (core, until) = (Arc::clone(&runtime.core), drain_over.clone());
        let listener = move || heartbeat::listen(Arc::clone(&core), until.clone());
        background.spawn(supervised(
            runtime,
            "listener".to_owned(),
            &drain_over,
            listener,
        ));
        until_end(runtime, &stop).await;
        self.drain(loops).await;
        drain_over.cancel();
        background.close();
        let unregister = async {
            background.wait().await;
            self.remove_consumers().await?;
            runtime.core.store.leave(&runtime.core.worker).await
        };
        match timeout(LAST_CALLS, unregister).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "Redis was not told that this worker left"),
            Err(_elapsed) => tracing::warn!("Redis was not told that this worker left"),
        }
        let drained = drained(runtime);
        let (given_back, left_to_their_lease) = (drained.released, drained.abandoned);
        tracing::info!(given_back, left_to_their_lease, "stopped");
        lock(&runtime.core.fatal_error)
            .take()
            .map_or(Ok(drained), Err)
    }

    /// Removes this worker's name from the consumer groups. Otherwise each restart would leave one more name.
    async fn remove_consumers(&self) -> Result<(), Error> {
        let core = &self.runtime.core;
        for shard in core.store.shards().all() {
            for queue in &core.queues {
                let stream = QueueStream { shard, queue };
                match core.store.forget_worker(&core.worker, stream).await {
                    Err(error) if error.is_no_group() || error.is_wrong_type() => {}
                    outcome => _ = outcome?,
                }
            }
        }
        Ok(())
    }

    /// Ends the loops, then the jobs. What still runs after the drain timeout is told to stop; what still runs after the
    /// longest `stop_grace` of any tool is killed.
    async fn drain(&self, loops: TaskTracker) {
        let runtime = &self.runtime;
        let phase = &runtime.core.phase;
        phase.stop.cancel();
        let running = runtime.core.in_flight.len();
        tracing::info!(running, timeout = ?self.drain_timeout, "winding down");
        let ended = async {
            end_loops(runtime, loops).await;
            runtime.core.jobs.close();
            runtime.core.jobs.wait().await;
        };
        tokio::pin!(ended);
        let graces = runtime.tools.values().map(|tool| tool.handler.stop_grace());
        let grace = graces.max().unwrap_or_default() + LAST_CALLS;
        let steps = [
            (
                &phase.halt,
                self.drain_timeout,
                "drain_timeout is over: what still runs is told to stop",
            ),
            (
                &phase.kill,
                grace,
                "the longest stop_grace is over: what still runs is killed",
            ),
        ];
        for (step, wait, message) in steps {
            tokio::select! {
                () = &mut ended => return,
                () = sleep(wait) => {
                    tracing::warn!(running = runtime.core.in_flight.len(), after = ?wait, "{message}");
                    step.cancel();
                }
                () = phase.kill.cancelled() => {}
            }
        }
        if timeout(LAST_CALLS, ended).await.is_err() {
            let left = runtime.core.in_flight.len();
            (0..left).for_each(|_| runtime.core.ended.count(false));
            tracing::warn!(
                left,
                "some jobs did not end in time; other workers take them over when their leases end"
            );
        }
    }
}

/// Waits until the worker is told to stop, can go on no longer, or has nothing left to do.
async fn until_end(runtime: &Runtime, stop: &CancellationToken) {
    let (core, phase) = (&runtime.core, &runtime.core.phase);
    tokio::select! {
        () = stop.cancelled() => {}
        () = phase.stop.cancelled() => {}
        () = phase.kill.cancelled() => {}
        why = core.quota.over(core.store.shards().all().count()) => {
            tracing::info!("nothing is left to do: {why}");
        }
    }
}

/// Begins the loops that work on each shard until the worker stops.
fn begin_loops(runtime: &Arc<Runtime>) -> TaskTracker {
    let loops = TaskTracker::new();
    let stop = &runtime.core.phase.stop;
    for shard in runtime.core.store.shards().all() {
        loops.spawn(keep_fetching(Arc::clone(runtime), shard));
        let core = Arc::clone(&runtime.core);
        let keep_house = move || {
            let core = Arc::clone(&core);
            async move { core.housekeeping.run(shard, &core.phase.stop).await }
        };
        let name = format!("housekeeper {shard}");
        loops.spawn(supervised(runtime, name, stop, keep_house));
        if runtime.tools.values().any(|tool| tool.outside.is_some()) {
            let all = Arc::clone(runtime);
            let end = move || outside::run(Arc::clone(&all), shard);
            let name = format!("outside {shard}");
            loops.spawn(supervised(runtime, name, stop, end));
        }
    }
    loops
}

/// Runs a loop until `stop`, and starts it again if it panics. The worker reports how often that happened.
fn supervised<B, F>(
    runtime: &Runtime,
    name: String,
    stop: &CancellationToken,
    begin: B,
) -> impl Future<Output = ()> + Send + use<B, F>
where
    B: Fn() -> F + Send + Sync,
    F: Future<Output = ()> + Send,
{
    let (core, stop) = (Arc::clone(&runtime.core), stop.clone());
    async move {
        let died = || lock(&core.activity).note_death(&name);
        keep_running(&name, &stop, begin, died).await;
    }
}

/// The same for the fetcher of a shard. After a death the new fetcher must first read the entries that the old one was
/// given.
async fn keep_fetching(runtime: Arc<Runtime>, shard: Shard) {
    let name = format!("fetcher {shard}");
    let died = AtomicBool::new(false);
    let begin = || Fetcher::new(Arc::clone(&runtime), shard, died.load(Ordering::Relaxed)).run();
    let ended = || {
        died.store(true, Ordering::Relaxed);
        runtime.core.note_fetcher(shard, Fetching::Ended);
        lock(&runtime.core.activity).note_death(&name);
    };
    keep_running(&name, &runtime.core.phase.stop, begin, ended).await;
}

/// Waits until fetchers and housekeepers have ended, then says so by `read_no_more`. Ends blocking reads again
/// and again, because one may begin just after the last call.
async fn end_loops(runtime: &Runtime, loops: TaskTracker) {
    loops.close();
    loop {
        tokio::select! {
            () = loops.wait() => return runtime.core.phase.read_no_more.cancel(),
            () = async {
                runtime.core.slots.unblock().await;
                sleep(UNBLOCK_AGAIN).await;
            } => {}
        }
    }
}

/// Waits for Redis, checks it, and makes the worker and its tools known.
async fn wait_until_ready(runtime: &Runtime) -> Result<(), Error> {
    let [mut pause, longest] = WAIT_FOR_REDIS;
    loop {
        match try_to_start(runtime).await {
            Err(error) if runtime.core.store.connections().should_wait(&error) => {
                tracing::warn!(error = error.sentence(), "waiting for Redis");
            }
            outcome => return outcome,
        }
        sleep(pause.mul_f64(rand::random_range(0.8..=1.0))).await;
        pause = (pause * 2).min(longest);
    }
}

async fn try_to_start(runtime: &Runtime) -> Result<(), Error> {
    let core = &runtime.core;
    core.store.check_server(Role::Worker, &core.queues).await?;
    runtime.core.store.ready().await?;
    janitor::introduce(runtime).await
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("id", &self.runtime.core.worker)
            .finish_non_exhaustive()
    }
}
