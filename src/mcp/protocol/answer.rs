//! The answer to one request.

use serde_json::value::RawValue;
use taskferry_contract::{SessionId, TaskId};

use crate::mcp::jsonrpc::{self, RpcError, Text};
use crate::mcp::protocol::call_line::CallLine;

/// One JSON body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Text,
    /// What kind of error it is. `None` if it is none.
    pub(crate) refusal: Option<RefusalKind>,
    /// A legacy session that this answer opens.
    pub(crate) session: Option<SessionId>,
    /// When the caller may try again, s.
    pub(crate) retry_after: Option<u16>,
    /// All scopes that the request needs, if the caller lacks some of them.
    pub(crate) needs: Vec<String>,
    /// How many tasks and sessions that are not there the request names.
    pub(crate) not_there: u32,
    /// The task that the call became, for the log.
    pub(crate) task: Option<TaskId>,
    /// The code of the JSON-RPC error that it is, for the log.
    pub(crate) code: Option<i64>,
    /// Writes the log line of the request.
    pub(crate) line: CallLine,
}

/// What kind of error an answer is, for a transport that has a way of its own to say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusalKind {
    /// An error in answer to a well-formed request: its code says which.
    InExchange,
    /// The message cannot be read, or lacks a part that every message must have.
    Malformed,
    /// The revision has no such method.
    UnknownMethod,
    /// The session ended, or never was.
    NoSession,
    /// The message is larger than the server accepts.
    TooLarge,
    /// The caller lacks scopes.
    LacksScopes,
    /// The credential of the caller ended while it waited.
    CredentialEnded,
    /// The caller has as many jobs as it may have.
    TooMany,
    /// It cannot be served now, and may be later.
    Unavailable,
    /// What is stored cannot be read.
    Broken,
}

impl Answer {
    /// A result.
    pub(crate) fn ok(body: impl Into<Text>) -> Self {
        Self {
            body: body.into(),
            refusal: None,
            session: None,
            retry_after: None,
            needs: Vec::new(),
            not_there: 0,
            task: None,
            code: None,
            line: CallLine::default(),
        }
    }

    /// A JSON-RPC error.
    pub(crate) fn error(kind: RefusalKind, id: Option<&RawValue>, error: &RpcError) -> Self {
        Self {
            refusal: Some(kind),
            code: Some(error.code),
            ..Self::ok(jsonrpc::failure(id, error))
        }
    }

    /// A result of a call that became a task.
    pub(crate) fn of_task(self, task: TaskId) -> Self {
        Self {
            task: Some(task),
            ..self
        }
    }

    /// Writes `line` to the log once the answer is [sent](Self::sent).
    pub(crate) fn with_log_line(self, line: CallLine) -> Self {
        Self { line, ..self }
    }

    /// To be called when the answer goes out, with its status code, if the transport has such.
    pub(crate) fn sent(&mut self, status: Option<u16>) {
        let line = std::mem::take(&mut self.line);
        line.answered(self.task, self.code, status);
    }
}
