//! The name of every key. docs/REDIS.md lists them with their content and expiry.

use std::fmt;
use std::sync::Arc;

use crate::model::ids::{SessionId, TaskId};
use crate::model::names::{Owner, QueueName, ReplicaId, ToolName, WorkerId};
use crate::model::shard::Shard;

/// The prefix of keys when none is configured.
pub(crate) const DEFAULT_PREFIX: &str = "tf";

/// The consumer group of every queue.
pub(crate) const GROUP: &str = "workers";

/// The type that belongs to a key by its name, in Redis's words; nothing for a key that is not named as ours are.
pub(crate) fn kind_of(key: &str) -> Option<&'static str> {
    let (_prefix, rest) = key.split_once(':')?;
    if rest == CONTRACT {
        return Some("string");
    }
    let (tag, name) = rest.strip_prefix('{')?.split_once("}:")?;
    let mut parts = name.split(':');
    let (what, more) = (parts.next()?, parts.next());
    match (Tag::read(tag)?, what) {
        (Tag::Shard(_), "task" | "expired") => Some("hash"),
        (Tag::Shard(_), "queue" | "dead" | "log") => Some("stream"),
        (Tag::Shard(_), "due" | "active" | "owned" | "running" | "waiting") => Some("zset"),
        (Tag::Shard(_), "idem" | "same") => Some("string"),
        (Tag::Fleet, "tools" | "worker") => Some("hash"),
        (Tag::Fleet, "workers" | "definitions") => Some("zset"),
        (Tag::Fleet, "secret") => Some("string"),
        (Tag::Session(_), "session") => match more {
            None | Some("told") => Some("hash"),
            Some("tasks") => Some("zset"),
            Some("stream" | "call") => Some("string"),
            Some(_) => None,
        },
        _ => None,
    }
}

/// The key with the contract's version, after the prefix. It alone has no hash tag: processes of every major, also of those
/// whose keys are named otherwise, must find it.
const CONTRACT: &str = "contract";
/// The hash tag of what all processes share.
const FLEET: &str = "fleet";
/// What the hash tag of a session begins with.
const SESSION: &str = "s:";

/// What a key is about. This is its hash tag: keys with the same one may be touched by one call.
#[derive(Clone, Copy)]
enum Tag {
    /// The jobs of a shard, and all that is counted and listed of them.
    Shard(Shard),
    /// A legacy session.
    Session(SessionId),
    /// What all processes share: tools, workers.
    Fleet,
}

