//! What each kind of process does in Redis, and so what its user needs: one table, which `taskferry acl` prints, which the
//! programs and `taskferry doctor` hold a user against, and which a test holds against what is sent.

use std::fmt;
use std::str::FromStr;

use crate::model::names::QueueName;

/// What a process is to Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Takes calls, and hands out their results.
    FrontEnd,
    /// Runs jobs, and registers its tools.
    Worker,
    /// Runs jobs by the scripts, or their functions, alone: it claims, renews and ends attempts, and registers nothing.
    ForeignWorker,
    /// An operator who looks: `status`, `doctor`, `tools list`, `dead list`, redis-cli.
    Viewer,
    /// An operator who acts, too: `dead retry`, `dead purge`, `tools add`, `tools remove`, `pause`, `resume`,
    /// `secret rotate`, `contract install`.
    Operator,
}

/// What a user may do with the keys of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyAccess {
    /// Read them.
    Read,
    /// Write to them, and read nothing of it.
    Write,
    /// Both.
    ReadWrite,
}

/// What a user needs, as Redis names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// Commands in capitals, a subcommand after a space.
    pub commands: Vec<&'static str>,
    /// Patterns of keys.
    pub keys: Vec<(KeyAccess, String)>,
    /// Patterns of channels.
    pub channels: Vec<String>,
}

/// No such role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be front-end, worker, foreign-worker, viewer or operator")]
pub struct UnknownRole;

/// Stands for a queue in the patterns below.
const QUEUE: &str = "<queue>";

/// Sent by every transition, or to call one.
const SCRIPTS: &[&str] = &["EVALSHA", "SCRIPT LOAD", "TIME"];

/// Whether every role does its work also without a command that its rules allow: only workers in other languages use the
/// library of functions, and they have the scripts where there is none.
pub(crate) fn is_dispensable(command: &str) -> bool {
    LIBRARIES.contains(&command) || CALLS.contains(&command)
}

/// What puts the library of functions there, and shows which one is.
const LIBRARIES: &[&str] = &["FUNCTION LIST", "FUNCTION LOAD"];

/// Calls one of its functions.
const CALLS: &[&str] = &["FCALL"];

/// What the programs send beside that, whatever they are.
const CONNECTED: &[&str] = &["INFO", "PING", "SCRIPT EXISTS", "UNWATCH"];

/// What moves a job, by whichever script: the same for all who call them.
const MOVES: &[&str] = &[
    "HGET",
    "HSET",
    "HMGET",
    "EXISTS",
    "TYPE",
    "DEL",
    "PEXPIRE",
    "PEXPIREAT",
    "HINCRBY",
    "XADD",
    "XACK",
    "XDEL",
    "ZADD",
    "ZREM",
    "ZCARD",
    "ZRANGE",
    "ZRANGEBYSCORE",
    "ZREMRANGEBYSCORE",
    "PUBLISH",
    "SUBSCRIBE",
];

const FRONT_END: &[&str] = &[
    "EXEC",
    "GET",
    "HDEL",
    "HEXISTS",
    "HGETALL",
    "HKEYS",
    "HSTRLEN",
    "MULTI",
    "PTTL",
    "PUBSUB NUMSUB",
    "SET",
    "WAIT",
    "XGROUP DELCONSUMER",
    "XINFO CONSUMERS",
    "XLEN",
    "XPENDING",
    "XRANGE",
    "XTRIM",
    "ZRANK",
    "ZSCORE",
];

/// What it takes to run jobs.
const RUNS: &[&str] = &[
    "CLIENT ID",
    "CLIENT UNBLOCK",
    "HDEL",
    "HKEYS",
    "HSTRLEN",
    "PEXPIRETIME",
    "XCLAIM",
    "XGROUP CREATE",
    "XPENDING",
    "XRANGE",
    "XREADGROUP",
    "XTRIM",
    "ZCOUNT",
    "ZRANK",
    "ZSCORE",
];

