//! Keeps what others need to see of this worker: that it lives, its tools, and the groups of its queues.

use std::sync::Arc;
use std::time::Duration;

use taskferry_contract::{Error, ToolDefinition, WorkerInfo};
use tokio_util::sync::CancellationToken;

use super::Runtime;

/// Between two rounds. A Redis that lost its data has its tools and groups again after this.
const ROUND: Duration = Duration::from_secs(5);

/// Tidies until `end`.
pub(crate) async fn run(runtime: Arc<Runtime>, end: CancellationToken) {
    loop {
        let pause = ROUND.mul_f64(rand::random_range(0.8..=1.0));
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = runtime.wake.janitor.notified() => {}
        }
        if let Err(error) = round(&runtime).await {
            tracing::warn!(%error, "this worker could not be made known; trying again");
        }
    }
}

/// Makes tools, groups and the worker itself known, as far as they are not.
pub(crate) async fn round(runtime: &Runtime) -> Result<(), Error> {
    if !runtime.is_stopping() {
        let tools: Vec<ToolDefinition> = runtime
            .tools
            .values()
            .map(|tool| tool.definition.clone())
            .collect();
        let registered = runtime.store.register_tools(&tools).await?;
        if registered > 0 {
            tracing::info!(registered, "tools registered");
        }
        for shard in runtime.store.shards().all() {
            for queue in &runtime.queues {
                runtime.store.ensure_group(shard, queue).await?;
            }
        }
    }
    runtime.store.beat(&info(runtime)).await
}

fn info(runtime: &Runtime) -> WorkerInfo {
    let mut tools: Vec<&str> = runtime.tools.keys().map(|name| name.as_str()).collect();
    tools.sort_unstable();
    WorkerInfo {
        id: runtime.worker.clone(),
        host: runtime.host.clone(),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        slots: runtime.slots.total(),
        busy: runtime.slots.busy(),
        tools: tools.join(","),
    }
}
