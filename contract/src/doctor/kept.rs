//! How much an append-only file keeps, and how much a durability level asks it to keep.

use crate::connection::Info;
use crate::doctor::config::Config;
use crate::model::durability::Durability;

/// How much an append-only file keeps, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kept {
    Nothing,
    /// Synced when the operating system decides.
    Sometime,
    EverySecond,
    Always,
}

/// What the server reports of its append-only file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// How much it keeps.
    Kept(Kept),
    /// There is one, and this user may not see how often it is synced.
    PolicyHidden,
    /// The server does not report whether there is one.
    Nothing,
}

impl Kept {
    /// What a level asks for.
    pub(super) fn needed_for(level: Durability) -> Self {
        match level {
            Durability::Memory => Self::Nothing,
            Durability::Everysec | Durability::Replicated { .. } => Self::EverySecond,
            Durability::Always => Self::Always,
        }
    }

    /// What a server keeps.
    pub(super) fn by(info: &Info, config: &Config) -> Seen {
        match (info.text("aof_enabled"), config.text("appendfsync")) {
            (Some("0"), _) => Seen::Kept(Self::Nothing),
            (Some("1"), Some("always")) => Seen::Kept(Self::Always),
            (Some("1"), Some("everysec")) => Seen::Kept(Self::EverySecond),
            (Some("1"), Some(_)) => Seen::Kept(Self::Sometime),
            (Some("1"), None) => Seen::PolicyHidden,
            _ => Seen::Nothing,
        }
    }

    /// The value of `appendfsync` that keeps this much.
    pub(super) fn appendfsync(self) -> &'static str {
        match self {
            Self::Always => "always",
            _ => "everysec",
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Nothing => {
                "appendonly is no: a restart of Redis forgets every task, or those since its last snapshot"
            }
            Self::Sometime => {
                "appendonly is yes with appendfsync no: a crash of the machine loses about half a minute"
            }
            Self::EverySecond => {
                "appendonly is yes with appendfsync everysec: a crash of the machine loses up to a second"
            }
            Self::Always => {
                "appendonly is yes with appendfsync always: a crash loses no accepted task"
            }
        }
    }

    /// What makes Redis keep this much.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Always => {
                "run: redis-cli CONFIG SET appendonly yes && redis-cli CONFIG SET appendfsync always"
            }
            _ => {
                "run: redis-cli CONFIG SET appendonly yes && redis-cli CONFIG SET appendfsync everysec"
            }
        }
    }
}
