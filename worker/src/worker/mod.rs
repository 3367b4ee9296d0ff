//! A worker: how it runs, and how it ends.

mod builder;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use taskferry_contract::{Error, QueueStream, Shard, WorkerId};
use taskferry_process::keep_running;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::core::activity::Fetching;
use crate::core::lock::lock;
use crate::core::pause::jittered;
use crate::runtime::fetcher::Fetcher;
use crate::runtime::{Runtime, forwarder, heartbeat, janitor, reclaimer};

pub(crate) use builder::DRAIN_TIMEOUT;
pub use builder::{BuildError, Builder, LONGEST_LEASE, MAX_RESULT, MOST_SLOTS, SHORTEST_LEASE};

/// Between two looks for a Redis that does not answer at the start.
const WAIT_FOR_REDIS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
/// Between two attempts to end the blocking reads, one of which may begin just now.
const UNBLOCK_AGAIN: Duration = Duration::from_millis(50);
/// How long jobs whose grace is over may take to be given back.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Takes jobs of its tools' queues and runs them.
pub struct Worker {
    runtime: Arc<Runtime>,
    drain_timeout: Duration,
    /// What its settings may lead to.
    warnings: Vec<String>,
}

/// How a worker's end went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Jobs that were given back, for others to take at once.
    pub released: usize,
    /// Jobs whose end could not be written: others take them over when their lease is over.
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

    /// Runs until `stop` is cancelled, and then drains: nothing new is begun, what runs may finish within the drain
    /// timeout, the rest is stopped and released.
    ///
    /// Waits for a Redis that does not answer, also at the start.
    ///
    /// # Errors
    ///
    /// If Redis cannot be used: [`Error::Unsuitable`], or refused credentials. The first also after a drain, when others
    /// began to use an incompatible version of the contract meanwhile.
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
            ready = ready(runtime) => ready?,
            () = stop.cancelled() => return Ok(drained(runtime)),
        }
        tracing::info!(
            worker = %runtime.core.worker, slots = runtime.core.slots.total(), queues = runtime.core.queues.len(),
            lease = ?runtime.core.lease, tools = runtime.tools.len(), "working"
        );
        let loops = begin_loops(runtime);
        let (rest, end) = (TaskTracker::new(), CancellationToken::new());
        let (own, until) = (Arc::clone(runtime), end.clone());
        let janitor = move || janitor::run(Arc::clone(&own), until.clone());
        rest.spawn(kept(runtime, "janitor".to_owned(), &end, janitor));
        let (core, until) = (Arc::clone(&runtime.core), end.clone());
        let listener = move || heartbeat::listen(Arc::clone(&core), until.clone());
        rest.spawn(kept(runtime, "listener".to_owned(), &end, listener));
        tokio::select! {
            () = stop.cancelled() => {}
            () = runtime.core.phase.stop.cancelled() => {}
            () = runtime.core.phase.kill.cancelled() => {}
        }
        self.drain(loops).await;
        end.cancel();
        rest.close();
        let goodbye = async {
            rest.wait().await;
            self.be_forgotten().await?;
            runtime.core.store.leave(&runtime.core.worker).await
        };
        match timeout(LAST_WORDS, goodbye).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "Redis was not told that this worker left"),
            Err(_elapsed) => tracing::warn!("Redis was not told that this worker left"),
        }
        let drained = drained(runtime);
        let (given_back, left_to_their_lease) = (drained.released, drained.abandoned);
        tracing::info!(given_back, left_to_their_lease, "stopped");
        lock(&runtime.core.unfit).take().map_or(Ok(drained), Err)
    }

    /// Takes this worker off the consumers of its queues, so that restarts do not pile up names.
    async fn be_forgotten(&self) -> Result<(), Error> {
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

    /// Ends the loops and the jobs, within the drain timeout and the graces of what runs then.
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
        let grace = graces.max().unwrap_or_default() + LAST_WORDS;
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
        for (step, patience, over) in steps {
            tokio::select! {
                () = &mut ended => return,
                () = sleep(patience) => {
                    tracing::warn!(running = runtime.core.in_flight.len(), after = ?patience, "{over}");
                    step.cancel();
                }
                () = phase.kill.cancelled() => {}
            }
        }
        if timeout(LAST_WORDS, ended).await.is_err() {
            let left = runtime.core.in_flight.len();
            (0..left).for_each(|_| runtime.core.ended.count(false));
            tracing::warn!(
                left,
                "the end is not waited for any longer; jobs are left to their leases"
            );
        }
    }
}

/// Begins the loops that work on each shard until the worker stops.
fn begin_loops(runtime: &Arc<Runtime>) -> TaskTracker {
    let loops = TaskTracker::new();
    let stop = &runtime.core.phase.stop;
    for shard in runtime.core.store.shards().all() {
        loops.spawn(keep_fetching(Arc::clone(runtime), shard));
        let own = Arc::clone(runtime);
        let reclaimer = move || reclaimer::run(Arc::clone(&own), shard);
        loops.spawn(kept(runtime, format!("reclaimer {shard}"), stop, reclaimer));
        let core = Arc::clone(&runtime.core);
        let forwarder = move || forwarder::run(Arc::clone(&core), shard);
        loops.spawn(kept(runtime, format!("forwarder {shard}"), stop, forwarder));
    }
    loops
}

/// A loop that is begun again if it dies before `stop`. The worker's beat says how often it died.
fn kept<B, F>(
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

/// The fetcher of a shard, likewise. One that died may have had entries in hand.
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

/// Waits until fetchers, reclaimers and forwarders ended. A blocking read is ended from outside, again and again: it may
/// begin just after.
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
async fn ready(runtime: &Runtime) -> Result<(), Error> {
    let [mut pause, longest] = WAIT_FOR_REDIS;
    loop {
        match make_ready(runtime).await {
            Err(error) if runtime.core.store.connections().should_wait(&error) => {
                tracing::warn!(error = error.sentence(), "waiting for Redis");
            }
            outcome => return outcome,
        }
        sleep(jittered(pause).max(pause.mul_f64(0.8))).await;
        pause = (pause * 2).min(longest);
    }
}

async fn make_ready(runtime: &Runtime) -> Result<(), Error> {
    runtime.core.store.check_server().await?;
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
