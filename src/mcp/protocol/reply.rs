//! What a request is answered with, in the words of no transport.

use std::time::Duration;

use serde_json::value::RawValue;
use taskferry_process::Charge;
use tokio::sync::mpsc;

use crate::mcp::jsonrpc::{RpcError, Text};
use crate::mcp::protocol::answer::{Answer, RefusalKind};
use crate::mcp::protocol::call_line::CallLine;
use crate::mcp::protocol::outgoing::Admitted;

/// What a stream carries.
#[derive(Debug)]
pub(crate) struct Event {
    /// The event's id, after which a client can resume the stream.
    pub(crate) id: Option<String>,
    pub(crate) says: Says,
    /// What it takes of the memory for events that wait.
    pub(crate) charge: Option<Charge>,
}

/// What an event says.
#[derive(Debug)]
pub(crate) enum Says {
    /// Empty: it only gives the client an id.
    Nothing,
    /// A notification, or a request of this server, on the way.
    Message(Text),
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
            ..Self::without_id(Says::Nothing)
        }
    }

    /// The answer to one of several requests.
    pub(crate) fn one(answer: Answer) -> Self {
        Self::without_id(Says::One(answer))
    }

    /// One after which no client can resume the stream.
    pub(crate) fn without_id(says: Says) -> Self {
        Self {
            id: None,
            says,
            charge: None,
        }
    }

    /// What it takes of memory while it waits to be sent, bytes.
    pub(crate) fn bytes(&self) -> usize {
        let text = match &self.says {
            Says::Nothing => 0,
            Says::Message(text) => text.own_bytes(),
            Says::One(answer) | Says::Last(answer) => answer.body.own_bytes(),
        };
        size_of::<Self>() + text
    }

    pub(crate) fn message(message: Admitted) -> Self {
        Self::without_id(Says::Message(message.into()))
    }

    pub(crate) fn last(answer: Answer) -> Self {
        Self::without_id(Says::Last(answer))
    }
}

/// What a request is answered with.
#[derive(Debug)]
pub(crate) enum Reply {
    /// One JSON body.
    Json(Answer),
    /// The message was accepted, and there is no answer to it.
    Accepted,
    /// Done, without a body. To a client that wants to resume a stream it says that nothing more will come.
    Nothing,
    /// No answer will come: the request was cancelled.
    Unanswered,
    /// One JSON body if nothing but the answer comes in time, else a stream.
    Soon {
        /// Those that are known already.
        first: Vec<Event>,
        /// Those to come.
        rest: mpsc::Receiver<Event>,
        /// How long to wait for the first of those.
        within: Duration,
        /// The log line of the request.
        line: CallLine,
    },
    /// One JSON array if the answers to several requests come in time, else a stream.
    Batch {
        /// The answers that are known already.
        answers: Vec<Answer>,
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
        /// The log line of the request.
        line: CallLine,
    },
}

impl Reply {
    /// The reply to a message that cannot be read.
    pub(crate) fn malformed(id: Option<&RawValue>, error: &RpcError) -> Self {
        Self::Json(Answer::error(RefusalKind::Malformed, id, error))
    }

    /// Writes `line` to the log when this goes out: now, or at the end of the stream.
    pub(crate) fn with_log_line(self, line: CallLine) -> Self {
        match self {
            Self::Json(answer) => Self::Json(answer.with_log_line(line)),
            Self::Soon {
                first,
                rest,
                within,
                line: of,
            } => Self::Soon {
                first,
                rest,
                within,
                line: line.of_job(&of),
            },
            Self::Stream {
                first,
                rest,
                line: of,
            } => Self::Stream {
                first,
                rest,
                line: line.of_job(&of),
            },
            reply => {
                line.unanswered();
                reply
            }
        }
    }
}
