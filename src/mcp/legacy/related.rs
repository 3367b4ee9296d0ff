//! Which task a message belongs to, in its `_meta`.

use serde_json::{Value, json};
use taskferry_contract::TaskId;

/// Where that stands.
pub(super) const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";

/// What stands there.
pub(super) fn related(task: TaskId) -> Value {
    json!({ "taskId": task.to_string() })
}
