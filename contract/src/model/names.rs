//! Names of callers, tools, queues and processes, each of its own type so that no two can be swapped.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
    fn unmatched() -> Self {
        Self("{}".to_owned())
    }

    /// The owner whose name a record holds, empty for the anonymous one. `None` if the name breaks today's rule, as one
    /// that another version wrote may.
    pub(crate) fn stored(name: &str) -> Option<Self> {
        match name {
            "" => Some(Self::anonymous()),
            name => Self::named(name).ok(),
        }
    }

    /// The same; for a name that breaks the rule, an owner that no caller can be: so nobody sees the task.
    pub(crate) fn stored_or_nobody(name: &str) -> Self {
        Self::stored(name).unwrap_or_else(Self::unmatched)
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
    FrontEndId,
    "front-end id",
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

impl FrontEndId {
    /// A fresh id.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("{:08x}", rand::random::<u32>()))
    }
}

impl<'de> Deserialize<'de> for ToolName {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl Serialize for ToolName {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for QueueName {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl Serialize for QueueName {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
