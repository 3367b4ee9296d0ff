//! Log lines of a job, for the client that wants them.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::ids::TaskId;
use crate::script::TRANSITIONS;
use crate::session::SessionId;
use crate::store::Store;
use crate::store::attempt::{Hold, Refused, refused};

/// How grave a line is, the least first (RFC 5424, as MCP uses it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// For whoever looks for a fault.
    Debug,
    /// For whoever follows what goes on.
    Info,
    /// Normal but of note.
    Notice,
    /// Something may be wrong.
    Warning,
    /// Something is wrong.
    Error,
    /// A part has failed.
    Critical,
    /// Someone must act at once.
    Alert,
    /// Nothing works.
    Emergency,
}

impl LogLevel {
    /// Every level, the least grave first.
    pub const ALL: [Self; 8] = [
        Self::Debug,
        Self::Info,
        Self::Notice,
        Self::Warning,
        Self::Error,
        Self::Critical,
        Self::Alert,
        Self::Emergency,
    ];

    /// The level's name in MCP.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Alert => "alert",
            Self::Emergency => "emergency",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a log level is one of debug, info, notice, warning, error, critical, alert and emergency")]
pub struct UnknownLevel;

impl FromStr for LogLevel {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        Self::ALL
            .into_iter()
            .find(|level| level.as_str() == text)
            .ok_or(UnknownLevel)
    }
}

/// A line that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Where it stands; the next read goes on after it.
    pub place: String,
    /// How grave it is.
    pub level: LogLevel,
    /// What it says.
    pub text: String,
}

impl Store {
    /// Keeps lines of an attempt.
    ///
    /// # Errors
    ///
    /// If Redis fails; then some may have been kept, and the same call again would keep them twice.
    pub async fn report_log(
        &self,
        hold: &Hold,
        lines: &[(LogLevel, String)],
    ) -> Result<Result<(), Refused>, Error> {
        if lines.is_empty() {
            return Ok(Ok(()));
        }
        let id = hold.claimed.id;
        let (record, log) = (self.keys.task(id), self.keys.log(id));
        let (base, text) = (self.keys.base(id.shard()), id.to_string());
        let attempt = hold.attempt.to_string();
        let mut args = vec![base.as_str(), &text, &attempt];
        for (level, line) in lines {
            args.extend([level.as_str(), line]);
        }
        let reply = self
            .call(&TRANSITIONS.report_log, &[&record, &log], &args)
            .await?;
        match reply.tag.as_str() {
            "OK" => Ok(Ok(())),
            _ => refused(&reply).map(Err),
        }
    }

    /// Up to `limit` lines of a job after the place `after`, from the first without one.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn log_lines(
        &self,
        id: TaskId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<LogLine>, Error> {
        let start = after.map_or_else(|| "-".to_owned(), |place| format!("({place}"));
        let mut read = redis::cmd("XRANGE");
        read.arg(self.keys.log(id))
            .arg(start)
            .arg("+")
            .arg("COUNT")
            .arg(limit);
        let entries: Vec<(String, Vec<String>)> =
            self.connections.command("log_lines", &read).await?;
        let line = |(place, fields): (String, Vec<String>)| match fields.as_slice() {
            [_, level, _, text] => Some(LogLine {
                place,
                level: level.parse().ok()?,
                text: text.clone(),
            }),
            _ => None,
        };
        Ok(entries.into_iter().filter_map(line).collect())
    }

    /// Sets what a session hears of its jobs' logs; says whether there is such a session.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn set_session_level(&self, id: SessionId, level: LogLevel) -> Result<bool, Error> {
        let key = self.keys.session(id);
        let reply = self
            .call(&TRANSITIONS.set_session_level, &[&key], &[level.as_str()])
            .await?;
        match reply.tag.as_str() {
            "OK" => Ok(true),
            "GONE" => Ok(false),
            _ => Err(reply.unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ordered_by_gravity_and_read_back() {
        assert!(LogLevel::Debug < LogLevel::Info && LogLevel::Alert < LogLevel::Emergency);
        assert_eq!("notice".parse(), Ok(LogLevel::Notice));
        assert_eq!("loud".parse::<LogLevel>(), Err(UnknownLevel));
    }
}