const WORKER: &[&str] = &[
    "GET",
    "PUBSUB NUMSUB",
    "SET",
    "XGROUP DELCONSUMER",
    "XINFO CONSUMERS",
];

const VIEWER: &[&str] = &[
    "EXISTS",
    "GET",
    "HGETALL",
    "HMGET",
    "INFO",
    "SCAN",
    "TIME",
    "TYPE",
    "XLEN",
    "XPENDING",
    "XRANGE",
    "XREVRANGE",
    "ZCARD",
    "ZRANGE",
];

/// What docs/REDIS.md has people look with.
const LOOKS: &[&str] = &[
    "FUNCTION LIST",
    "HKEYS",
    "MEMORY USAGE",
    "PTTL",
    "TTL",
    "XINFO GROUPS",
];

const OPERATOR: &[&str] = &[
    "EXEC",
    "HDEL",
    "HGET",
    "HINCRBY",
    "HSET",
    "MULTI",
    "PEXPIRE",
    "PEXPIREAT",
    "PUBLISH",
    "SET",
    "XADD",
    "XDEL",
    "ZADD",
    "ZRANGEBYSCORE",
    "ZREM",
    "ZREMRANGEBYSCORE",
];

use KeyAccess::{Read, ReadWrite, Write};

type Keys = &'static [(KeyAccess, &'static str)];
type Words = &'static [&'static str];

const OF_FRONT_END: Keys = &[
    (ReadWrite, "{[0-9]*}:task:*"),
    (ReadWrite, "{[0-9]*}:queue:*"),
    (ReadWrite, "{[0-9]*}:due:*"),
    (ReadWrite, "{[0-9]*}:waiting:*"),
    (ReadWrite, "{[0-9]*}:running:*"),
    (ReadWrite, "{[0-9]*}:begun:*"),
    (Write, "{[0-9]*}:booked:*"),
    (ReadWrite, "{[0-9]*}:ready:*"),
    (ReadWrite, "{[0-9]*}:line:*"),
    (ReadWrite, "{[0-9]*}:lines:*"),
    (Write, "{[0-9]*}:backlog:*"),
    (Write, "{[0-9]*}:outside:*"),
    (Write, "{[0-9]*}:active:*"),
    (ReadWrite, "{[0-9]*}:owned:*"),
    (ReadWrite, "{[0-9]*}:stored:*"),
    (ReadWrite, "{[0-9]*}:bytes:*"),
    (ReadWrite, "{[0-9]*}:idem:*"),
    (ReadWrite, "{[0-9]*}:same:*"),
    (ReadWrite, "{[0-9]*}:expired"),
    (Read, "{[0-9]*}:paused"),
    (Write, "{[0-9]*}:dead"),
    (ReadWrite, "{[0-9]*}:housekeeper"),
    (Read, "{[0-9]*}:log:*"),
    (ReadWrite, "{o:*}:sessions"),
    (ReadWrite, "{o:*}:rate"),
    (ReadWrite, "{s:*}:session"),
    (ReadWrite, "{s:*}:session:*"),
    (Read, "{fleet}:tools:*"),
    (Read, "{fleet}:queues"),
    (ReadWrite, "{fleet}:homes"),
    (Read, "{fleet}:workers"),
    (Read, "{fleet}:worker:*"),
    (ReadWrite, "{fleet}:sessions"),
    (ReadWrite, "{fleet}:secret"),
    (ReadWrite, "contract"),
];

