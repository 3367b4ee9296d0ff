//! What operators pause, and why.

use std::fmt;

use crate::model::names::{QueueName, ToolName};

/// What can be paused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pausable {
    /// All jobs of a queue.
    Queue(QueueName),
    /// All jobs of a tool, on whatever queue.
    Tool(ToolName),
}

impl Pausable {
    /// The field that says so.
    pub(crate) fn field(&self) -> String {
        match self {
            Self::Queue(queue) => format!("queue:{queue}"),
            Self::Tool(tool) => format!("tool:{tool}"),
        }
    }

    /// Reads the field. `None` if it names nothing that can be paused.
    fn read(field: &str) -> Option<Self> {
        match field.split_once(':')? {
            ("queue", name) => name.parse().ok().map(Self::Queue),
            ("tool", name) => name.parse().ok().map(Self::Tool),
            _ => None,
        }
    }

    /// `queue` or `tool`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Queue(_) => "queue",
            Self::Tool(_) => "tool",
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Queue(queue) => queue.as_str(),
            Self::Tool(tool) => tool.as_str(),
        }
    }
}

impl fmt::Display for Pausable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.name())
    }
}

/// A pause: no job of it begins an attempt until it is resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// What is paused.
    pub what: Pausable,
    /// Since when, ms since the epoch.
    pub since_ms: u64,
    /// Who paused it.
    pub by: String,
    /// Why; empty if nobody said.
    pub reason: String,
}

impl Pause {
    /// Reads what is stored of a pause: since when, who and why, with spaces between. What cannot be read is left out: whatever
    /// stands there, it is paused.
    pub(crate) fn read(what: Pausable, stored: &str) -> Self {
        let mut parts = stored.splitn(3, ' ');
        let since_ms = parts.next().and_then(|since| since.parse().ok());
        let mut text = || parts.next().unwrap_or_default().to_owned();
        Self {
            what,
            since_ms: since_ms.unwrap_or(0),
            by: text(),
            reason: text(),
        }
    }
}

/// What became of the wish to pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Paused {
    /// It is paused from now on.
    Now(Pause),
    /// It was paused before, which this said. A new reason is stored.
    Before(Pause),
}

/// All that is paused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pauses(pub Vec<Pause>);

impl Pauses {
    /// Reads the hash; what names nothing that can be paused is passed over.
    pub(crate) fn read(fields: Vec<(String, String)>) -> Self {
        let paused = fields.into_iter();
        let paused = paused
            .filter_map(|(field, stored)| Some(Pause::read(Pausable::read(&field)?, &stored)));
        let mut all: Vec<Pause> = paused.collect();
        all.sort_by(|a, b| a.what.cmp(&b.what));
        Self(all)
    }

    /// Adds what is not among them.
    pub(crate) fn add(&mut self, others: Self) {
        for other in others.0 {
            if self.of(&other.what).is_none() {
                self.0.push(other);
            }
        }
    }

    /// Whether this is paused.
    #[must_use]
    pub fn of(&self, what: &Pausable) -> Option<&Pause> {
        self.0.iter().find(|pause| pause.what == *what)
    }

    /// What holds up the jobs of a tool on a queue: a pause of the tool before one of the queue.
    #[must_use]
    pub fn holding_up(&self, queue: &str, tool: &str) -> Option<&Pause> {
        let is =
            |pause: &&Pause, kind, name| pause.what.kind() == kind && pause.what.name() == name;
        let of = |kind, name| self.0.iter().find(|pause| is(pause, kind, name));
        of("tool", tool).or_else(|| of("queue", queue))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Pauses {
        let stored = [
            ("tool:report", "7 alice month-end close"),
            ("queue:slow", "9 - "),
            ("queue:odd", "yesterday"),
            ("queue:a b", "7 alice x"),
            ("worker:w", "7 alice x"),
        ];
        Pauses::read(stored.map(|(a, b)| (a.to_owned(), b.to_owned())).into())
    }

    #[test]
    fn reads_what_the_transition_writes_and_whatever_else_stands_there() {
        let read: Vec<_> = all()
            .0
            .into_iter()
            .map(|it| (it.what.to_string(), it.since_ms, it.by, it.reason))
            .collect();
        let expected = [
            ("queue odd", 0, "", ""),
            ("queue slow", 9, "-", ""),
            ("tool report", 7, "alice", "month-end close"),
        ];
        let expected = expected
            .map(|(what, since, by, why)| (what.to_owned(), since, by.to_owned(), why.to_owned()));
        assert_eq!(read, expected);
    }

    #[test]
    fn a_tools_own_pause_is_named_before_that_of_its_queue() {
        let all = all();
        let of = |queue, tool| {
            let pause = all.holding_up(queue, tool)?;
            Some(pause.what.to_string())
        };
        assert_eq!(of("slow", "report").as_deref(), Some("tool report"));
        assert_eq!(of("slow", "other").as_deref(), Some("queue slow"));
        assert_eq!(of("report", "slow"), None);
    }
}
