//! Sessions of the legacy protocol: what `initialize` settled, what is known of their requests, and up to where progress
//! and log of their tasks were delivered.

use crate::model::ids::{SenderId, TaskId};
use crate::model::log::LogLevel;
use crate::model::names::Owner;

/// What `initialize` settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The protocol revision both sides speak.
    pub revision: String,
    /// Who opened it; nobody else may use it.
    pub owner: Owner,
    /// The client's capabilities, a JSON object.
    pub capabilities: String,
    /// The client's name and version, for operators.
    pub client: String,
    /// From which level on it gets its jobs' log lines. `None` until it says so: then it gets none.
    pub log_level: Option<LogLevel>,
}

/// What is known of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestNote {
    /// The job behind it, once the call has one; also after the job has ended.
    pub job: Option<TaskId>,
    /// Whether it was cancelled since it began.
    pub cancelled: bool,
}

/// What became of a connection's wish to be the session's own stream. Several that were opened by GET may be open; one at a
/// time is the session's own, and only that one sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamHold {
    /// The connection is the session's own stream.
    Held {
        /// The id of another connection that was the stream until now.
        before: Option<SenderId>,
    },
    /// Another connection is the session's own stream.
    Taken,
}

/// From when to when a record lives, ms since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// When the record was made.
    pub from_ms: i64,
    /// When the record expires.
    pub until_ms: i64,
}

/// Up to where the progress and the log of a task were delivered to the client of a session, over whichever of its streams.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryCursor {
    /// The progress that was delivered last.
    pub progress: Option<String>,
    /// The place of the log line that was delivered last.
    pub line: Option<String>,
}

/// Stands for a part of which nothing was delivered yet.
const NOTHING: &str = "-";

impl DeliveryCursor {
    /// The stored form: when the task expires (ms), progress, place of the log line; `-` for none.
    pub(crate) fn write(&self, until_ms: i64) -> String {
        let [progress, line] =
            [&self.progress, &self.line].map(|told| told.as_deref().unwrap_or(NOTHING));
        format!("{until_ms} {progress} {line}")
    }

    /// What cannot be read was written by another version, and is as good as not there.
    pub(crate) fn read(text: &str) -> Option<(i64, Self)> {
        let mut parts = text.split(' ');
        let until_ms = parts.next()?.parse().ok()?;
        let mut next_part = || {
            let part = parts.next()?;
            Some((part != NOTHING).then(|| part.to_owned()))
        };
        let (progress, line) = (next_part()?, next_part()?);
        Some((until_ms, Self { progress, line }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back() {
        for (progress, line) in [(None, None), (Some("0.5"), None), (Some("3"), Some("17-0"))] {
            let [progress, line] = [progress, line].map(|told: Option<&str>| told.map(Into::into));
            let told = DeliveryCursor { progress, line };
            assert_eq!(DeliveryCursor::read(&told.write(7)), Some((7, told)));
        }
        for wrong in ["", "nonsense", "7 1", "x 1 2"] {
            assert_eq!(DeliveryCursor::read(wrong), None, "{wrong}");
        }
    }
}
