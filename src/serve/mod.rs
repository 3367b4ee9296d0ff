//! One front end: what it is made of, how it runs and how it stops.

mod drain;
mod fitness;
mod functions;
mod open_files;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use taskferry_process::{Budget, Parts, StopSignal, StopSignals, keep_running};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bridge::Bridge;
use crate::config::{Callers, ServeConfig};
use crate::identity::{AccessFile, Caller, Gate};
use crate::mcp::{Mcp, Stopping};
use crate::transport::http::{self, Certificates};
use drain::drain;
use fitness::Fitness;

/// What is left to do for requests whose connections ended, or were cut off, takes this long at most.
const LAST_WORK: Duration = Duration::from_secs(1);

/// Serves until a stop signal.
pub(crate) async fn run(mut config: ServeConfig) -> anyhow::Result<()> {
    config.log.start().map_err(anyhow::Error::msg)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    config.http.max_connections = open_files::connections_of(config.http.max_connections);
    let stop = CancellationToken::new();
    let server = Server::bind(config)?;
    let front_end = server.bridge.front_end();
    tracing::info!(endpoint = %server.endpoint, %front_end, "listening");
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
pub(crate) fn signalled() -> anyhow::Result<impl Future<Output = StopSignal>> {
    let mut signals = StopSignals::catch().context("signals cannot be caught")?;
    Ok(async move { signals.next().await })
}

fn gate(callers: &Callers) -> anyhow::Result<Gate> {
    match callers {
        Callers::Everyone(owner) => Ok(Gate::open(Caller::unchecked(owner.clone()))),
        Callers::Known(path, file) => {
            Gate::guarded(path, AccessFile::clone(file)).map_err(anyhow::Error::msg)
        }
    }
}

/// Has renewed certificates taken, if there are any, until `stop`.
async fn renew(certificates: Option<Certificates>, stop: &CancellationToken) {
    if let Some(certificates) = certificates {
        let begin = || certificates.keep_reading(stop);
        keep_running("reading of certificates", stop, begin, || {}).await;
    }
}

/// What goes on beside all requests, until `stop`. Until Redis is found fit, only the check of that calls it, and logs what it
/// answers.
async fn in_background(bridge: &Bridge, fitness: &Fitness, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = fitness.reached() => {
            let begin = || functions::keep(bridge, stop);
            let functions = keep_running("library of functions", stop, begin, || {});
            tokio::join!(bridge.run(stop), functions);
        }
    }
}

/// A front end that listens but does not serve yet.
pub(crate) struct Server {
    config: ServeConfig,
    listener: TcpListener,
    /// Where clients reach it.
    pub(crate) endpoint: String,
    bridge: Bridge,
    gate: Arc<Gate>,
}

impl Server {
    pub(crate) fn bind(config: ServeConfig) -> anyhow::Result<Self> {
        let listener = http::listen(config.listen)
            .with_context(|| format!("cannot listen on {}", config.listen))?;
        let address = listener
            .local_addr()
            .context("the listener has no address")?;
        let scheme = config
            .http
            .certificates
            .as_ref()
            .map_or("http", |_| "https");
        let endpoint = format!("{scheme}://{address}/mcp");
        let gate = gate(&config.callers).context("access_file cannot be used")?;
        let most = gate.tells_apart().then_some(config.result_memory / 2);
        let memory = Parts::new(Budget::new(config.result_memory), most);
        let replication = config.replication();
        let bridge = Bridge::new(&config.redis, replication, config.limits, memory)
            .context("redis_url cannot be used")?;
        Ok(Self {
            gate: Arc::new(gate),
            config,
            listener,
            endpoint,
            bridge,
        })
    }

    /// The names of the registered tools, once there are some.
    pub(crate) fn first_tools(&self) -> impl Future<Output = Vec<String>> + use<> {
        let bridge = self.bridge.clone();
        async move {
            let mut changes = bridge.catalog().changes();
            loop {
                let tools = bridge.catalog().all();
                if !tools.is_empty() || changes.changed().await.is_err() {
                    let names = tools.iter().map(|tool| tool.definition.name.to_string());
                    return names.collect();
                }
            }
        }
    }

    /// Serves until `stop`, then lets open requests end within the drain timeout.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let (tracker, background) = (TaskTracker::new(), CancellationToken::new());
        let (bridge, keep) = (self.bridge.clone(), background.clone());
        let fitness = Fitness::default();
        let fit = fitness.clone();
        tracker.spawn(async move { in_background(&bridge, &fit, &keep).await });
        let (bridge, checked) = (self.bridge.clone(), stop.clone());
        let (level, fit) = (self.config.durability, fitness.clone());
        tracker.spawn(async move {
            let begin = || fit.watch(&bridge, level, &checked);
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
        let gate = Arc::clone(&self.gate);
        let renewed = self.config.http.certificates.clone();
        tracker.spawn(async move {
            let access = keep_running("access file", &keep, || gate.run(&keep), || {});
            tokio::join!(sessions.run(&keep), access, renew(renewed, &keep));
        });
        let served = http::router(
            (mcp, self.bridge.clone()),
            self.gate,
            self.config.http.clone(),
            (tracker.clone(), stopping.clone()),
        );
        // Kept to the end: requests that are dropped with it count as left by their clients.
        let mut serving = std::pin::pin!(http::serve(self.listener, served, &stop));
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
        match fitness.unfit() {
            Some(error) => Err(anyhow::anyhow!(error.sentence())),
            None => Ok(()),
        }
    }
}
