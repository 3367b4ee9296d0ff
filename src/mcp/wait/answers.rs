//! How a request that waits for a job is answered.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use taskferry_contract::TaskView;
use tokio::time::Instant;

use crate::mcp::protocol::answer::Answer;

/// Makes the answer of an ended job. `None` while it has not ended.
pub(in crate::mcp) type Finish = fn(&RawValue, &TaskView) -> Option<Answer>;

/// Makes the answer of a tool's result.
pub(in crate::mcp) type Write = fn(&RawValue, Value) -> Answer;

/// How an era writes the results of calls.
#[derive(Debug)]
pub(in crate::mcp) struct ResultFormat {
    /// The answer to a plain call whose job ended.
    pub(in crate::mcp) result: Finish,
    /// The status of a job that ended, as the result of a tool.
    pub(in crate::mcp) status: Finish,
    /// The result of a tool.
    pub(in crate::mcp) write: Write,
}

/// What a request waits for, which says how it is answered when the record of the job is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::mcp) enum Waiting {
    /// The result of a plain call: its time ran out, or Redis lost it.
    Call,
    /// The result of a task, which is not found.
    #[serde(rename = "result")]
    Task,
    /// How a task stands, for a model, which reads a tool's result better than an error.
    #[serde(skip)]
    Status,
}

/// The answer that a request waits for.
#[derive(Debug, Clone, Copy)]
pub(in crate::mcp) struct Awaited {
    pub(in crate::mcp) waiting: Waiting,
    /// The answer, once the job ended.
    pub(in crate::mcp) finish: Finish,
    /// Another answer, if the job does not end in time, or is gone.
    pub(in crate::mcp) write: Write,
}

impl ResultFormat {
    /// The result of a plain call.
    pub(in crate::mcp) fn of_call(&self) -> Awaited {
        Awaited {
            waiting: Waiting::Call,
            finish: self.result,
            write: self.write,
        }
    }

    /// How a task stands.
    pub(in crate::mcp) fn of_status(&self) -> Awaited {
        Awaited {
            waiting: Waiting::Status,
            finish: self.status,
            write: self.write,
        }
    }

    /// The result of a task, which `finish` writes.
    pub(in crate::mcp) fn of_task(&self, finish: Finish) -> Awaited {
        Awaited {
            waiting: Waiting::Task,
            finish,
            write: self.write,
        }
    }
}

/// What becomes of the job when the client goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mcp) enum OnDisconnect {
    /// It goes on.
    Leave,
    /// It is cancelled: the connection was the request (2026-07-28, Streamable HTTP, Cancellation).
    Cancel,
}

/// What becomes of a job that has not ended in time.
#[derive(Debug, Clone, Copy)]
pub(in crate::mcp) enum OnDeadline {
    /// It is a task from now on, which stays for `keep` after its end at least.
    Promote { keep: Duration },
    /// It goes on as it was.
    Leave,
}

/// Until when a request waits.
#[derive(Debug, Clone, Copy)]
pub(in crate::mcp) struct Deadline {
    pub(in crate::mcp) at: Instant,
    pub(in crate::mcp) then: OnDeadline,
    /// The tool result that the caller gets then.
    pub(in crate::mcp) tell: fn(&TaskView) -> Value,
}

/// How a plain call is answered by a task.
#[derive(Debug, Clone, Copy)]
pub(in crate::mcp) struct AsTask {
    /// How long the task stays after its end at least.
    pub(in crate::mcp) keep: Duration,
    /// Makes the answer.
    pub(in crate::mcp) write: fn(&RawValue, &TaskView) -> Answer,
}