impl Tag {
    fn read(text: &str) -> Option<Self> {
        if text == FLEET {
            return Some(Self::Fleet);
        }
        match text.strip_prefix(SESSION) {
            Some(id) => Some(Self::Session(id.parse().ok()?)),
            None => Some(Self::Shard(Shard::numbered(text.parse().ok()?)?)),
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shard(shard) => shard.fmt(f),
            Self::Session(id) => write!(f, "{SESSION}{id}"),
            Self::Fleet => f.write_str(FLEET),
        }
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

    fn of(&self, tag: Tag, name: impl fmt::Display) -> String {
        format!("{}:{{{tag}}}:{name}", self.prefix)
    }

    /// What the keys of a shard begin with; its braces make the hash tag.
    #[must_use]
    pub fn base(&self, shard: Shard) -> String {
        self.of(Tag::Shard(shard), "")
    }

    /// The record of a job: hash.
    #[must_use]
    pub fn task(&self, id: TaskId) -> String {
        self.of(Tag::Shard(id.shard()), format_args!("task:{id}"))
    }

    /// The log lines of a job, for the client that wants them: stream.
    #[must_use]
    pub fn log(&self, id: TaskId) -> String {
        self.of(Tag::Shard(id.shard()), format_args!("log:{id}"))
    }

    /// The stream of a queue.
    #[must_use]
    pub fn queue(&self, shard: Shard, queue: &QueueName) -> String {
        self.of(Tag::Shard(shard), format_args!("queue:{queue}"))
    }

    /// Dead letters: stream.
    #[must_use]
    pub fn dead(&self, shard: Shard) -> String {
        self.of(Tag::Shard(shard), "dead")
    }

    /// How many jobs expired while they waited to run, by tool: hash.
    #[must_use]
    pub fn expired(&self, shard: Shard) -> String {
        self.of(Tag::Shard(shard), "expired")
    }

    /// Jobs that wait for a time: sorted set by due time, ms.
    #[must_use]
    pub fn due(&self, shard: Shard) -> String {
        self.of(Tag::Shard(shard), "due")
    }

    /// Jobs that wait for a slot of a tool with a concurrency limit: sorted set by their order.
    #[must_use]
    pub fn waiting_for(&self, shard: Shard, tool: &ToolName) -> String {
        self.of(Tag::Shard(shard), format_args!("waiting:{tool}"))
    }

    /// The tools for whose slots jobs wait, or waited a moment ago: sorted set of names.
    #[must_use]
    pub fn waiting(&self, shard: Shard) -> String {
        self.of(Tag::Shard(shard), "waiting")
    }

    /// An owner's tasks: sorted set by expiry, ms.
    #[must_use]
    pub fn owned(&self, shard: Shard, owner: &Owner) -> String {
        self.of(Tag::Shard(shard), format_args!("owned:{owner}"))
    }

    /// The channel on which a replica is rung.
    #[must_use]
    pub fn bell(&self, shard: Shard, replica: &ReplicaId) -> String {
        self.of(Tag::Shard(shard), format_args!("bell:{replica}"))
    }

    /// The channel on which a worker is rung.
    #[must_use]
    pub fn inbox(&self, shard: Shard, worker: &WorkerId) -> String {
        self.of(Tag::Shard(shard), format_args!("inbox:{worker}"))
    }

    /// Tool definitions: hash, name to JSON.
    #[must_use]
    pub fn tools(&self) -> String {
        self.of(Tag::Fleet, "tools")
    }

    /// The channel that says the tools changed.
    #[must_use]
    pub fn tools_bell(&self) -> String {
        self.of(Tag::Fleet, "tools:changed")
    }

    /// The key that signs what clients carry for us: string.
    #[must_use]
    pub fn secret(&self) -> String {
        self.of(Tag::Fleet, "secret")
    }

    /// The version of the contract that the processes on this Redis keep: string. The one key without a hash tag, so that
    /// processes of other majors find it.
    #[must_use]
    pub fn contract(&self) -> String {
        format!("{}:{CONTRACT}", self.prefix)
    }

    /// Live workers: sorted set by last beat, ms.
    #[must_use]
    pub fn workers(&self) -> String {
        self.of(Tag::Fleet, "workers")
    }

    /// Which definitions of tools live workers have: sorted set of tool and digest by the last beat of one, ms.
    #[must_use]
    pub fn definitions(&self) -> String {
        self.of(Tag::Fleet, "definitions")
    }

    /// What a worker says of itself: hash.
    #[must_use]
    pub fn worker(&self, id: &WorkerId) -> String {
        self.of(Tag::Fleet, format_args!("worker:{id}"))
    }

    /// The tasks a legacy session asked for: sorted set by expiry, ms.
    #[must_use]
    pub fn session_tasks(&self, id: SessionId) -> String {
        self.of(Tag::Session(id), "session:tasks")
    }

    /// The job behind a plain call of a legacy session, by a digest of the request's id: string.
    #[must_use]
    pub fn session_call(&self, id: SessionId, request: &str) -> String {
        self.of(Tag::Session(id), format_args!("session:call:{request}"))
    }

    /// How far a legacy session was told of its tasks: hash by task id.
    #[must_use]
    pub fn session_told(&self, id: SessionId) -> String {
        self.of(Tag::Session(id), "session:told")
    }

    /// The connection that is a legacy session's own stream: string, gone soon after the stream.
    #[must_use]
    pub fn session_stream(&self, id: SessionId) -> String {
        self.of(Tag::Session(id), "session:stream")
    }

    /// A legacy session: hash.
    #[must_use]
    pub fn session(&self, id: SessionId) -> String {
        self.of(Tag::Session(id), "session")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shard::Shards;

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
        for foreign in [
            "tf",
            "tf:other",
            "tf:tools",
            "tf:session:x",
            "tf:{0}:other",
            "tf:{0}:session",
            "tf:{s:x}:session",
            "tf:{fleet}:task:x",
            "other:thing:x",
        ] {
            assert_eq!(kind_of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn every_key_but_one_carries_its_hash_tag() {
        let keys = Keys::new("tf");
        let session: SessionId = "b9a307cd-d58b-4bd4-b771-f37e0dcf07ae".parse().unwrap();
        let tag = format!("tf:{{s:{session}}}:");
        assert_eq!(keys.session(session), format!("{tag}session"));
        assert_eq!(
            keys.session_call(session, "x"),
            format!("{tag}session:call:x")
        );
        assert_eq!(keys.tools(), "tf:{fleet}:tools");
        assert_eq!(keys.worker(&"w".parse().unwrap()), "tf:{fleet}:worker:w");
        assert_eq!(keys.contract(), "tf:contract");
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
