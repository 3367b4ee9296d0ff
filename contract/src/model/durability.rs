//! How much of Redis may be lost before a task is lost whose id a client has.

use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;
use std::time::Duration;

/// What an operator asks of Redis for accepted tasks, the least first. Each level but the last names what Redis keeps on
/// disk; the last one asks for that of `everysec`, and for copies elsewhere beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Nothing: a restart of Redis may forget every task.
    Memory,
    /// An append-only file that is synced once a second: a crash of the machine loses up to the last second.
    Everysec,
    /// An append-only file that is synced before Redis answers: a crash loses no accepted task.
    Always,
    /// So many Redis replicas have a task, in memory at least, before its id is answered: losing the primary for good loses
    /// no accepted task as long as one of them takes over.
    Replicated {
        /// How many Redis replicas.
        replicas: NonZeroU8,
    },
}

impl Durability {
    /// How many Redis replicas must have a task before its id is answered; none but for [`Self::Replicated`].
    #[must_use]
    pub fn replicas(self) -> u8 {
        match self {
            Self::Memory | Self::Everysec | Self::Always => 0,
            Self::Replicated { replicas } => replicas.get(),
        }
    }
}

/// Redis replicas that must have a change before whoever asked for it gets an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replication {
    /// How many; at least one.
    pub replicas: u8,
    /// How long they may take, in whole ms, at least one; after it the change counts as not replicated.
    pub timeout: Duration,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Everysec => f.write_str("everysec"),
            Self::Always => f.write_str("always"),
            Self::Replicated { replicas } => write!(f, "replicated:{replicas}"),
        }
    }
}

/// The text is not a durability level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be memory, everysec, always, replicated, or replicated:N for N replicas (1 to 255)")]
pub struct UnknownDurability;

impl FromStr for Durability {
    type Err = UnknownDurability;

    /// Reads what [`fmt::Display`] writes; `replicated` alone is `replicated:1`.
    fn from_str(text: &str) -> Result<Self, UnknownDurability> {
        match text {
            "memory" => Ok(Self::Memory),
            "everysec" => Ok(Self::Everysec),
            "always" => Ok(Self::Always),
            "replicated" => Ok(Self::Replicated {
                replicas: NonZeroU8::MIN,
            }),
            _ => text
                .strip_prefix("replicated:")
                .and_then(|replicas| replicas.parse().ok())
                .map(|replicas| Self::Replicated { replicas })
                .ok_or(UnknownDurability),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_reads_back_as_it_is_written() {
        for text in ["memory", "everysec", "always", "replicated:2"] {
            assert_eq!(text.parse::<Durability>().unwrap().to_string(), text);
        }
        let one: Durability = "replicated".parse().unwrap();
        assert_eq!(
            (one.replicas(), one.to_string().as_str()),
            (1, "replicated:1")
        );
        for wrong in [
            "",
            "Always",
            "replicated:0",
            "replicated:256",
            "replicated:",
        ] {
            assert_eq!(
                wrong.parse::<Durability>(),
                Err(UnknownDurability),
                "{wrong}"
            );
        }
    }
}
