//! Where a job stands.

use std::fmt;
use std::str::FromStr;

/// The status of a record. MCP shows `Queued` as `working`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Waits on its stream, or in `due` for a retry. A worker's `claim` moves it on; `forward` moves it from `due` to
    /// its stream; `cancel` ends it. Nothing holds it, so no crash can strand it.
    Queued,
    /// An attempt runs. Its worker moves it on with `finish`, `schedule_retry`, `release` or `ask_input`; if the worker
    /// dies, the job is queued again after the lease, for the next attempt.
    Working,
    /// Questions to the client are open. The last `answer_input` moves it to `Working`, or to `Queued` if it was
    /// parked; a crash of the worker that waits is as in `Working`.
    InputRequired,
    /// Ended with a result; `is_error` in the record says whether the tool calls it an error. Only expiry follows.
    Completed,
    /// Ended with a JSON-RPC error: the handler's own, or Taskferry's, as at the crash limit. Only expiry follows.
    Failed,
    /// Ended by the caller. Only expiry follows.
    Cancelled,
}

impl Status {
    /// The word stored in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Working => "working",
            Self::InputRequired => "input_required",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing but expiry can follow.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a job status")]
pub struct UnknownStatus;

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        [
            Self::Queued,
            Self::Working,
            Self::InputRequired,
            Self::Completed,
            Self::Failed,
            Self::Cancelled,
        ]
        .into_iter()
        .find(|status| status.as_str() == text)
        .ok_or(UnknownStatus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes() {
        for status in [Status::Queued, Status::InputRequired, Status::Cancelled] {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert_eq!("retired".parse::<Status>(), Err(UnknownStatus));
    }
}
