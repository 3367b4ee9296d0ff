//! Keeps what others need to see of this worker: that it lives, and its tools.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use taskferry_contract::{Error, QueueStream, ToolDefinition, ToolName, WorkerInfo};
use tokio_util::sync::CancellationToken;

use super::Runtime;

/// Between two rounds. A Redis that lost its data has its tools again after this.
const ROUND: Duration = Duration::from_secs(5);

/// Tidies until `end`.
pub(crate) async fn run(runtime: Arc<Runtime>, end: CancellationToken) {
    loop {
        let pause = ROUND.mul_f64(rand::random_range(0.8..=1.0));
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = runtime.core.make_known.notified() => {}
        }
        match round(&runtime).await {
            Ok(()) => {}
            Err(error @ Error::Unsuitable(_)) => {
                tracing::error!(%error, "this worker cannot go on");
                runtime.core.give_up(error);
                return end.cancelled().await;
            }
            Err(error) => {
                tracing::warn!(%error, "this worker could not be made known; trying again")
            }
        }
    }
}

/// Makes the worker known, with its tools as they are now and the groups of its queues. Groups that are lost later are
/// made again by the fetcher that misses them.
pub(crate) async fn introduce(runtime: &Runtime) -> Result<(), Error> {
    register(runtime, |_every| true).await?;
    for shard in runtime.core.store.shards().all() {
        for queue in &runtime.core.queues {
            let stream = QueueStream { shard, queue };
            match runtime.core.store.ensure_group(stream).await {
                // The fetcher logs it, and tries again.
                Err(error) if error.is_wrong_type() => {}
                made => made?,
            }
        }
    }
    beat(runtime).await
}

/// Registers what the registry lacks, and only that: a tool that is there in another form was registered by a newer
/// worker, and two that wrote over each other would have every client read its tools again and again.
///
/// The contract's version comes first: somebody may have begun to use another one, and Redis may have lost it.
async fn round(runtime: &Runtime) -> Result<(), Error> {
    runtime.core.store.agree_version().await?;
    if !runtime.core.is_stopping() {
        let known = runtime.core.store.tools_of(&runtime.core.queues).await?;
        let known: HashSet<ToolName> = known.into_iter().map(|tool| tool.name).collect();
        register(runtime, |name| !known.contains(name)).await?;
    }
    beat(runtime).await
}

async fn register(runtime: &Runtime, wanted: impl Fn(&ToolName) -> bool) -> Result<(), Error> {
    let own = runtime.tools.values().map(|tool| &tool.definition);
    let tools: Vec<ToolDefinition> = own.filter(|tool| wanted(&tool.name)).cloned().collect();
    let registered = runtime.core.store.register_tools(&tools).await?;
    if registered > 0 {
        tracing::info!(registered, "tools registered");
    }
    Ok(())
}

/// Tells that the worker is alive. One that begins nothing any more runs no job of any definition.
async fn beat(runtime: &Runtime) -> Result<(), Error> {
    let tools = runtime.tools.iter();
    let held = tools.filter(|_| !runtime.core.is_stopping());
    let held = held.map(|(name, tool)| (name.clone(), tool.digest.clone()));
    let held: Vec<_> = held.collect();
    runtime.core.store.beat(&info(runtime), &held).await
}

fn info(runtime: &Runtime) -> WorkerInfo {
    let mut tools: Vec<&str> = runtime.tools.keys().map(|name| name.as_str()).collect();
    tools.sort_unstable();
    let queues: Vec<&str> = runtime
        .core
        .queues
        .iter()
        .map(|name| name.as_str())
        .collect();
    WorkerInfo {
        queues: queues.join(","),
        id: runtime.core.worker.clone(),
        host: runtime.core.host.clone(),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        slots: runtime.core.slots.total(),
        busy: runtime.core.slots.busy(),
        tools: tools.join(","),
        doing: runtime.core.doing(),
    }
}
