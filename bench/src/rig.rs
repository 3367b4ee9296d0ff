//! What a run needs around it: Redis, the front end, the bare yardstick and the worker.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use taskferry_contract::{Owner, QueueStream, Store, TaskId};
use taskferry_testing::{ServerOptions, TestServer, free_port};
use tokio::process::Command;

use crate::child::{self, Child};
use crate::cli::Options;
use crate::messages::Endpoint;
use crate::redis_stats::RedisStats;
use crate::work::{self, Kind};

/// Everything that runs. The order of the fields is the order in which it is stopped.
#[derive(Debug)]
pub(crate) struct Rig {
    /// The front end.
    pub(crate) server: Child,
    /// Where it serves.
    pub(crate) modern: Endpoint,
    /// The same for a legacy session.
    pub(crate) legacy: Endpoint,
    /// The bare yardstick.
    pub(crate) bare: Child,
    /// Where it serves.
    pub(crate) bare_address: SocketAddr,
    /// The worker.
    pub(crate) worker: Child,
    /// The same Redis, for this process.
    pub(crate) store: Store,
    /// What that Redis says of itself.
    pub(crate) stats: RedisStats,
    _redis: TestServer,
}

impl Rig {
    /// Starts everything and waits until it serves.
    pub(crate) async fn start(options: &Options) -> anyhow::Result<Self> {
        let binary = child::beside("taskferry")?;
        let redis = TestServer::start_with(ServerOptions {
            // As docs and `taskferry dev` have it: records stay in their compact form.
            arguments: ["--hash-max-listpack-value", "1024"]
                .map(ToOwned::to_owned)
                .to_vec(),
            ..ServerOptions::default()
        })
        .await;
        let store = work::store(&redis.url())?;
        register(&store).await?;
        let address = loopback();
        let mut server = serve(&binary, address, &redis.url(), &options.wrapper)?;
        server.serves(address).await?;
        let bare_address = loopback();
        let part = |name| own_part(name, bare_address, &redis.url(), options);
        let mut bare = part("bare")?;
        bare.serves(bare_address).await?;
        Ok(Self {
            server,
            modern: Endpoint::modern(address, "/mcp"),
            legacy: Endpoint::legacy(address).await?,
            bare,
            bare_address,
            worker: part("worker")?,
            store,
            stats: RedisStats::connect(redis.port()).await?,
            _redis: redis,
        })
    }

    /// Queues `count` jobs that nobody works off.
    pub(crate) async fn park(
        &self,
        count: usize,
        payload_bytes: usize,
    ) -> anyhow::Result<Vec<TaskId>> {
        let tool = Kind::Parked.definition()?;
        let (owner, arguments) = (Owner::anonymous(), work::arguments(payload_bytes));
        let mut ids = Vec::with_capacity(count);
        for _ in 0..count {
            ids.push(work::submit(&self.store, &tool, &owner, &arguments).await?);
        }
        Ok(ids)
    }

    /// Removes every job, so that no row is measured on the leftovers of another.
    pub(crate) async fn clean(&mut self) -> anyhow::Result<()> {
        let shard = work::shard(&self.store)?;
        let keys = self.store.keys();
        let records = format!("{}task:*", keys.base(shard));
        let mut queues = Vec::new();
        for kind in Kind::ALL {
            queues.push(keys.queue(shard, &kind.definition()?.queue));
        }
        self.stats.clean(&records, &queues).await
    }

    /// Ends the front end in order, so that a profiler around it writes its file.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        self.server.end().await
    }
}

async fn register(store: &Store) -> anyhow::Result<()> {
    let mut tools = Vec::new();
    for kind in Kind::ALL {
        let tool = kind.definition()?;
        let stream = QueueStream {
            shard: work::shard(store)?,
            queue: &tool.queue,
        };
        store.ensure_group(stream).await?;
        tools.push(tool);
    }
    store.register_tools(&tools).await?;
    Ok(())
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

fn serve(
    binary: &Path,
    address: SocketAddr,
    redis_url: &str,
    wrapper: &[String],
) -> anyhow::Result<Child> {
    let mut command = match wrapper.split_first() {
        None => Command::new(binary),
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).arg(binary);
            command
        }
    };
    command.args(["serve", "--queue-cap", "1000000000", "--log", "warn"]);
    command.args(["--listen", &address.to_string(), "--redis-url", redis_url]);
    Child::start("taskferry serve", command)
}

fn own_part(
    name: &'static str,
    listen: SocketAddr,
    redis_url: &str,
    options: &Options,
) -> anyhow::Result<Child> {
    let mut command = Command::new(child::own().context("no yardstick")?);
    command.arg(name).args(["--redis-url", redis_url]);
    command.args(["--listen", &listen.to_string()]);
    command.args(["--payload", &options.payload_bytes.to_string()]);
    command.args(["--slots", &options.concurrency.to_string()]);
    Child::start(name, command)
}
