//! How many jobs, entries and workers there are, and which keys are of the wrong type, for operators.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::model::names::QueueName;

/// A server as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerOverview {
    /// Product and version.
    pub product: String,
    /// Whether it takes writes.
    pub is_primary: bool,
    /// How long it runs, seconds.
    pub uptime_seconds: u64,
    /// Memory in use, bytes.
    pub used_bytes: u64,
    /// The most it may use, bytes; 0 for no limit.
    pub max_bytes: u64,
    /// Open connections.
    pub connections: u64,
    /// The contract's version, if one is stored.
    pub contract: Option<String>,
    /// Its clock, ms since the epoch.
    pub now_ms: u64,
}

/// A queue over all shards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueOverview {
    /// Jobs that wait for a worker or run, and entries of expired ones that no worker has found yet.
    pub length: u64,
    /// Those that were given to a worker.
    pub pending: u64,
    /// When the oldest of all was queued, those in lines included, ms since the epoch.
    pub oldest_ms: Option<u64>,
    /// Jobs that wait in the lines of their owners, beyond their shares; not among `length`.
    pub in_lines: u64,
    /// A key of it that holds something else than a stream, which counts for nothing.
    pub misplaced: Option<Misplaced>,
}

/// What is not on a queue, over all shards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShardOverview {
    /// Jobs that wait for their time.
    pub due: u64,
    /// When the next one's comes, ms since the epoch.
    pub next_due_ms: Option<u64>,
    /// Jobs that wait for their turn: their tool is at its concurrency limit or its rate, or paused.
    pub waiting: u64,
    /// Dead letters.
    pub dead: u64,
    /// How many jobs expired while they waited to run, by tool; `-` is those whose tool was unknown. Until 30 days after
    /// the last one of a shard.
    pub expired: BTreeMap<String, u64>,
}

/// The jobs of a tool that have not ended, over all shards; those that are parked for an answer are not among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ToolJobs {
    /// Those that wait to run.
    pub queued: u64,
    /// Those that run, or whose command waits for an answer.
    pub begun: u64,
    /// Whether there may be more of both: not all that is queued was looked at.
    pub has_more: bool,
}

/// What a scan of all keys found: queues, and keys of another type than they should have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// Every queue that has a stream, also an empty one, or jobs that wait elsewhere.
    pub queues: BTreeSet<QueueName>,
    /// Keys of queues, indexes and registries that are of another type than they should be. Records, sessions and the
    /// indexes of owners are not checked: a command that finds one of the wrong type fails and names it.
    pub misplaced: Vec<Misplaced>,
}

/// A key of another type than it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misplaced {
    /// Its name.
    pub key: String,
    /// The type of what it holds.
    pub holds: String,
    /// The type that belongs there.
    pub belongs: &'static str,
}

impl fmt::Display for Misplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            holds,
            belongs,
        } = self;
        write!(f, "{key:?} holds a {holds} where a {belongs} belongs")
    }
}
