//! Tasks of a client: how it answers a question for which it needs a while.

use serde::Deserialize;
use std::time::Duration;

use crate::model::ids::SessionId;

/// How a client's task stands. One that was cancelled is never kept: its question has its answer then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientTaskStatus {
    /// It goes on; the client moves it.
    Working,
    /// It wants something before it goes on, and to be asked for its result meanwhile.
    InputRequired,
    /// Its result waits to be fetched.
    Completed,
    /// Its error waits to be fetched.
    Failed,
}

impl ClientTaskStatus {
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
pub struct ClientTask {
    /// The client's id for it.
    pub task: String,
    /// The session whose client has it.
    pub session: SessionId,
    /// Its status, as the client last reported it.
    pub status: ClientTaskStatus,
    /// What the client says about it, for people.
    pub message: Option<String>,
}

/// What a client reports of a task of its own.
#[derive(Debug, Clone, Copy)]
pub struct ClientTaskReport<'a> {
    /// The session whose client reports.
    pub session: SessionId,
    /// Whether it reports because it made the task, or because it was polled.
    pub by: ReportOccasion<'a>,
    /// How the task stands.
    pub status: ClientTaskStatus,
    /// What the client says about it, for people; empty if it says nothing.
    pub message: &'a str,
    /// How long to wait before the next poll, at least 1 ms. `None` to keep the interval.
    pub poll: Option<Duration>,
}

/// Why a client reports how its task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportOccasion<'a> {
    /// It made the task, with this id.
    Making(&'a str),
    /// It was polled, by the message of this number.
    Poll(u64),
}

/// A client's task that nothing waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrphanedTask {
    /// The key of the question that it was to answer.
    pub key: String,
    /// The client's id for the task.
    pub task: String,
}

#[derive(Deserialize)]
struct Stored {
    task: String,
    session: String,
    status: ClientTaskStatus,
    message: Option<String>,
}

impl ClientTask {
    /// Reads the field of a record. `None` if it cannot be read, since another version wrote it.
    pub(crate) fn read(stored: &str) -> Option<Self> {
        let stored: Stored = serde_json::from_str(stored).ok()?;
        Some(Self {
            task: stored.task,
            session: stored.session.parse().ok()?,
            status: stored.status,
            message: stored.message,
        })
    }
}
