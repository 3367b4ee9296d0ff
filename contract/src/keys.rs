//! The name of every key. docs/REDIS.md lists them with their content and expiry.

use std::sync::Arc;

use crate::ids::{Owner, QueueName, ReplicaId, Shard, TaskId, ToolName, WorkerId};
use crate::session::SessionId;

/// The prefix of keys when none is configured.
pub(crate) const DEFAULT_PREFIX: &str = "tf";

/// The consumer group of every queue.
pub(crate) const GROUP: &str = "workers";

/// The type that belongs to a key by its name, in Redis's words; nothing for a key that is not named as ours are.
pub(crate) fn kind_of(key: &str) -> Option<&'static str> {
    let (_prefix, rest) = key.split_once(':')?;
    let (in_shard, name) = match rest.strip_prefix('{') {
        Some(shard) => (true, shard.split_once("}:")?.1),
        None => (false, rest),
    };
    let mut parts = name.split(':');
    match (in_shard, parts.next()?, parts.nth(1)) {
        (true, "task" | "expired", _) => Some("hash"),
        (true, "queue" | "dead" | "log", _) => Some("stream"),
        (true, "due" | "active" | "owned" | "running" | "waiting", _) => Some("zset"),
        (true, "idem" | "same", _) => Some("string"),
        (false, "tools" | "worker", _) | (false, "session", None | Some("told")) => Some("hash"),
        (false, "workers" | "definitions", _) | (false, "session", Some("tasks")) => Some("zset"),
        (false, "contract" | "secret", _) | (false, "session", Some("stream" | "call")) => {
            Some("string")
        }
        _ => None,
    }
}

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

    /// How many jobs expired while they waited to run, by tool: hash.
    #[must_use]
    pub fn expired(&self, shard: Shard) -> String {
        format!("{}:{{{shard}}}:expired", self.prefix)
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
    fn a_key_says_by_its_name_what_belongs_there() {
        let keys = Keys::new("my-tf");
        let shard = Shards::default().all().next().unwrap();
        let id = TaskId::random(shard);
        let (tool, session) = ("a.b".parse().unwrap(), SessionId::random());
        for (key, kind) in [
            (keys.task(id), "hash"),
            (keys.log(id), "stream"),
            (keys.queue(shard, &QueueName::default_queue()), "stream"),
            (keys.dead(shard), "stream"),
            (keys.expired(shard), "hash"),
            (keys.due(shard), "zset"),
            (keys.waiting(shard), "zset"),
            (keys.waiting_for(shard, &tool), "zset"),
            (keys.owned(shard, &Owner::named("a:b").unwrap()), "zset"),
            (keys.tools(), "hash"),
            (keys.workers(), "zset"),
            (keys.worker(&"w".parse().unwrap()), "hash"),
            (keys.contract(), "string"),
            (keys.secret(), "string"),
            (keys.session(session), "hash"),
            (keys.session_tasks(session), "zset"),
            (keys.session_told(session), "hash"),
            (keys.session_stream(session), "string"),
            (keys.session_call(session, "x"), "string"),
        ] {
            assert_eq!(kind_of(&key), Some(kind), "{key}");
        }
        for foreign in ["tf", "tf:other", "tf:{0}:other", "other:thing:x"] {
            assert_eq!(kind_of(foreign), None, "{foreign}");
        }
    }

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
