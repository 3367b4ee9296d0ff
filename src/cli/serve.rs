//! `taskferry serve`: one front-end replica.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use taskferry_contract::{Durability, Error, Store};
use taskferry_process::keep_running;
use taskferry_process::{StopSignal, StopSignals};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::open_files;
use crate::bridge::Bridge;
use crate::config::ServeConfig;
use crate::mcp::{Mcp, Stopping};
use crate::transport::http;

/// Between two looks for a Redis that does not answer at the start.
const WAIT_FOR_REDIS: Duration = Duration::from_millis(500);
/// Between two looks at the contract's version. A Redis that lost its data has it again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What is left to do for requests whose connections ended, or were cut off, takes this long at most.
const LAST_WORK: Duration = Duration::from_secs(1);

/// Serves until a stop signal.
pub(super) async fn run(config: ServeConfig) -> anyhow::Result<()> {
    config.log.start().map_err(anyhow::Error::msg)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    open_files::allow_most(config.http.max_requests);
    let stop = CancellationToken::new();
    let server = Server::bind(config).await?;
    tracing::info!(endpoint = %format!("http://{}/mcp", server.address), "listening");
    let signals = signalled()?;
    let until = stop.clone();
    let winding_down = async move {
        let signal = signals.await;
        tracing::info!(%signal, "winding down");
        until.cancel();
    };
    let ((), outcome) = tokio::join!(
        winding_down_or(&stop, winding_down),
        server.run(stop.clone())
    );
    outcome
}

async fn winding_down_or(stop: &CancellationToken, winding_down: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = winding_down => {}
    }
}

/// Resolves at a stop signal.
pub(super) fn signalled() -> anyhow::Result<impl Future<Output = StopSignal>> {
    let mut signals = StopSignals::catch().context("signals cannot be caught")?;
    Ok(async move { signals.next().await })
}

/// A front end that listens but does not serve yet.
pub(super) struct Server {
    config: ServeConfig,
    listener: TcpListener,
    pub(super) address: SocketAddr,
    pub(super) bridge: Bridge,
}

impl Server {
    pub(super) async fn bind(config: ServeConfig) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("cannot listen on {}", config.listen))?;
        let address = listener
            .local_addr()
            .context("the listener has no address")?;
        let store = Store::new(&config.redis)
            .context("redis_url cannot be used")?
            .with_replication(config.replication());
        let bridge = Bridge::new(store, config.limits);
        Ok(Self {
            config,
            listener,
            address,
            bridge,
        })
    }

    /// Serves until `stop`, then lets open requests end within the drain timeout.
    pub(super) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let tracker = TaskTracker::new();
        let background = CancellationToken::new();
        let (bridge, keep) = (self.bridge.clone(), background.clone());
        let reached = CancellationToken::new();
        let fit = reached.clone();
        // Until Redis is found fit, one loop alone asks it and tells what it says.
        tracker.spawn(async move {
            tokio::select! {
                () = keep.cancelled() => {}
                () = fit.cancelled() => bridge.run(&keep).await,
            }
        });
        let bridge = self.bridge.clone();
        let checked = stop.clone();
        let level = self.config.durability;
        let unsuitable: Arc<OnceLock<Error>> = Arc::default();
        let why = Arc::clone(&unsuitable);
        tracker.spawn(async move {
            let begin = || check(&bridge, level, &checked, (&reached, &why));
            keep_running("check of Redis", &checked, begin, || {}).await;
        });
        let stopping = Stopping {
            begun: stop.clone(),
            over: CancellationToken::new(),
        };
        let mcp = Arc::new(Mcp::new(
            self.bridge.clone(),
            self.config.mcp.clone(),
            tracker.clone(),
            stopping.clone(),
        ));
        let (sessions, keep) = (Arc::clone(&mcp), background.clone());
        tracker.spawn(async move { sessions.run(&keep).await });
        let router = http::router(
            mcp,
            self.bridge.clone(),
            self.config.http.clone(),
            (tracker.clone(), stopping.clone()),
        );
        // Kept to the end: what is dropped with it counts as left by its client.
        let mut serving = std::pin::pin!(http::serve(self.listener, router, &stop));
        let timeout = self.config.drain_timeout;
        let drained = drain(serving.as_mut(), &stopping, timeout).await;
        background.cancel();
        tracker.close();
        let left = tokio::time::timeout(LAST_WORK, tracker.wait())
            .await
            .is_err();
        if drained && !left {
            tracing::info!("every open request ended");
        } else {
            tracing::warn!(
                "requests whose clients do not read, or that Redis holds up, are cut off"
            );
        }
        match unsuitable.get() {
            Some(error) => Err(anyhow::anyhow!(error.sentence())),
            None => Ok(()),
        }
    }
}

/// Serves until the stop, and then until every request ended: by itself within `timeout`, and else by what is said to it
/// then. False if some did not even so.
async fn drain(
    mut serving: Pin<&mut impl Future<Output = ()>>,
    stopping: &Stopping,
    timeout: Duration,
) -> bool {
    tokio::select! {
        () = serving.as_mut() => return true,
        () = overdue(&stopping.begun, timeout) => {}
    }
    tracing::warn!(drain_timeout = ?timeout, "requests are still open at the end of drain_timeout; each is ended now");
    stopping.over.cancel();
    tokio::time::timeout(Stopping::LAST_ANSWERS, serving)
        .await
        .is_ok()
}

async fn overdue(stop: &CancellationToken, timeout: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(timeout).await;
}

/// Waits for Redis and checks whether it can be used at all, and from then on whether it still can: others may have begun
/// to use an incompatible version of the contract. Cancels `reached` when it is found fit for the first time. If it cannot
/// be used, keeps why in `unsuitable`, with which the program ends, and cancels `stop`.
async fn check(
    bridge: &Bridge,
    level: Durability,
    stop: &CancellationToken,
    (reached, unsuitable): (&CancellationToken, &OnceLock<Error>),
) {
    let mut fit = false;
    loop {
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = check_once(bridge, level, fit) => outcome,
        };
        match outcome {
            Ok(()) if fit => {}
            Ok(()) => {
                tracing::info!("Redis is reached and fit");
                fit = true;
                reached.cancel();
            }
            Err(error) if fit && !matches!(error, Error::Unsuitable(_)) => {
                tracing::warn!(%error, "the version of the contract could not be looked at");
            }
            Err(error) if bridge.store().connections().should_wait(&error) => {
                tracing::warn!(error = error.sentence(), "waiting for Redis");
            }
            Err(error) => {
                if fit {
                    tracing::error!(
                        error = error.sentence(),
                        "winding down: Redis can no longer be used"
                    );
                }
                // It is set once: nobody checks after the stop.
                let _first = unsuitable.set(error);
                return stop.cancel();
            }
        }
        let pause = if fit { LOOK_AGAIN } else { WAIT_FOR_REDIS };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// All of it at first; the contract's version alone once Redis was found fit.
async fn check_once(bridge: &Bridge, level: Durability, fit: bool) -> Result<(), Error> {
    if fit {
        return bridge.store().agree_version().await.map(drop);
    }
    bridge.store().check_server().await?;
    for note in bridge.store().check_durability(level).await? {
        tracing::warn!("{note}");
    }
    bridge.store().ready().await
}
