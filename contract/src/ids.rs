//! Names of things, each of its own type so that no two can be swapped.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// A name that breaks its rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is not valid: {rule}")]
pub struct InvalidId {
    what: &'static str,
    text: String,
    rule: &'static str,
}

impl InvalidId {
    pub(crate) fn new(what: &'static str, text: &str, rule: &'static str) -> Self {
        Self {
            what,
            text: text.chars().take(80).collect(),
            rule,
        }
    }
}

/// One slice of the key space: all keys a transition touches carry the same shard as their hash tag.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(u16);

impl Shard {
    /// The shard of this number, if there can be one.
    pub(crate) fn numbered(number: u16) -> Option<Self> {
        (number < Shards::MAX).then_some(Self(number))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many shards there are: 1 to 1024. The same number for every process on one Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shards(u16);

impl Shards {
    /// The most shards that can be configured.
    pub const MAX: u16 = 1024;

    /// `count` shards, or nothing if that is 0 or more than [`Self::MAX`].
    #[must_use]
    pub fn new(count: u16) -> Option<Self> {
        (1..=Self::MAX).contains(&count).then_some(Self(count))
    }

    /// How many.
    #[must_use]
    pub fn count(self) -> u16 {
        self.0
    }

    /// Every shard.
    pub fn all(self) -> impl Iterator<Item = Shard> {
        (0..self.0).map(Shard)
    }

    /// The shard of an owner's tasks: fixed by the name, so that the owner's caps and lists are whole; at random when
    /// callers cannot be told apart.
    #[must_use]
    pub fn of(self, owner: &Owner) -> Shard {
        if self.0 == 1 {
            return Shard(0);
        }
        match owner.as_str() {
            "" => Shard(rand::random_range(0..self.0)),
            name => self.of_text(name),
        }
    }

    /// The shard that a text chooses.
    pub(crate) fn of_text(self, text: &str) -> Shard {
        Shard(crc16(text.as_bytes()) % self.0)
    }
}

impl Default for Shards {
    fn default() -> Self {
        Self(1)
    }
}

/// CRC-16/XMODEM, the checksum Redis Cluster uses for its slots.
pub(crate) fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            }
        })
    })
}

/// `<shard>-<uuid v4>`: what clients hold. Any replica derives every key from it; 122 random bits make it unguessable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaskId {
    shard: Shard,
    uuid: Uuid,
}

impl TaskId {
    /// A fresh id on `shard`.
    #[must_use]
    pub fn random(shard: Shard) -> Self {
        Self {
            shard,
            uuid: Uuid::new_v4(),
        }
    }

    /// Where the task's keys live.
    #[must_use]
    pub fn shard(self) -> Shard {
        self.shard
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.shard, self.uuid.hyphenated())
    }
}

impl FromStr for TaskId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let read = || {
            let (shard, uuid) = text.split_once('-')?;
            let id = Self {
                shard: Shard::numbered(shard.parse().ok()?)?,
                uuid: Uuid::try_parse(uuid).ok()?,
            };
            // One spelling per task: other forms of the same UUID are other keys.
            (id.to_string() == text).then_some(id)
        };
        read().ok_or_else(|| {
            InvalidId::new(
                "task id",
                text,
                "it is <shard>-<uuid>, as the server gave it",
            )
        })
    }
}

/// Who a task belongs to. Empty when callers cannot be told apart: then whoever knows an id may use it, and there are
/// no lists and no per-caller limits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Owner(String);

impl Owner {
    /// The owner of tasks whose callers cannot be told apart.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// A caller who was told apart by `name`: 1 to 200 bytes, printable ASCII without space, comma, asterisk or braces.
    ///
    /// # Errors
    ///
    /// If the name breaks that rule; such names would be unreadable, or wrong, as part of a key.
    pub fn named(name: &str) -> Result<Self, InvalidId> {
        let fits = (1..=200).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_graphic() && !b"{},*".contains(&b));
        if fits {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidId::new(
                "owner",
                name,
                "1 to 200 printable ASCII characters without space, comma, asterisk or braces",
            ))
        }
    }

    /// An owner that no caller can be, and that names no operator either.
    pub(crate) fn unmatched() -> Self {
        Self("{}".to_owned())
    }

    /// The name; empty for anonymous callers.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether callers cannot be told apart.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $max:literal, $extra:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let fits = (1..=$max).contains(&text.len())
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || $extra.contains(&b));
                if fits {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId::new(
                        $what,
                        text,
                        concat!(
                            "1 to ", stringify!($max),
                            " ASCII letters, digits, underscores, hyphens and dots"
                        ),
                    ))
                }
            }
        }
    };
}

name!(
    /// A tool's name as clients call it: 1 to 128 letters, digits, `_`, `-`, `.` (2026-07-28, server/tools, Tool Names).
    ToolName,
    "tool name",
    128,
    b"_-."
);
name!(
    /// A queue's name: 1 to 64 letters, digits, `_`, `-`, `.`. One stream per queue and shard.
    QueueName,
    "queue name",
    64,
    b"_-."
);
name!(
    /// A worker process: the consumer name in the streams' groups, unique per process start.
    WorkerId,
    "worker id",
    128,
    b"_-."
);
name!(
    /// A front-end process: names its doorbell channel, unique per process start.
    ReplicaId,
    "replica id",
    64,
    b"_-."
);

impl QueueName {
    /// The queue of tools that name none.
    #[must_use]
    pub fn default_queue() -> Self {
        Self("default".to_owned())
    }
}

impl WorkerId {
    /// A fresh id that an operator can place: the host's name and random digits.
    #[must_use]
    pub fn random(host: &str) -> Self {
        let host: String = host
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
            .take(40)
            .collect();
        let host = if host.is_empty() { "worker" } else { &host };
        Self(format!("{host}-{:08x}", rand::random::<u32>()))
    }
}

impl ReplicaId {
    /// A fresh id.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("{:08x}", rand::random::<u32>()))
    }
}

/// The number of an attempt, from 1; the fencing token of everything a worker writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u64);

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A stream entry's id, as Redis made it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EntryId(pub(crate) String);

impl EntryId {
    /// The id as Redis prints it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for EntryId {
    fn from(id: String) -> Self {
        Self(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_id_has_one_spelling() {
        let id = TaskId::random(Shard(3));
        assert_eq!(id.to_string().parse(), Ok(id));
        let upper = id.to_string().to_uppercase();
        assert!(upper == id.to_string() || upper.parse::<TaskId>().is_err());
        for wrong in [
            "",
            "3",
            "x-1",
            "99999-00000000-0000-4000-8000-000000000000",
            "03-00000000-0000-4000-8000-000000000000",
        ] {
            assert!(wrong.parse::<TaskId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_owner_always_lands_on_the_same_shard() {
        let shards = Shards::new(16).unwrap();
        let owner = Owner::named("key:alice").unwrap();
        assert_eq!(shards.of(&owner), shards.of(&owner));
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn names_that_would_break_a_key_are_refused() {
        assert!(Owner::named("a{b}").is_err());
        assert!(Owner::named("*").is_err());
        assert!(Owner::named("").is_err());
        assert!("a b".parse::<ToolName>().is_err());
        assert!("".parse::<QueueName>().is_err());
        assert!("Data_Export.v2-x".parse::<ToolName>().is_ok());
    }
}
