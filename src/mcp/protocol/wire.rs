//! What both eras write alike.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use taskferry_contract::{
    AskFirst, RawObject, SharedJson, Status, TaskId, TaskSupport, TaskView, cut,
    missing_capabilities,
};

use crate::bridge::{BridgeError, Tool};
use crate::mcp::jsonrpc::{self, Request, RpcError, Text};
use crate::mcp::protocol::answer::Answer;
use crate::mcp::protocol::capabilities;
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::standing;

/// The name by which this server is known.
pub(crate) const SERVER_NAME: &str = "taskferry";

/// The longest text of a tool error that this side writes, bytes.
const LONGEST_TOOL_ERROR: usize = 2048;

/// The name and version of this server.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct ServerInfo {
    name: &'static str,
    title: &'static str,
    version: &'static str,
}

/// This server.
pub(crate) const SERVER_INFO: ServerInfo = ServerInfo {
    name: SERVER_NAME,
    title: "Taskferry",
    version: env!("CARGO_PKG_VERSION"),
};

/// Reads a task id of a request. One that cannot be read is an unknown task.
pub(crate) fn task_id(text: &str) -> Result<TaskId, Refusal> {
    text.parse()
        .map_err(|_unreadable| BridgeError::NotFound.into())
}

/// A text as the content of a tool result that reports an error.
pub(crate) fn tool_error(text: &str) -> serde_json::Value {
    let text = cut(text, LONGEST_TOOL_ERROR);
    serde_json::json!({ "content": [{ "type": "text", "text": text }], "isError": true })
}

/// A tool as tools/list shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListedTool<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_schema: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) icons: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) execution: Option<Execution>,
}

/// How a tool may be called (2025-11-25).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Execution {
    task_support: TaskSupport,
}

impl Execution {
    pub(crate) fn of(tool: &Tool) -> Self {
        Self {
            task_support: tool.definition.task_support,
        }
    }
}

/// Refuses a list request with a cursor: all tools fit one page, so no cursor was ever given out.
pub(crate) fn refuse_cursor(request: &Request<'_>) -> Result<(), Refusal> {
    #[derive(Deserialize)]
    struct Params {
        cursor: Option<IgnoredAny>,
    }
    match request.params::<Params>()?.cursor {
        None => Ok(()),
        Some(_) => Err(RpcError::invalid_params("this cursor was not given by this server").into()),
    }
}

impl<'a> ListedTool<'a> {
    pub(crate) fn new(tool: &'a Tool) -> Self {
        let tool = &tool.definition;
        Self {
            name: tool.name.as_str(),
            title: tool.title.as_deref(),
            description: tool.description.as_deref(),
            input_schema: &tool.input_schema,
            output_schema: tool.output_schema.as_deref(),
            annotations: tool.annotations.as_deref(),
            icons: tool.icons.as_deref(),
            execution: None,
        }
    }
}

/// What is asked of a tool's callers before a job is queued and this client can be asked: key and JSON of method and
/// params.
pub(crate) fn asked_first(tool: &Tool, declared: &str) -> Vec<(String, String)> {
    let can_be_asked = |ask: &&AskFirst| {
        capabilities::needed(&ask.method, &ask.params)
            .is_some_and(|needed| missing_capabilities(&needed, declared).is_empty())
    };
    let asked = tool.definition.ask_first.iter().filter(can_be_asked);
    asked
        .filter_map(|ask| {
            let mut request = RawObject::default();
            request.set("method", &ask.method);
            request.set("params", &ask.params);
            Some((ask.key.clone(), serde_json::to_string(&request).ok()?))
        })
        .collect()
}

/// The MCP name of a status, the same in both eras.
pub(crate) fn status_word(status: Status) -> &'static str {
    match status {
        Status::Queued | Status::Working => "working",
        Status::InputRequired => "input_required",
        Status::Completed => "completed",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
    }
}

/// The outcome of an ended job: its result object, or the JSON-RPC error the call would have had.
pub(crate) enum Outcome<'a> {
    /// The result, verbatim.
    Result(&'a SharedJson),
    /// The error, verbatim.
    Stored(&'a SharedJson),
    /// There is none stored.
    Missing(RpcError),
}

impl<'a> Outcome<'a> {
    /// `None` while the job has not ended.
    pub(crate) fn of(view: &'a TaskView) -> Option<Self> {
        match view.status {
            Status::Queued | Status::Working | Status::InputRequired => None,
            Status::Completed => Some(view.result.as_ref().map_or_else(
                || Self::Missing(RpcError::internal("the result was not stored")),
                Self::Result,
            )),
            Status::Failed => Some(stored_error(view)),
            Status::Cancelled => {
                let text = format!("the call was cancelled: {}", standing::message(view));
                Some(Self::Missing(RpcError::internal(text)))
            }
        }
    }
}

impl Outcome<'_> {
    /// The answer to whoever asked for it; `shown` writes a result, if it can be read.
    pub(crate) fn answer(
        self,
        id: &RawValue,
        shown: impl FnOnce(&SharedJson) -> Option<Text>,
    ) -> Answer {
        let unreadable = || RpcError::internal("the stored result cannot be read");
        match self {
            Self::Result(result) => match shown(result) {
                Some(result) => Answer::ok(jsonrpc::success_of(id, result)),
                None => Answer::ok(jsonrpc::failure(Some(id), &unreadable())),
            },
            Self::Stored(error) => Answer::ok(jsonrpc::failure_of(id, Text::of(error))),
            Self::Missing(error) => Answer::ok(jsonrpc::failure(Some(id), &error)),
        }
    }
}

fn stored_error(view: &TaskView) -> Outcome<'_> {
    let error = view.error.as_ref().filter(|error| error.is_json());
    error.map_or_else(
        || Outcome::Missing(RpcError::internal(standing::message(view))),
        Outcome::Stored,
    )
}
