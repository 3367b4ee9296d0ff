//! A worker whose one tool says to a listener that it runs, and runs until the listener lets it end.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::bail;
use serde::Deserialize;
use serde_json::value::RawValue;
use taskferry_contract::{RedisSettings, Store, ToolDefinition};
use taskferry_worker::{HandlerResult, JobContext, ToolError, ToolOutput, Worker};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::child;
use crate::cli::Holder;

/// The tool.
pub(super) const TOOL: &str = "bench_hold";

#[derive(Deserialize)]
struct Arguments {
    listener: SocketAddr,
}

/// The tool's definition: a job may die as often as it likes.
pub(super) fn definition() -> anyhow::Result<ToolDefinition> {
    let schema =
        r#"{"type":"object","properties":{"listener":{"type":"string"}},"required":["listener"]}"#;
    Ok(ToolDefinition {
        crash_limit: 1000,
        ..ToolDefinition::new(TOOL.parse()?, RawValue::from_string(schema.to_owned())?)
    })
}

/// Works until it is told to stop, or the parent ends.
pub(crate) async fn run(holder: &Holder) -> anyhow::Result<()> {
    child::end_with_parent();
    let settings = RedisSettings {
        prefix: holder.prefix.clone(),
        ..RedisSettings::new(&holder.redis_url)
    };
    let worker = Worker::builder(Store::new(&settings)?)
        .slots(1)
        .lease(holder.lease)
        .drain_timeout(Duration::ZERO)
        .tool(definition()?, hold)
        .build()?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let work = async move { worker.run(stop).await };
    tokio::pin!(work);
    tokio::select! {
        ended = &mut work => bail!("the worker ended by itself: {:?}", ended?),
        _ = terminate.recv() => stopped.cancel(),
    }
    work.await?;
    Ok(())
}

async fn hold(job: JobContext) -> HandlerResult {
    let Arguments { listener } = job.arguments()?;
    let mut stream = TcpStream::connect(listener).await?;
    stream
        .write_all(format!("{}\n", job.attempt()).as_bytes())
        .await?;
    let mut told = [0];
    tokio::select! {
        told = stream.read_exact(&mut told) => told.map(|_one| ToolOutput::text("kept"))
            .map_err(|_closed| ToolError::tool("the listener closed")),
        () = job.cancelled().cancelled() => Err(ToolError::tool("stopped")),
    }
}
