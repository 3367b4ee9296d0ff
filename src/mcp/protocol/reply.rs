//! What a request is answered with, before it becomes HTTP.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::value::RawValue;
use taskferry_contract::{SessionId, TaskId};
use tokio::sync::mpsc;

use crate::bridge::BridgeError;
use crate::mcp::jsonrpc::{self, RpcError};
use crate::mcp::protocol::call_line::CallLine;
use crate::mcp::protocol::outgoing::Admitted;

/// One JSON body and its status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
    /// A legacy session that this answer opens.
    pub(crate) session: Option<SessionId>,
    /// When the caller may try again, s.
    pub(crate) retry_after: Option<u16>,
    /// The task that the call became, for the log.
    pub(crate) task: Option<TaskId>,
    /// The code of the JSON-RPC error that it is, for the log.
    pub(crate) code: Option<i64>,
}

/// What a stream carries.
#[derive(Debug)]
pub(crate) struct Event {
    /// What a client goes on after, if the stream can be resumed.
    pub(crate) id: Option<String>,
    pub(crate) says: Says,
}

/// What an event says.
#[derive(Debug)]
pub(crate) enum Says {
    /// Nothing, but its id is known from now on.
    Nothing,
    /// A notification, or a request of ours, on the way.
    Message(String),
    /// The answer to one of several requests.
    One(Answer),
    /// The answer; the stream ends.
    Last(Answer),
}

impl Event {
    /// The start of a stream that can be resumed.
    pub(crate) fn primer(id: String) -> Self {
        Self {
            id: Some(id),
            says: Says::Nothing,
        }
    }

    pub(crate) fn message(message: Admitted) -> Self {
        Self {
            id: None,
            says: Says::Message(message.into()),
        }
    }

    pub(crate) fn last(answer: Answer) -> Self {
        Self {
            id: None,
            says: Says::Last(answer),
        }
    }
}

/// What a request is answered with.
#[derive(Debug)]
pub(crate) enum Reply {
    /// One JSON body.
    Json(Answer),
    /// 202: taken, nothing to say.
    Accepted,
    /// 204: done, nothing to say; on a stream, nothing more will come.
    NoContent,
    /// A stream that ends at once: the request was cancelled.
    Unanswered,
    /// One JSON body if nothing but the answer comes in time, else a stream.
    Soon {
        /// Those that are known already.
        first: Vec<Event>,
        /// Those to come.
        rest: mpsc::Receiver<Event>,
        /// How long to wait for the first of those.
        within: Duration,
        /// Says how it went.
        line: CallLine,
    },
    /// One JSON array if the answers to several requests come in time, else a stream.
    Batch {
        /// The answers that are known already.
        answers: Vec<String>,
        /// Those to come, and what comes before them; the end of the channel ends the stream.
        rest: mpsc::Receiver<Event>,
        /// How long to wait for all of them, if nothing but answers comes.
        within: Duration,
    },
    /// Messages as they come.
    Stream {
        /// Those that are known already.
        first: Vec<Event>,
        /// Those to come; the end of the channel ends the stream.
        rest: mpsc::Receiver<Event>,
        /// Says how it went.
        line: CallLine,
    },
}

impl Answer {
    /// A body with status 200.
    pub(crate) fn ok(body: String) -> Self {
        Self::with_status(StatusCode::OK, body)
    }

    pub(crate) fn with_status(status: StatusCode, body: String) -> Self {
        Self {
            status,
            body,
            session: None,
            retry_after: None,
            task: None,
            code: None,
        }
    }

    /// The same, of a call that became a task.
    pub(crate) fn of_task(self, task: TaskId) -> Self {
        Self {
            task: Some(task),
            ..self
        }
    }

    /// A JSON-RPC error.
    pub(crate) fn error(status: StatusCode, id: Option<&RawValue>, error: &RpcError) -> Self {
        Self {
            code: Some(error.code),
            ..Self::with_status(status, jsonrpc::failure(id, error))
        }
    }
}

/// A request that is answered with an error.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) error: RpcError,
    pub(crate) retry_after: Option<u16>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, error: RpcError) -> Self {
        Self {
            status,
            error,
            retry_after: None,
        }
    }

    /// Of what may be tried again after so many seconds.
    pub(crate) fn unavailable(text: impl Into<String>, after: u16) -> Self {
        Self {
            retry_after: Some(after),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, RpcError::internal(text))
        }
    }

    pub(crate) fn answer(self, id: &RawValue) -> Answer {
        Answer {
            retry_after: self.retry_after,
            ..Answer::error(self.status, Some(id), &self.error)
        }
    }
}

/// A protocol error inside a well-formed exchange travels with status 200.
impl From<RpcError> for Refusal {
    fn from(error: RpcError) -> Self {
        Self::new(StatusCode::OK, error)
    }
}

/// The one place where a use case's failure becomes a JSON-RPC error.
impl From<BridgeError> for Refusal {
    fn from(error: BridgeError) -> Self {
        let text = error.to_string();
        match error {
            BridgeError::NotFound | BridgeError::OtherCall => RpcError::invalid_params(text).into(),
            BridgeError::TooLarge { .. } => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                RpcError::invalid_params(text),
            ),
            BridgeError::QueueFull { .. } | BridgeError::StoreFull => Self::unavailable(text, 5),
            BridgeError::OwnerLimit { .. } => Self {
                status: StatusCode::TOO_MANY_REQUESTS,
                ..Self::unavailable(text, 5)
            },
            BridgeError::NotReplicated { .. }
            | BridgeError::NotAccepted { .. }
            | BridgeError::Unavailable(_) => Self::unavailable(text, 1),
            BridgeError::Broken(_) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, RpcError::internal(text))
            }
        }
    }
}

impl Reply {
    /// A message that is not one: status 400.
    pub(crate) fn malformed(id: Option<&RawValue>, error: &RpcError) -> Self {
        Self::Json(Answer::error(StatusCode::BAD_REQUEST, id, error))
    }

    /// The answer to a request: a result's body, or why there is none.
    pub(crate) fn to_request(id: &RawValue, outcome: Result<String, Refusal>) -> Self {
        Self::Json(match outcome {
            Ok(body) => Answer::ok(body),
            Err(refusal) => refusal.answer(id),
        })
    }
}
