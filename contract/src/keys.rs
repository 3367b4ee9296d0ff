//! The names of keys and channels. The scripts derive some more (`active`, `stored`, `bytes`, `running`, `begun`, `booked`, `lines`, `idem`, `same`) from `base`.
//! docs/REDIS.md lists all of them with content and expiry.

use std::fmt;
use std::sync::Arc;

use crate::model::holder::Holder;
use crate::model::ids::{SessionId, TaskId};
use crate::model::names::{FrontEndId, Owner, QueueName, ToolName, WorkerId};
use crate::model::shard::Shard;

/// The prefix of keys when none is configured.
pub(crate) const DEFAULT_PREFIX: &str = "tf";

/// The consumer group of every queue.
pub(crate) const GROUP: &str = "workers";

/// The Redis type that a key should have, by its name. `None` if the name is not one of Taskferry's.
pub(crate) fn kind_of(key: &str) -> Option<&'static str> {
    let (_prefix, rest) = key.split_once(':')?;
    if rest == CONTRACT {
        return Some("string");
    }
    let (tag, name) = rest.strip_prefix('{')?.split_once("}:")?;
    let mut parts = name.split(':');
    let (first, second) = (parts.next()?, parts.next());
    if tag.starts_with(HOLDER) {
        return match first {
            "sessions" => Some("zset"),
            "rate" => Some("string"),
            _ => None,
        };
    }
    match (Tag::read(tag)?, first) {
        (Tag::Shard(_), "task" | "expired" | "bytes" | "paused") => Some("hash"),
        (Tag::Shard(_), "queue" | "dead" | "log") => Some("stream"),
        (Tag::Shard(_), "due" | "active" | "owned" | "stored" | "running" | "waiting") => {
            Some("zset")
        }
        (Tag::Shard(_), "begun" | "booked") => Some("zset"),
        (Tag::Shard(_), "ready" | "line" | "lines" | "backlog" | "outside") => Some("zset"),
        (Tag::Shard(_), "idem" | "same" | "housekeeper") => Some("string"),
        (Tag::Fleet, "tools" | "worker") => Some("hash"),
        (Tag::Fleet, "homes") => Some("hash"),
        (Tag::Fleet, "workers" | "definitions" | "queues" | "sessions") => Some("zset"),
        (Tag::Fleet, "secret") => Some("string"),
        (Tag::Session(_), "session") => match second {
            None | Some("told") => Some("hash"),
            Some("tasks") => Some("zset"),
            Some("stream" | "call") => Some("string"),
            Some(_) => None,
        },
        _ => None,
    }
}

/// The name of the key that holds the contract's version. It has no hash tag, because processes of every major version must
/// find it, also of versions that tag keys otherwise.
const CONTRACT: &str = "contract";
/// The hash tag of what all processes share.
const FLEET: &str = "fleet";
/// What the hash tag of a session begins with.
const SESSION: &str = "s:";
/// What the hash tag of a caller begins with.
const HOLDER: &str = "o:";

/// The hash tag of a key. One call may only use keys with the same tag.
#[derive(Clone, Copy)]
enum Tag {
    /// A shard: its jobs, their queues, indexes and counters.
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

/// Whose line it is, and for what. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct LineName<'a> {
    /// The queue.
    pub queue: &'a str,
    /// The tool.
    pub tool: &'a str,
    /// The owner, who has a name.
    pub owner: &'a Owner,
}

