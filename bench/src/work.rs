//! The work: no-op tools, their arguments and their result, the same on every road.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::value::RawValue;
use taskferry_contract::{
    Arguments, Owner, RedisSettings, Shard, Store, Submission, SubmitReply, TaskId, ToolDefinition,
};

/// What the client declares: tasks.
pub(crate) const CAPABILITIES: &str = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
/// How often a client polls in a lifecycle.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(5);

const SCHEMA: &str = r#"{"type":"object","properties":{"text":{"type":"string"}},"required":["text"],"additionalProperties":false}"#;

/// A tool, with a queue of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nobody works its jobs off.
    Parked,
    /// The worker does.
    Noop,
    /// Whoever submits also works off, without HTTP.
    Direct,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Parked, Self::Noop, Self::Direct];

    /// The tool and its queue.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Parked => "bench_parked",
            Self::Noop => "bench_noop",
            Self::Direct => "bench_direct",
        }
    }

    /// What the worker registers.
    pub(crate) fn definition(self) -> anyhow::Result<ToolDefinition> {
        let schema = RawValue::from_string(SCHEMA.to_owned())?;
        Ok(ToolDefinition {
            queue: self.name().parse()?,
            poll_interval_ms: u64::try_from(POLL_INTERVAL.as_millis())?,
            ..ToolDefinition::new(self.name().parse()?, schema)
        })
    }
}

/// A store on the Redis of this run.
pub(crate) fn store(redis_url: &str) -> anyhow::Result<Store> {
    Ok(Store::new(&RedisSettings::new(redis_url))?)
}

/// The only shard.
pub(crate) fn shard(store: &Store) -> anyhow::Result<Shard> {
    store.shards().all().next().context("there is no shard")
}

/// The arguments of every call.
pub(crate) fn arguments(payload_bytes: usize) -> Arguments {
    format!(r#"{{"text":"{}"}}"#, "x".repeat(payload_bytes)).into()
}

/// The result of every job.
pub(crate) fn result(payload_bytes: usize) -> String {
    let text = "y".repeat(payload_bytes);
    format!(r#"{{"content":[{{"type":"text","text":"{text}"}}]}}"#)
}

/// Queues a job exactly as the front end does for a modern call that becomes a task.
pub(crate) async fn submit(
    store: &Store,
    tool: &ToolDefinition,
    owner: &Owner,
    arguments: &Arguments,
) -> anyhow::Result<TaskId> {
    let id = TaskId::random(store.shards().of(owner));
    let submission = Submission {
        keep: Duration::from_millis(tool.keep_ms),
        capabilities: Some(CAPABILITIES),
        queue_cap: 1_000_000_000,
        owner_cap: 10_000,
        ..Submission::new(tool, id, owner, arguments.clone())
    };
    match store.submit(&submission).await? {
        SubmitReply::Queued { .. } => Ok(submission.id),
        refused => anyhow::bail!("a job was not queued: {refused:?}"),
    }
}
