//! A worker: how it runs, and how it ends.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use taskferry_contract::{Error, Shard, Store, WorkerId};
use taskferry_process::keep_running;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::builder::Builder;
use crate::runtime::activity::Fetching;
use crate::runtime::backoff::jittered;
use crate::runtime::fetcher::Fetcher;
use crate::runtime::{Runtime, forwarder, heartbeat, janitor, lock, reclaimer};

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
    /// A worker on this store, with as many slots as the machine has processors, a lease of 15 seconds, and 5 seconds
    /// to drain.
    #[must_use]
    pub fn builder(store: Store) -> Builder {
        Builder::new(store)
    }

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
        &self.runtime.worker
    }

    /// Cancel it to end the worker without waiting for its jobs: handlers are dropped, commands killed, and their jobs
    /// released if Redis answers.
    #[must_use]
    pub fn kill_token(&self) -> CancellationToken {
        self.runtime.phase.kill.clone()
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
            released: runtime.ended.released(),
            abandoned: runtime.ended.abandoned(),
        };
        tokio::select! {
            ready = ready(runtime) => ready?,
            () = stop.cancelled() => return Ok(drained(runtime)),
        }
        tracing::info!(
            worker = %runtime.worker, slots = runtime.slots.total(), queues = runtime.queues.len(),
            lease = ?runtime.lease, tools = runtime.tools.len(), "working"
        );
        let loops = begin_loops(runtime);
        let (rest, end) = (TaskTracker::new(), CancellationToken::new());
        let own = || Arc::clone(runtime);
        rest.spawn(kept(own(), "janitor".to_owned(), end.clone(), janitor::run));
        rest.spawn(kept(
            own(),
            "listener".to_owned(),
            end.clone(),
            heartbeat::listen,
        ));
        tokio::select! {
            () = stop.cancelled() => {}
            () = runtime.phase.stop.cancelled() => {}
            () = runtime.phase.kill.cancelled() => {}
        }
        self.drain(loops).await;
        end.cancel();
        rest.close();
        let goodbye = async {
            rest.wait().await;
            self.be_forgotten().await?;
            runtime.store.leave(&runtime.worker).await
        };
        match timeout(LAST_WORDS, goodbye).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "Redis was not told that this worker left"),
            Err(_elapsed) => tracing::warn!("Redis was not told that this worker left"),
        }
        let drained = drained(runtime);
        tracing::info!(?drained, "stopped");
        lock(&runtime.unfit).take().map_or(Ok(drained), Err)
    }

    /// Takes this worker off the consumers of its queues, so that restarts do not pile up names.
    async fn be_forgotten(&self) -> Result<(), Error> {
        let runtime = &self.runtime;
        for shard in runtime.store.shards().all() {
            for queue in &runtime.queues {
                let forgotten = runtime
                    .store
                    .forget_worker(&runtime.worker, (shard, queue))
                    .await;
                match forgotten {
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
        let phase = &runtime.phase;
        phase.stop.cancel();
        let running = runtime.in_flight.len();
        tracing::info!(running, timeout = ?self.drain_timeout, "winding down");
        let ended = async {
            end_loops(runtime, loops).await;
            runtime.jobs.close();
            runtime.jobs.wait().await;
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
                    tracing::warn!(running = runtime.in_flight.len(), after = ?patience, "{over}");
                    step.cancel();
                }
                () = phase.kill.cancelled() => {}
            }
        }
        if timeout(LAST_WORDS, ended).await.is_err() {
            let left = runtime.in_flight.len();
            (0..left).for_each(|_| runtime.ended.count_abandoned());
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
    let (own, stop) = (|| Arc::clone(runtime), || runtime.phase.stop.clone());
    for shard in runtime.store.shards().all() {
        loops.spawn(keep_fetching(own(), shard));
        let reclaimer = move |runtime, _stop| reclaimer::run(runtime, shard);
        loops.spawn(kept(own(), format!("reclaimer {shard}"), stop(), reclaimer));
        let forwarder = move |runtime, _stop| forwarder::run(runtime, shard);
        loops.spawn(kept(own(), format!("forwarder {shard}"), stop(), forwarder));
    }
    loops
}

/// A loop that is begun again if it dies before `stop`; the worker's beat tells of it.
async fn kept<F: Future<Output = ()> + Send>(
    runtime: Arc<Runtime>,
    name: String,
    stop: CancellationToken,
    begin: impl Fn(Arc<Runtime>, CancellationToken) -> F + Send + Sync,
) {
    let begin = || begin(Arc::clone(&runtime), stop.clone());
    let died = || lock(&runtime.activity).died(&name);
    keep_running(&name, &stop, begin, died).await;
}

/// The fetcher of a shard, likewise. One that died may have had entries in hand.
async fn keep_fetching(runtime: Arc<Runtime>, shard: Shard) {
    let name = format!("fetcher {shard}");
    let died = AtomicBool::new(false);
    let begin = || Fetcher::new(Arc::clone(&runtime), shard, died.load(Ordering::Relaxed)).run();
    let ended = || {
        died.store(true, Ordering::Relaxed);
        runtime.fetcher(shard, Fetching::Ended);
        lock(&runtime.activity).died(&name);
    };
    keep_running(&name, &runtime.phase.stop, begin, ended).await;
}

/// Waits until fetchers, reclaimers and forwarders ended. A blocking read is ended from outside, again and again: it may
/// begin just after.
async fn end_loops(runtime: &Runtime, loops: TaskTracker) {
    loops.close();
    loop {
        tokio::select! {
            () = loops.wait() => return runtime.phase.read_no_more.cancel(),
            () = async {
                runtime.slots.unblock().await;
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
            Err(error) if runtime.store.connections().should_wait(&error) => {
                tracing::warn!(error = error.sentence(), "waiting for Redis");
            }
            outcome => return outcome,
        }
        sleep(jittered(pause).max(pause.mul_f64(0.8))).await;
        pause = (pause * 2).min(longest);
    }
}

async fn make_ready(runtime: &Runtime) -> Result<(), Error> {
    runtime.store.check_server().await?;
    runtime.store.ready().await?;
    janitor::introduce(runtime).await
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("id", &self.runtime.worker)
            .finish_non_exhaustive()
    }
}
