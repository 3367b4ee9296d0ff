//! How Redis, queues, workers and dead letters stand.

use std::collections::BTreeSet;

use taskferry_contract::{
    Error, LeftOut, Misplaced, Pauses, QueueName, QueueOverview, Registry, ServerOverview,
    ShardOverview, Store, ToolName, WorkerId,
};

use super::held::HeldDefinitions;
use super::refused::refused;
use super::seen::{SeenWorker, workers};

/// All of that at one moment, or nearly so.
#[derive(Debug)]
pub(crate) struct Overview {
    /// Redis itself.
    pub(crate) server: ServerOverview,
    /// The queues of the registered tools, and of the streams that a worker reads or that have entries; by name.
    pub(crate) queues: Vec<StandingQueue>,
    /// What waits or lies outside of the queues, over all shards.
    pub(crate) rest: ShardOverview,
    /// What is paused.
    pub(crate) pauses: Pauses,
    /// The workers that reported within the last minute, also those that are silent by now.
    pub(crate) workers: Vec<SeenWorker>,
    /// How many tools are registered.
    pub(crate) tools: usize,
    /// Those that front ends do not list.
    pub(crate) refused: Vec<LeftOut>,
    /// The tools of which a worker has another definition than is registered.
    pub(crate) differing: Vec<ToolName>,
    /// Keys of the wrong type.
    pub(crate) misplaced: Vec<Misplaced>,
}

/// A queue.
#[derive(Debug)]
pub(crate) struct StandingQueue {
    /// Its name.
    pub(crate) name: QueueName,
    /// What is on it.
    pub(crate) overview: QueueOverview,
    /// The workers that may begin jobs of it.
    pub(crate) served_by: Vec<WorkerId>,
}

impl Overview {
    pub(super) async fn read(store: &Store) -> Result<Self, Error> {
        let registry = match store.registry().await {
            // A key of the wrong type stands in their place: the survey finds it.
            Err(Error::WrongType { .. }) => Registry::default(),
            registry => registry?,
        };
        let tools = &registry.tools;
        let registered: BTreeSet<&QueueName> = tools.iter().map(|tool| &tool.queue).collect();
        let survey = store.survey().await?;
        let workers = workers(store).await?;
        let names: BTreeSet<QueueName> = registered
            .iter()
            .copied()
            .chain(&survey.queues)
            .cloned()
            .collect();
        let mut queues = Vec::new();
        for name in &names {
            let overview = store.queue_overview(name).await?;
            let readers = || workers.iter().filter(|worker| worker.info.serves(name));
            let serving = readers().filter(|worker| worker.is_counted_on());
            let served_by = serving.map(|worker| worker.info.id.clone()).collect();
            // The stream of a queue that nobody uses any more stays, empty.
            let is_used = registered.contains(name) || readers().next().is_some();
            if is_used || overview != QueueOverview::default() {
                queues.push(StandingQueue {
                    name: name.clone(),
                    overview,
                    served_by,
                });
            }
        }
        let differing = tools
            .iter()
            .filter(|tool| !HeldDefinitions::of(tool, &workers).others.is_empty());
        Ok(Self {
            differing: differing.map(|tool| tool.name.clone()).collect(),
            queues,
            rest: store.shard_overview(&names).await?,
            pauses: store.pauses().await?,
            workers,
            tools: tools.len(),
            refused: refused(&registry),
            misplaced: survey.misplaced,
            server: store.server_overview().await?,
        })
    }

    /// How long ago a moment was, ms.
    pub(crate) fn ago(&self, at_ms: u64) -> u64 {
        self.server.now_ms.saturating_sub(at_ms)
    }
}