/// Of most of an owner's indexes and keys it only writes.
const OF_RUNNING: Keys = &[
    (ReadWrite, "{[0-9]*}:task:*"),
    (ReadWrite, "{[0-9]*}:queue:<queue>"),
    (ReadWrite, "{[0-9]*}:due:<queue>"),
    (ReadWrite, "{[0-9]*}:waiting:<queue>"),
    (ReadWrite, "{[0-9]*}:waiting:<queue>:*"),
    (ReadWrite, "{[0-9]*}:running:<queue>:*"),
    (ReadWrite, "{[0-9]*}:begun:<queue>:*"),
    (Write, "{[0-9]*}:booked:<queue>:*"),
    (ReadWrite, "{[0-9]*}:ready:<queue>:*"),
    (ReadWrite, "{[0-9]*}:line:<queue>:*"),
    (ReadWrite, "{[0-9]*}:lines:<queue>"),
    (Write, "{[0-9]*}:backlog:<queue>"),
    (ReadWrite, "{[0-9]*}:outside:<queue>"),
    (Write, "{[0-9]*}:active:*"),
    (Write, "{[0-9]*}:owned:*"),
    (ReadWrite, "{[0-9]*}:stored:*"),
    (ReadWrite, "{[0-9]*}:bytes:*"),
    (Write, "{[0-9]*}:idem:*"),
    (Write, "{[0-9]*}:same:*"),
    (Write, "{[0-9]*}:log:*"),
    (Write, "{[0-9]*}:dead"),
    (ReadWrite, "{[0-9]*}:expired"),
    (Read, "{[0-9]*}:paused"),
];

const OF_WORKER: Keys = &[
    (ReadWrite, "{[0-9]*}:housekeeper:<queue>"),
    (ReadWrite, "{fleet}:tools:<queue>"),
    (ReadWrite, "{fleet}:queues"),
    (ReadWrite, "{fleet}:workers"),
    (ReadWrite, "{fleet}:worker:*"),
    (ReadWrite, "{fleet}:definitions"),
    (ReadWrite, "contract"),
];

/// Which queue is the home of a tool, and who keeps all queues going: a worker of all queues may say so, one of some not.
const OF_WORKER_OF_ALL: Keys = &[
    (ReadWrite, "{fleet}:homes"),
    (ReadWrite, "{[0-9]*}:housekeeper"),
];

const OF_VIEWER: Keys = &[
    (Read, "{[0-9]*}:*"),
    (Read, "{fleet}:tools:*"),
    (Read, "{fleet}:queues"),
    (Read, "{fleet}:homes"),
    (Read, "{fleet}:workers"),
    (Read, "{fleet}:worker:*"),
    (Read, "{fleet}:definitions"),
    (Read, "contract"),
];

const OF_OPERATOR: Keys = &[
    (ReadWrite, "{[0-9]*}:task:*"),
    (ReadWrite, "{[0-9]*}:queue:*"),
    (Write, "{[0-9]*}:waiting:*"),
    (Write, "{[0-9]*}:running:*"),
    (Write, "{[0-9]*}:begun:*"),
    (ReadWrite, "{[0-9]*}:expired"),
    (ReadWrite, "{[0-9]*}:paused"),
    (ReadWrite, "{[0-9]*}:dead"),
    (Write, "{[0-9]*}:ready:*"),
    (Write, "{[0-9]*}:line:*"),
    (Write, "{[0-9]*}:lines:*"),
    (Write, "{[0-9]*}:backlog:*"),
    (Write, "{[0-9]*}:active:*"),
    (Write, "{[0-9]*}:owned:*"),
    (ReadWrite, "{fleet}:tools:*"),
    (ReadWrite, "{fleet}:queues"),
    (ReadWrite, "{fleet}:homes"),
    (ReadWrite, "{fleet}:secret"),
];

const BELLS: &[&str] = &["{[0-9]*}:bell:*", "{[0-9]*}:inbox:*"];
const TOOLS_BELL: &[&str] = &["{fleet}:tools:changed"];

impl Role {
    /// Each of them.
    pub const ALL: [Self; 5] = [
        Self::FrontEnd,
        Self::Worker,
        Self::ForeignWorker,
        Self::Viewer,
        Self::Operator,
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FrontEnd => "front-end",
            Self::Worker => "worker",
            Self::ForeignWorker => "foreign-worker",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }

    /// Whether it can be one of some queues alone.
    #[must_use]
    pub fn has_queues(self) -> bool {
        matches!(self, Self::Worker | Self::ForeignWorker)
    }

