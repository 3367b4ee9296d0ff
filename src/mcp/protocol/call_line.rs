//! One line of the log for each request of a client, once it is answered or its client is gone. It names the tool and the
//! task, and holds neither arguments nor results.

use std::borrow::Cow;
use std::time::Instant;

use serde::Deserialize;
use taskferry_contract::{TaskId, ToolName, cut, quoted};
use taskferry_process::telemetry::Took;
use tracing::Level;

use crate::mcp::jsonrpc::Request;
use crate::mcp::protocol::era::Era;

/// The log target of these lines.
const CALL: &str = "call";
/// The most of a name that a client made up, bytes.
const LONGEST_NAME: usize = 64;

/// The log line that a request will have. If it is dropped, it says that the client left.
#[derive(Debug, Default)]
pub(crate) struct CallLine {
    task: Option<TaskId>,
    /// `None` if such lines are not wanted.
    begun: Option<Box<Begun>>,
}

#[derive(Debug)]
struct Begun {
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
    /// The line of a request that begins.
    pub(crate) fn of(era: Era, request: &Request<'_>) -> Self {
        if !tracing::enabled!(target: CALL, Level::DEBUG) {
            return Self::default();
        }
        let Named { name, task } = request.params().unwrap_or_default();
        let begun = Begun {
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
            begun: Some(Box::new(begun)),
        }
    }

    /// The line of a request that waits for a job, before it is known which request that is.
    pub(crate) fn about(task: TaskId) -> Self {
        Self {
            task: Some(task),
            begun: None,
        }
    }

    /// The same, about the job that `other` is about, if it is about one.
    pub(super) fn of_job(mut self, other: &Self) -> Self {
        self.task = other.task.or(self.task);
        self
    }

    /// Logs that the request was answered: by a task that it became, with the code of an error, under a number of the
    /// transport.
    pub(super) fn answered(mut self, task: Option<TaskId>, code: Option<i64>, status: Option<u16>) {
        self.task = self.task.or(task);
        let outcome = if code.is_some() {
            "refused"
        } else {
            "answered"
        };
        self.write(outcome, code, status);
    }

    /// Logs that the request has no answer, since its client does not wait for one, at least not here.
    pub(crate) fn unanswered(mut self) {
        self.write("no answer", None, None);
    }

    fn write(&mut self, outcome: &'static str, code: Option<i64>, status: Option<u16>) {
        let Some(begun) = self.begun.take() else {
            return;
        };
        let task = self.task.map(|task| tracing::field::display(task.digest()));
        let tool = begun.tool.map(tracing::field::display);
        tracing::debug!(
            target: CALL, parent: None, era = begun.era, method = begun.method, tool, task,
            outcome, status, code, took = %Took(begun.began.elapsed()), "served"
        );
    }
}

/// A tool's name as other lines have it; another text, in quotes.
fn shown(name: &str) -> String {
    match name.parse::<ToolName>() {
        Ok(name) => name.to_string(),
        Err(_no_name) => quoted(name),
    }
}

impl Drop for CallLine {
    fn drop(&mut self) {
        self.write("client left", None, None);
    }
}
