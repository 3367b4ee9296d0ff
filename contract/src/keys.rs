//! The name of every key. docs/REDIS.md lists them with their content and expiry.

use std::sync::Arc;

use crate::ids::{Owner, QueueName, ReplicaId, Shard, TaskId, ToolName, WorkerId};
use crate::session::SessionId;

/// The prefix of keys when none is configured.
pub(crate) const DEFAULT_PREFIX: &str = "tf";

/// Names keys below one prefix. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Keys {
    prefix: Arc<str>,
}

impl Keys {
    /// Names below `prefix`.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.into(),
        }
    }

    /// What every key begins with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What the keys of a shard begin with; its braces make the hash tag.
    #[must_use]
    pub fn base(&self, shard: Shard) -> String {
        format!("{}:{{{shard}}}:", self.prefix)
    }

    /// The record of a job: hash.
    #[must_use]
    pub fn task(&self, id: TaskId) -> String {
        format!("{}:{{{}}}:task:{id}", self.prefix, id.shard())
    }

    /// The log lines of a job, for the client that wants them: stream.
    #[must_use]
    pub fn log(&self, id: TaskId) -> String {
        format!("{}:{{{}}}:log:{id}", self.prefix, id.shard())
    }

    /// The stream of a queue.
    #[must_use]
    pub fn queue(&self, shard: Shard, queue: &QueueName) -> String {
        format!("{}:{{{shard}}}:queue:{queue}", self.prefix)
    }

    /// Dead letters: stream.
    #[must_use]
    pub fn dead(&self, shard: Shard) -> String {
        format!("{}:{{{shard}}}:dead", self.prefix)
    }

    /// Jobs that wait for a time: sorted set by due time, ms.
    #[must_use]
    pub fn due(&self, shard: Shard) -> String {
        format!("{}:{{{shard}}}:due", self.prefix)
    }

    /// Jobs that wait for a slot of a tool with a concurrency limit: sorted set by their order.
    #[must_use]
    pub fn waiting_for(&self, shard: Shard, tool: &ToolName) -> String {
        format!("{}:{{{shard}}}:waiting:{tool}", self.prefix)
    }

    /// The tools for whose slots jobs wait, or waited a moment ago: sorted set of names.
    #[must_use]
    pub fn waiting(&self, shard: Shard) -> String {
        format!("{}:{{{shard}}}:waiting", self.prefix)
    }

    /// An owner's tasks: sorted set by expiry, ms.
    #[must_use]
    pub fn owned(&self, shard: Shard, owner: &Owner) -> String {
        format!("{}:{{{shard}}}:owned:{owner}", self.prefix)
    }

    /// The channel on which a replica is rung.
    #[must_use]
    pub fn bell(&self, shard: Shard, replica: &ReplicaId) -> String {
        format!("{}:{{{shard}}}:bell:{replica}", self.prefix)
    }

    /// The channel on which a worker is rung.
    #[must_use]
    pub fn inbox(&self, shard: Shard, worker: &WorkerId) -> String {
        format!("{}:{{{shard}}}:inbox:{worker}", self.prefix)
    }

    /// Tool definitions: hash, name to JSON.
    #[must_use]
    pub fn tools(&self) -> String {
        format!("{}:tools", self.prefix)
    }

    /// The channel that says the tools changed.
    #[must_use]
    pub fn tools_bell(&self) -> String {
        format!("{}:tools:changed", self.prefix)
    }

    /// The key that signs what clients carry for us: string.
    #[must_use]
    pub fn secret(&self) -> String {
        format!("{}:secret", self.prefix)
    }

    /// The version of the contract that the processes on this Redis keep: string.
    #[must_use]
    pub fn contract(&self) -> String {
        format!("{}:contract", self.prefix)
    }

    /// Live workers: sorted set by last beat, ms.
    #[must_use]
    pub fn workers(&self) -> String {
        format!("{}:workers", self.prefix)
    }

    /// Which definitions of tools live workers have: sorted set of tool and digest by the last beat of one, ms.
    #[must_use]
    pub fn definitions(&self) -> String {
        format!("{}:definitions", self.prefix)
    }

    /// What a worker says of itself: hash.
    #[must_use]
    pub fn worker(&self, id: &WorkerId) -> String {
        format!("{}:worker:{id}", self.prefix)
    }

    /// The tasks a legacy session asked for: sorted set by expiry, ms.
    #[must_use]
    pub fn session_tasks(&self, id: SessionId) -> String {
        format!("{}:session:{id}:tasks", self.prefix)
    }

    /// The job behind a plain call of a legacy session, by a digest of the request's id: string.
    #[must_use]
    pub fn session_call(&self, id: SessionId, request: &str) -> String {
        format!("{}:session:{id}:call:{request}", self.prefix)
    }

    /// How far a legacy session was told of its tasks: hash by task id.
    #[must_use]
    pub fn session_told(&self, id: SessionId) -> String {
        format!("{}:session:{id}:told", self.prefix)
    }

    /// The connection that is a legacy session's own stream: string, gone soon after the stream.
    #[must_use]
    pub fn session_stream(&self, id: SessionId) -> String {
        format!("{}:session:{id}:stream", self.prefix)
    }

    /// A legacy session: hash.
    #[must_use]
    pub fn session(&self, id: SessionId) -> String {
        format!("{}:session:{id}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Shards;

    #[test]
    fn the_keys_of_a_shard_share_its_hash_tag() {
        let keys = Keys::new("tf");
        let shard = Shards::default().all().next().unwrap();
        let id = TaskId::random(shard);
        assert_eq!(keys.task(id), format!("tf:{{0}}:task:{id}"));
        let queue = QueueName::default_queue();
        for key in [keys.queue(shard, &queue), keys.due(shard), keys.task(id)] {
            assert!(key.starts_with(&keys.base(shard)), "{key}");
        }
    }
}