    /// What a user in this role needs with keys that begin with `prefix`. A worker is one of `queues` alone, of all if there
    /// are none.
    #[must_use]
    pub fn rights(self, prefix: &str, queues: &[QueueName]) -> Rights {
        let (commands, keys, channels) = self.tables(queues.is_empty());
        let queues: Vec<&str> = match queues {
            [] => vec!["*"],
            some => some.iter().map(QueueName::as_str).collect(),
        };
        let with_prefix = |name: &str| format!("{prefix}:{name}");
        let mut rights = Rights {
            commands: commands.iter().copied().flatten().copied().collect(),
            keys: Vec::new(),
            channels: channels
                .iter()
                .copied()
                .flatten()
                .map(|name| with_prefix(name))
                .collect(),
        };
        rights.commands.sort_unstable();
        rights.commands.dedup();
        for (access, pattern) in keys.iter().copied().flatten() {
            // Of an operator the one who looks has some keys, too, for less.
            rights
                .keys
                .retain(|(_, other)| *other != with_prefix(pattern));
            if pattern.contains(QUEUE) {
                let named = queues.iter().map(|queue| pattern.replace(QUEUE, queue));
                rights
                    .keys
                    .extend(named.map(|name| (*access, with_prefix(&name))));
            } else {
                rights.keys.push((*access, with_prefix(pattern)));
            }
        }
        rights
    }

    fn tables(self, of_all_queues: bool) -> (Vec<Words>, Vec<Keys>, Vec<Words>) {
        match self {
            Self::FrontEnd => (
                vec![SCRIPTS, LIBRARIES, CONNECTED, MOVES, FRONT_END],
                vec![OF_FRONT_END],
                vec![BELLS, TOOLS_BELL],
            ),
            Self::Worker => (
                vec![SCRIPTS, CALLS, CONNECTED, MOVES, RUNS, WORKER],
                if of_all_queues {
                    vec![OF_RUNNING, OF_WORKER, OF_WORKER_OF_ALL]
                } else {
                    vec![OF_RUNNING, OF_WORKER]
                },
                vec![BELLS, TOOLS_BELL],
            ),
            Self::ForeignWorker => (
                vec![SCRIPTS, CALLS, MOVES, RUNS],
                vec![OF_RUNNING],
                vec![BELLS],
            ),
            Self::Viewer => (vec![VIEWER, LOOKS], vec![OF_VIEWER], vec![]),
            Self::Operator => (
                vec![SCRIPTS, LIBRARIES, VIEWER, LOOKS, OPERATOR],
                vec![OF_VIEWER, OF_OPERATOR],
                vec![TOOLS_BELL],
            ),
        }
    }
}

impl Rights {
    /// The rules of such a user, as `ACL SETUSER` takes them after the user's name, without its password.
    #[must_use]
    pub fn rules(&self) -> Vec<String> {
        let mut rules = vec!["-@all".to_owned()];
        rules.extend(self.commands.iter().map(|command| allowing(command)));
        rules.push("resetkeys".to_owned());
        rules.extend(
            self.keys
                .iter()
                .map(|(access, pattern)| access.rule(pattern)),
        );
        rules.push("resetchannels".to_owned());
        rules.extend(self.channels.iter().map(|pattern| format!("&{pattern}")));
        rules
    }
}

/// The rule that allows a command.
pub(crate) fn allowing(command: &str) -> String {
    format!("+{}", command.to_ascii_lowercase().replace(' ', "|"))
}

impl KeyAccess {
    /// The rule that allows it with the keys of a pattern.
    pub(crate) fn rule(self, pattern: &str) -> String {
        match self {
            Self::Read => format!("%R~{pattern}"),
            Self::Write => format!("%W~{pattern}"),
            Self::ReadWrite => format!("~{pattern}"),
        }
    }

    /// Whether it includes reading, and whether writing.
    pub(crate) fn parts(self) -> (bool, bool) {
        (self != Self::Write, self != Self::Read)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let mut all = Self::ALL.into_iter();
        all.find(|role| role.as_str() == text).ok_or(UnknownRole)
    }
}
