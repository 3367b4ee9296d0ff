//! Ids of tasks, sessions, attempts and entries, each of its own type so that no two can be swapped.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::model::names::{FrontEndId, InvalidId};
use crate::model::shard::Shard;

/// How logs name what an id stands for. Whoever has the id of a task or a session may use it, and logs are read by others.
/// The first 16 hexadecimal digits of its SHA-256: an id has 122 random bits, so nobody finds it by its digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HandleDigest([u8; 8]);

impl HandleDigest {
    /// The digest of an id, as it is spelled.
    #[must_use]
    pub fn of(id: &str) -> Self {
        let mut kept = [0; 8];
        for (to, from) in kept.iter_mut().zip(Sha256::digest(id)) {
            *to = from;
        }
        Self(kept)
    }
}

impl fmt::Display for HandleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for HandleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "digest:{self}")
    }
}

/// `<shard>-<uuid v4>`: the id that clients get. Any front end derives every key from it; 122 random bits make it
/// unguessable.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
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

    /// How logs name it.
    #[must_use]
    pub fn digest(self) -> HandleDigest {
        HandleDigest::of(&self.to_string())
    }
}

/// As logs name it: what is shown for debugging gets into logs.
impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.digest())
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

/// The id a client echoes in `Mcp-Session-Id`: a UUID of version 4.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(Uuid);

impl SessionId {
    /// A fresh id.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// How logs name it.
    #[must_use]
    pub fn digest(self) -> HandleDigest {
        HandleDigest::of(&self.to_string())
    }
}

/// As logs name it: what is shown for debugging gets into logs.
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.digest())
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for SessionId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match Uuid::try_parse(text) {
            Ok(uuid) if uuid.hyphenated().to_string() == text => Ok(Self(uuid)),
            _ => Err(InvalidId::new(
                "session id",
                text,
                "it is the one the server gave",
            )),
        }
    }
}

/// A connection of a front end over which messages go out to a client: `<front end>:<8 hex digits>`, unique among all front ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SenderId {
    front_end: FrontEndId,
    number: u32,
}

impl SenderId {
    /// A fresh id of a connection of this front end.
    #[must_use]
    pub fn random(front_end: &FrontEndId) -> Self {
        Self {
            front_end: front_end.clone(),
            number: rand::random(),
        }
    }

    /// The front end whose connection it is.
    #[must_use]
    pub fn front_end(&self) -> &FrontEndId {
        &self.front_end
    }
}

impl fmt::Display for SenderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:08x}", self.front_end, self.number)
    }
}

impl FromStr for SenderId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let read = || {
            let (front_end, number) = text.split_once(':')?;
            Some(Self {
                front_end: front_end.parse().ok()?,
                number: u32::from_str_radix(number, 16).ok()?,
            })
        };
        read().ok_or_else(|| {
            InvalidId::new(
                "sender id",
                text,
                "it is <front end>:<8 hex digits>, as a front end wrote it",
            )
        })
    }
}

/// The number of an attempt, from 1; the fencing token of everything a worker writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptNumber(pub u64);

impl fmt::Display for AttemptNumber {
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
    fn a_sender_id_reads_back() {
        let front_end: FrontEndId = "r1".parse().unwrap();
        let id = SenderId::random(&front_end);
        assert_eq!(
            (id.to_string().parse().as_ref(), id.front_end()),
            (Ok(&id), &front_end)
        );
        for wrong in ["", "r1", "r1:", ":00c0ffee", "r 1:00c0ffee", "r1:x"] {
            assert!(wrong.parse::<SenderId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_logs_show_of_an_id_is_a_digest() {
        let text = "0-b9a307cd-d58b-4bd4-b771-f37e0dcf07ae";
        let id: TaskId = text.parse().unwrap();
        // As `printf %s ID | sha256sum | cut -c -16` prints it.
        assert_eq!(id.digest().to_string(), "86e74083c07d0b83");
        assert_eq!(format!("{id:?}"), "digest:86e74083c07d0b83");
        let session = SessionId::random();
        let (shown, digest) = (format!("{session:?}"), session.digest().to_string());
        assert!(shown.contains(&digest) && !shown.contains(&session.to_string()));
    }

    #[test]
    fn a_task_id_has_one_spelling() {
        let id = TaskId::random(Shard::numbered(3).unwrap());
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
}
