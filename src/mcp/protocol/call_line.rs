//! One line of the log for each request of a client, once it is answered or its client is gone. It names the tool and the
//! task, and holds neither arguments nor results.

use std::borrow::Cow;
use std::time::Instant;

use serde::Deserialize;
use taskferry_contract::{TaskId, ToolName, cut, quoted};
use taskferry_process::telemetry::Took;
use tracing::Level;

use crate::mcp::era::Era;
use crate::mcp::jsonrpc::Request;
use crate::mcp::protocol::reply::{Answer, Reply};

/// Its target.
const CALL: &str = "call";
/// The most of a name that a client made up, bytes.
const LONGEST_NAME: usize = 64;

/// The line that a request has coming. One that is dropped says that the client left.
#[derive(Debug, Default)]
pub(crate) struct CallLine {
    task: Option<TaskId>,
    /// Nothing if such lines are not wanted.
    facts: Option<Box<Facts>>,
}

#[derive(Debug)]
struct Facts {
    era: &'static str,
    method: String,
    tool: Option<String>,
    began: Instant,
}

#[derive(Deserialize, Default)]
struct Named<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "taskId")]
    task: Option<Cow<'a, str>>,
}

impl CallLine {
    /// Of a request that begins.
    pub(crate) fn of(era: Era, request: &Request<'_>) -> Self {
        if !tracing::enabled!(target: CALL, Level::DEBUG) {
            return Self::default();
        }
        let Named { name, task } = request.params().unwrap_or_default();
        let facts = Facts {
            era: match era {
                Era::Legacy => "legacy",
                Era::Modern => "modern",
            },
            method: cut(&request.method, LONGEST_NAME).into_owned(),
            tool: name.map(|name| shown(&name)),
            began: Instant::now(),
        };
        Self {
            task: task.and_then(|task| task.parse().ok()),
            facts: Some(Box::new(facts)),
        }
    }

    /// Of a request that waits for a job, before it is known which request that is.
    pub(crate) fn about(task: TaskId) -> Self {
        Self {
            task: Some(task),
            facts: None,
        }
    }

    /// Says that the request was answered.
    pub(crate) fn answered(mut self, answer: &Answer) {
        self.task = self.task.or(answer.task);
        let outcome = if answer.code.is_some() {
            "refused"
        } else {
            "answered"
        };
        self.write(outcome, Some(answer));
    }

    /// Says that it has no answer, since its client does not wait for one, at least not here.
    pub(crate) fn unanswered(mut self) {
        self.write("no answer", None);
    }

    fn write(&mut self, outcome: &'static str, answer: Option<&Answer>) {
        let Some(facts) = self.facts.take() else {
            return;
        };
        let task = self.task.map(tracing::field::display);
        let tool = facts.tool.map(tracing::field::display);
        tracing::debug!(
            target: CALL, parent: None, era = facts.era, method = facts.method, tool, task,
            outcome, status = answer.map(|answer| answer.status.as_u16()),
            code = answer.and_then(|answer| answer.code), took = %Took(facts.began.elapsed()), "served"
        );
    }
}

/// A tool's name as other lines have it; what is none, in quotes.
fn shown(name: &str) -> String {
    match name.parse::<ToolName>() {
        Ok(name) => name.to_string(),
        Err(_no_name) => quoted(name),
    }
}

impl Drop for CallLine {
    fn drop(&mut self) {
        self.write("client left", None);
    }
}

impl Reply {
    /// Has `line` say how this goes out: now, or at the end of the stream.
    pub(crate) fn told_by(self, line: CallLine) -> Self {
        let named = |of: &CallLine, mut line: CallLine| {
            line.task = of.task.or(line.task);
            line
        };
        match self {
            Self::Json(answer) => {
                line.answered(&answer);
                Self::Json(answer)
            }
            Self::Soon {
                first,
                rest,
                within,
                line: of,
            } => Self::Soon {
                first,
                rest,
                within,
                line: named(&of, line),
            },
            Self::Stream {
                first,
                rest,
                line: of,
            } => Self::Stream {
                first,
                rest,
                line: named(&of, line),
            },
            reply => {
                line.unanswered();
                reply
            }
        }
    }
}
