//! Tasks of a client's own: how it answers a question that takes it a while.

use serde::Deserialize;

use crate::ids::TaskId;
use crate::session::SessionId;

/// How a client's task stands. One that was cancelled is never kept: its question has its answer then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemoteStatus {
    /// It goes on; the client moves it.
    Working,
    /// It wants something before it goes on, and to be asked for its result meanwhile.
    InputRequired,
    /// Its result waits to be fetched.
    Completed,
    /// Its error waits to be fetched.
    Failed,
}

impl RemoteStatus {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::InputRequired => "input_required",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// A task by which a client answers a question, as the record notes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// The client's id for it.
    pub task: String,
    /// The session whose client has it.
    pub session: SessionId,
    /// What the client last said of it.
    pub status: RemoteStatus,
    /// In words.
    pub message: Option<String>,
}

#[derive(Deserialize)]
struct Stored {
    task: String,
    session: String,
    status: RemoteStatus,
    message: Option<String>,
}

impl Remote {
    /// Reads the field of a record. What cannot be read was written by another version, and is as good as not there.
    pub(crate) fn read(id: TaskId, stored: Option<&String>) -> Option<Self> {
        let read = |stored: &str| {
            let stored: Stored = serde_json::from_str(stored).ok()?;
            Some(Self {
                task: stored.task,
                session: stored.session.parse().ok()?,
                status: stored.status,
                message: stored.message,
            })
        };
        let stored = stored?;
        let remote = read(stored);
        if remote.is_none() {
            tracing::warn!(task = %id, %stored, "a client's task cannot be read");
        }
        remote
    }
}
