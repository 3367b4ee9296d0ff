//! Ends what other systems still run for jobs that are over: one that was cancelled, or that expired, while no worker followed it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use taskferry_contract::{Error, LeftOutside, QueueName, QueueStream, Shard, ToolName, local_ms};
use tokio::time::sleep;

use super::Runtime;

/// How often it is looked for such jobs.
const LOOK: Duration = Duration::from_secs(10);
/// How long past its command a job is left to the worker that took it.
const KEPT_BEYOND: Duration = Duration::from_secs(30);
/// How long after its record was to expire it is tried to end a job.
const TRIED_FOR: Duration = Duration::from_secs(86_400);

/// Looks after one shard, until the worker stops.
pub(crate) async fn run(runtime: Arc<Runtime>, shard: Shard) {
    let mut queues: BTreeMap<&QueueName, Vec<&ToolName>> = BTreeMap::new();
    let mut kept = KEPT_BEYOND;
    for (name, tool) in &runtime.tools {
        if tool.outside.is_some() {
            queues.entry(&tool.definition.queue).or_default().push(name);
            kept = kept.max(tool.handler.stop_grace() + KEPT_BEYOND);
        }
    }
    let all = async {
        loop {
            for (queue, tools) in &queues {
                let stream = QueueStream { shard, queue };
                match end_all(&runtime, stream, kept, tools).await {
                    Ok(()) => {}
                    Err(error) if error.may_pass() => {
                        tracing::debug!(%error, "it could not be seen what other systems still run");
                    }
                    Err(error) => {
                        tracing::warn!(%error, %queue, "it cannot be seen what other systems still run for jobs that are over");
                    }
                }
            }
            sleep(LOOK.mul_f64(rand::random_range(0.9..=1.0))).await;
        }
    };
    tokio::select! {
        () = runtime.core.phase.stop.cancelled() => {}
        () = all => {}
    }
}

/// Ends what is left of one queue, one after the other: other workers do the same.
async fn end_all(
    runtime: &Runtime,
    stream: QueueStream<'_>,
    kept: Duration,
    tools: &[&ToolName],
) -> Result<(), Error> {
    let store = &runtime.core.store;
    while let Some(left) = store.take_outside(stream, 1, kept, tools).await?.pop() {
        end(runtime, stream, &left).await?;
    }
    Ok(())
}

async fn end(runtime: &Runtime, stream: QueueStream<'_>, left: &LeftOutside) -> Result<(), Error> {
    let LeftOutside { id, tool, .. } = left;
    let outside = runtime
        .tools
        .get(tool)
        .and_then(|tool| tool.outside.as_ref());
    let Some(outside) = outside else {
        return Ok(());
    };
    let task = id.digest();
    if let Err(why) = outside.end(left).await {
        let tried = i64::try_from(TRIED_FOR.as_millis()).unwrap_or(i64::MAX);
        if local_ms() < left.until_ms.saturating_add(tried) {
            tracing::warn!(%task, %tool, why, "an external job of a task that is over could not be cancelled; it is tried again");
            return Ok(());
        }
        tracing::error!(%task, %tool, why, "an external job of a task that is over could not be cancelled for a day; it may go on");
    } else {
        tracing::info!(%task, %tool, "the external job of a task that is over is cancelled");
    }
    let until = Some(left.until_ms);
    runtime
        .core
        .store
        .end_outside(stream, *id, tool, until)
        .await
}