impl fmt::Display for LineName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.queue, self.tool, self.owner)
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

    /// The part that all keys of a shard begin with, including the hash tag in braces. Scripts append names to it.
    #[must_use]
    pub fn base(&self, shard: Shard) -> String {
        self.of(Tag::Shard(shard), "")
    }

    /// The record of a job: hash.
    #[must_use]
    pub fn record(&self, id: TaskId) -> String {
        self.of(Tag::Shard(id.shard()), format_args!("task:{id}"))
    }

    /// The log lines of a job that its client asked for: stream.
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

    /// Which queues and tools are paused: hash.
    #[must_use]
    pub fn paused(&self, shard: Shard) -> String {
        self.of(Tag::Shard(shard), "paused")
    }

    /// Jobs of a queue that wait for a time: sorted set by due time, ms.
    #[must_use]
    pub fn due(&self, shard: Shard, queue: &QueueName) -> String {
        self.of(Tag::Shard(shard), format_args!("due:{queue}"))
    }

    /// Jobs of a tool that wait for a slot, for its rate, or for the end of a pause: sorted set by when each was first queued (`place`).
    #[must_use]
    pub fn waiting_jobs(&self, shard: Shard, queue: &QueueName, tool: &ToolName) -> String {
        self.of(Tag::Shard(shard), format_args!("waiting:{queue}:{tool}"))
    }

    /// Tools of a queue for which jobs wait for their turn, or did a moment ago: sorted set of names, all with score 0.
    #[must_use]
    pub fn tools_with_waiting_jobs(&self, shard: Shard, queue: &QueueName) -> String {
        self.of(Tag::Shard(shard), format_args!("waiting:{queue}"))
    }

    /// Jobs of an owner, of one tool, that are on the stream and not claimed yet, or wait for a slot: sorted set by when their
    /// records expire, ms.
    #[must_use]
    pub fn ready(&self, shard: Shard, line: LineName<'_>) -> String {
        self.of(Tag::Shard(shard), format_args!("ready:{line}"))
    }

    /// Jobs of an owner, of one tool, beyond its share of ready ones: sorted set by place, thousandths of a ms.
    #[must_use]
    pub fn line(&self, shard: Shard, line: LineName<'_>) -> String {
        self.of(Tag::Shard(shard), format_args!("line:{line}"))
    }

    /// The lines of a queue: sorted set of tool and owner, by when each was last looked after, ms.
    #[must_use]
    pub fn lines(&self, shard: Shard, queue: &QueueName) -> String {
        self.of(Tag::Shard(shard), format_args!("lines:{queue}"))
    }

    /// Jobs of a queue for which another system may run one: sorted set of id, expiry and tool, by when somebody has to look whether
    /// that is to be ended, ms.
    #[must_use]
    pub fn outside(&self, shard: Shard, queue: &QueueName) -> String {
        self.of(Tag::Shard(shard), format_args!("outside:{queue}"))
    }

    /// All jobs of a queue that wait in lines: sorted set by place, thousandths of a ms.
    #[must_use]
    pub fn backlog(&self, shard: Shard, queue: &QueueName) -> String {
        self.of(Tag::Shard(shard), format_args!("backlog:{queue}"))
    }

    /// Who keeps the queues of a shard going, or one of them: string.
    #[must_use]
    pub fn housekeeper(&self, shard: Shard, queue: Option<&QueueName>) -> String {
        match queue {
            None => self.of(Tag::Shard(shard), "housekeeper"),
            Some(queue) => self.of(Tag::Shard(shard), format_args!("housekeeper:{queue}")),
        }
    }

    /// An owner's tasks: sorted set by expiry, ms.
    #[must_use]
    pub fn owned(&self, shard: Shard, owner: &Owner) -> String {
        self.of(Tag::Shard(shard), format_args!("owned:{owner}"))
    }

    /// The channel on which a front end hears that a job it waits for has changed.
    #[must_use]
    pub fn bell(&self, shard: Shard, front_end: &FrontEndId) -> String {
        self.of(Tag::Shard(shard), format_args!("bell:{front_end}"))
    }

    /// The channel on which a worker hears that something happened to a job it holds: an answer, a cancel.
    #[must_use]
    pub fn inbox(&self, shard: Shard, worker: &WorkerId) -> String {
        self.of(Tag::Shard(shard), format_args!("inbox:{worker}"))
    }

    /// Definitions of the tools of a queue: hash, name to JSON.
    #[must_use]
    pub fn tools(&self, queue: &QueueName) -> String {
        self.of(Tag::Fleet, format_args!("tools:{queue}"))
    }

    /// The queues that have tools: sorted set of names, all with score 0.
    #[must_use]
    pub fn queues(&self) -> String {
        self.of(Tag::Fleet, "queues")
    }

    /// Of which queue the definition of a tool counts, if several have one: hash, tool to queue. Workers of some queues alone
    /// cannot write it, so that none takes over a tool of others.
    #[must_use]
    pub fn homes(&self) -> String {
        self.of(Tag::Fleet, "homes")
    }

    /// The channel that says the tools changed.
    #[must_use]
    pub fn tools_bell(&self) -> String {
        self.of(Tag::Fleet, "tools:changed")
    }

    /// The secret with which front ends sign state that a client brings back in its next request: string.
    #[must_use]
    pub fn secret(&self) -> String {
        self.of(Tag::Fleet, "secret")
    }

    /// The contract's version that the processes on this Redis use: string.
    #[must_use]
    pub fn contract(&self) -> String {
        format!("{}:{CONTRACT}", self.prefix)
    }

    /// Live workers: sorted set by when each last reported (`beat`), ms.
    #[must_use]
    pub fn workers(&self) -> String {
        self.of(Tag::Fleet, "workers")
    }

    /// The tool definitions that workers have now: sorted set of tool and digest, by when a worker last reported the pair,
    /// ms.
    #[must_use]
    pub fn definitions(&self) -> String {
        self.of(Tag::Fleet, "definitions")
    }

    /// What a worker says of itself: hash.
    #[must_use]
    pub fn worker(&self, id: &WorkerId) -> String {
        self.of(Tag::Fleet, format_args!("worker:{id}"))
    }

    /// What is counted of a caller carries its hash tag.
    fn of_holder(&self, holder: impl fmt::Display, name: &str) -> String {
        format!("{}:{{{HOLDER}{holder}}}:{name}", self.prefix)
    }

    /// The sessions of a caller: sorted set by when each is counted no more, ms.
    #[must_use]
    pub fn sessions_of(&self, holder: Holder<'_>) -> String {
        self.of_holder(holder, "sessions")
    }

    /// All sessions: sorted set by when each is counted no more, ms.
    #[must_use]
    pub fn sessions(&self) -> String {
        self.of(Tag::Fleet, "sessions")
    }

    /// Until when a caller has used up its rate, µs since the epoch: string.
    #[must_use]
    pub fn rate_of(&self, owner: &Owner) -> String {
        self.of_holder(owner, "rate")
    }

    /// The tasks a legacy session asked for: sorted set by expiry, ms.
    #[must_use]
    pub fn session_tasks(&self, id: SessionId) -> String {
        self.of(Tag::Session(id), "session:tasks")
    }

    /// The job behind a plain call of a legacy session, found by a digest of the JSON-RPC request id (for
    /// `notifications/cancelled` and resumed streams): string.
    #[must_use]
    pub fn session_call(&self, id: SessionId, request: &str) -> String {
        self.of(Tag::Session(id), format_args!("session:call:{request}"))
    }

    /// Up to where progress and log of each task were delivered to the client of a legacy session: hash by task id.
    #[must_use]
    pub fn session_told(&self, id: SessionId) -> String {
        self.of(Tag::Session(id), "session:told")
    }

    /// The id of the connection that serves a legacy session's own stream (its GET): string. Expires soon after the front
    /// end stops renewing it.
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
        let alice = Owner::named("a:b").unwrap();
        let address = "2001:db8::";
        let queue = QueueName::default_queue();
        for (key, kind) in [
            (keys.record(id), "hash"),
            (keys.log(id), "stream"),
            (keys.queue(shard, &queue), "stream"),
            (keys.dead(shard), "stream"),
            (keys.expired(shard), "hash"),
            (keys.paused(shard), "hash"),
            (keys.due(shard, &queue), "zset"),
            (keys.tools_with_waiting_jobs(shard, &queue), "zset"),
            (keys.waiting_jobs(shard, &queue, &tool), "zset"),
            (keys.owned(shard, &alice), "zset"),
            (keys.outside(shard, &queue), "zset"),
            (keys.tools(&queue), "hash"),
            (keys.homes(), "hash"),
            (keys.queues(), "zset"),
            (keys.workers(), "zset"),
            (keys.worker(&"w".parse().unwrap()), "hash"),
            (keys.contract(), "string"),
            (keys.secret(), "string"),
            (keys.sessions_of(Holder::Owner(&alice)), "zset"),
            (keys.sessions_of(Holder::Address(address)), "zset"),
            (keys.rate_of(&alice), "string"),
            (keys.sessions(), "zset"),
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
            "tf:{o:x}:other",
            "other:thing:x",
        ] {
            assert_eq!(kind_of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn the_keys_of_lines_are_sets() {
        let (keys, queue) = (Keys::new("tf"), QueueName::default_queue());
        let shard = Shards::default().all().next().unwrap();
        let line = LineName {
            queue: queue.as_str(),
            tool: "a.b",
            owner: &Owner::named("a:b").unwrap(),
        };
        assert_eq!(keys.line(shard, line), "tf:{0}:line:default:a.b:a:b");
        for key in [
            keys.ready(shard, line),
            keys.line(shard, line),
            keys.lines(shard, &queue),
            keys.backlog(shard, &queue),
        ] {
            assert_eq!(kind_of(&key), Some("zset"), "{key}");
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
        assert_eq!(keys.homes(), "tf:{fleet}:homes");
        assert_eq!(keys.worker(&"w".parse().unwrap()), "tf:{fleet}:worker:w");
        assert_eq!(keys.contract(), "tf:contract");
    }

    #[test]
    fn the_keys_of_a_shard_share_its_hash_tag() {
        let keys = Keys::new("tf");
        let shard = Shards::default().all().next().unwrap();
        let id = TaskId::random(shard);
        assert_eq!(keys.record(id), format!("tf:{{0}}:task:{id}"));
        let queue = QueueName::default_queue();
        for key in [
            keys.queue(shard, &queue),
            keys.due(shard, &queue),
            keys.record(id),
        ] {
            assert!(key.starts_with(&keys.base(shard)), "{key}");
        }
    }
}
