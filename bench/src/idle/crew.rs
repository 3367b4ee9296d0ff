//! A Redis, front ends and workers that have nothing to do.

use std::net::SocketAddr;

use anyhow::bail;
use serde_json::value::RawValue;
use taskferry_contract::{Store, ToolDefinition};
use taskferry_testing::{TestServer, free_port};
use taskferry_worker::{JobContext, ToolOutput, Worker};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::child::{self, Child};
use crate::cli::Pack;
use crate::work;

/// Up to so many workers, each is `taskferry-worker` in a process of its own. Beyond that, so many share a process.
const OWN_PROCESS: usize = 10;
const OF_A_PACK: usize = 100;

/// The tool of those with a process of their own.
const MANIFEST: &str = r#"
[[tool]]
name = "bench_idle"
description = "Nobody calls it"
command = ["true"]
input_schema = '{"type":"object"}'
"#;

/// Everything that runs. The order of the fields is the order in which it is stopped.
pub(super) struct Crew {
    /// How many workers there are.
    pub(super) workers: usize,
    /// The same Redis, for this process.
    pub(super) store: Store,
    _children: Vec<Child>,
    _folder: TempDir,
    /// That Redis.
    pub(super) redis: TestServer,
}

impl Crew {
    /// Starts so many of each; does not wait until the workers are there.
    pub(super) async fn start(workers: usize, front_ends: usize) -> anyhow::Result<Self> {
        let redis = TestServer::start().await;
        let mut children = Vec::new();
        for _ in 0..front_ends {
            let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
            let mut command = Command::new(child::beside("taskferry")?);
            command.args(["serve", "--log", "error", "--redis-url", &redis.url()]);
            command.args(["--listen", &address.to_string()]);
            let mut front_end = Child::start("taskferry serve", command)?;
            front_end.serves(address).await?;
            children.push(front_end);
        }
        let folder = tempfile::tempdir()?;
        let manifest = folder.path().join("tools.toml");
        std::fs::write(&manifest, MANIFEST)?;
        let mut left = workers;
        while left > 0 {
            let together = if workers <= OWN_PROCESS {
                1
            } else {
                left.min(OF_A_PACK)
            };
            let command = if workers <= OWN_PROCESS {
                let mut command = Command::new(child::beside("taskferry-worker")?);
                command.args(["--log", "error", "--redis-url", &redis.url()]);
                command.arg("--manifest").arg(&manifest);
                command
            } else {
                let mut command = Command::new(child::own()?);
                command.args(["pack", "--redis-url", &redis.url()]);
                command.args(["--workers", &together.to_string()]);
                command
            };
            children.push(Child::start("a worker", command)?);
            left -= together;
        }
        Ok(Self {
            workers,
            store: work::store(&redis.url())?,
            _children: children,
            _folder: folder,
            redis,
        })
    }
}

/// Is many workers, each with connections of its own, until the parent ends.
pub(crate) async fn run_pack(pack: &Pack) -> anyhow::Result<()> {
    child::end_with_parent();
    let schema = RawValue::from_string(r#"{"type":"object"}"#.to_owned())?;
    let tool = ToolDefinition::new("bench_idle".parse()?, schema);
    let mut workers = JoinSet::new();
    for _ in 0..pack.workers {
        let worker = Worker::builder(work::store(&pack.redis_url)?)
            .tool(tool.clone(), |_job: JobContext| async {
                Ok(ToolOutput::text("idle"))
            })
            .build()?;
        workers.spawn(worker.run(CancellationToken::new()));
    }
    match workers.join_next().await {
        Some(ended) => bail!("a worker ended by itself: {:?}", ended??),
        None => bail!("there is no worker"),
    }
}
