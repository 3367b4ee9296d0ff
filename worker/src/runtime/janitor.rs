//! Keeps what others need to see of this worker: that it lives, and its tools.

use std::sync::Arc;
use std::time::Duration;

use taskferry_contract::{
    BEAT, DefinitionDigest, Error, QueueStream, ToolDefinition, ToolName, WorkerInfo,
    definitions_as_told,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Runtime;

/// What a worker reports of itself is looked at so often, and reported if it changed.
const LOOK: Duration = BEAT.checked_div(2).expect("two is not zero");
/// All of it is reported at least this often.
const ALL_OF_IT: Duration = Duration::from_secs(3600);

/// Tidies until `end`. Every second look is a round: a Redis that lost its data without a word has the tools again after
/// [`BEAT`].
pub(crate) async fn run(runtime: Arc<Runtime>, end: CancellationToken) {
    let (mut beats, mut looks) = (Beats::default(), 0);
    loop {
        let pause = LOOK.mul_f64(rand::random_range(0.9..=1.0));
        looks += 1;
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = runtime.core.make_known.notified() => looks = 0,
        }
        let done = if looks % 2 == 0 {
            round(&runtime, &mut beats).await
        } else {
            beats.tell_changes(&runtime).await
        };
        match done {
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
    Beats::default().beat(runtime).await
}

/// Registers what the registry lacks, and only that: a tool that is there in another form was registered by a newer
/// worker, and two that wrote over each other would have every client read its tools again and again.
///
/// The contract's version comes first: somebody may have begun to use another one, and Redis may have lost it.
async fn round(runtime: &Runtime, beats: &mut Beats) -> Result<(), Error> {
    runtime.core.store.agree_version().await?;
    if !runtime.core.is_stopping() {
        let queues = &runtime.core.queues;
        let known = runtime.core.store.names_of_tools(queues).await?;
        register(runtime, |name| !known.contains(name.as_str())).await?;
    }
    beats.beat(runtime).await
}

async fn register(runtime: &Runtime, wanted: impl Fn(&ToolName) -> bool) -> Result<(), Error> {
    let own = runtime.tools.values().map(|tool| &tool.definition);
    let tools: Vec<ToolDefinition> = own.filter(|tool| wanted(&tool.name)).cloned().collect();
    if tools.is_empty() {
        return Ok(());
    }
    let registered = runtime.core.store.register_tools(&tools).await?;
    if registered > 0 {
        tracing::info!(registered, "tools registered");
    }
    Ok(())
}

/// What was told of this worker.
#[derive(Default)]
struct Beats {
    /// All of it, and when.
    told: Option<(WorkerInfo, Instant)>,
}

impl Beats {
    /// Tells that the worker is alive, and what it says of itself, but for what Redis has.
    async fn beat(&mut self, runtime: &Runtime) -> Result<(), Error> {
        let (info, store) = (info(runtime), &runtime.core.store);
        let is_told = self.has_told(&info);
        if is_told && store.beat_again(&info.id, &held(runtime)).await? {
            return Ok(());
        }
        // Whatever becomes of it, the next one tells all of it if this one fails.
        self.told = None;
        store.beat(&info, &held(runtime)).await?;
        self.told = Some((info, Instant::now()));
        Ok(())
    }

    /// Beats if something changed.
    async fn tell_changes(&mut self, runtime: &Runtime) -> Result<(), Error> {
        if self.has_told(&info(runtime)) {
            return Ok(());
        }
        self.beat(runtime).await
    }

    fn has_told(&self, info: &WorkerInfo) -> bool {
        let told = self.told.as_ref();
        told.is_some_and(|(told, at)| told == info && at.elapsed() < ALL_OF_IT)
    }
}

/// The definitions that it can run jobs of: none if it begins nothing any more.
fn held(runtime: &Runtime) -> Vec<(ToolName, DefinitionDigest)> {
    if runtime.core.is_stopping() {
        return Vec::new();
    }
    let tools = runtime.tools.iter();
    tools
        .map(|(name, tool)| (name.clone(), tool.digest.clone()))
        .collect()
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
        digests: definitions_as_told(&held(runtime)),
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
