//! The built-in tools: `task_status`, `task_result` and `task_cancel`.

use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use taskferry_contract::{TaskSupport, ToolDefinition};

/// A `task_status` waits no longer than this, below the 60 s after which many clients give a call up.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(45);

/// A built-in tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mcp) enum BuiltIn {
    Status,
    Result,
    Cancel,
}

impl BuiltIn {
    pub(super) const ALL: [Self; 3] = [Self::Status, Self::Result, Self::Cancel];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Status => "task_status",
            Self::Result => "task_result",
            Self::Cancel => "task_cancel",
        }
    }

    pub(super) fn definition(self) -> ToolDefinition {
        let id = json!({ "type": "string", "description": "The task id that the call was answered with" });
        let (title, description, annotations) = match self {
            Self::Status => (
                "Status of a background task",
                "Tells how a call that went on as a background task stands. With wait_seconds it waits for the task to end and returns as soon as it does.",
                json!({ "readOnlyHint": true, "openWorldHint": false }),
            ),
            Self::Result => (
                "Result of a background task",
                "Returns the result of a call that went on as a background task, once its status is completed or failed.",
                json!({ "readOnlyHint": true, "openWorldHint": false }),
            ),
            Self::Cancel => (
                "Cancel a background task",
                "Stops a call that went on as a background task. Its work so far is lost.",
                json!({ "destructiveHint": true, "idempotentHint": true, "openWorldHint": false }),
            ),
        };
        let properties = match self {
            Self::Status => json!({ "task_id": id, "wait_seconds": {
                "type": "number", "minimum": 0, "default": 0,
                "description": format!("How long to wait for the task to end, up to {} seconds", LONGEST_WAIT.as_secs()),
            } }),
            Self::Result | Self::Cancel => json!({ "task_id": id }),
        };
        let schema = json!({
            "type": "object", "properties": properties, "required": ["task_id"], "additionalProperties": false,
        });
        let name = self.name().parse().expect("a tool's name");
        ToolDefinition {
            title: Some(title.to_owned()),
            description: Some(description.to_owned()),
            annotations: Some(raw(&annotations)),
            task_support: TaskSupport::Forbidden,
            ..ToolDefinition::new(name, raw(&schema))
        }
    }
}

fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("a JSON tree can be written")
}
