//! Tasks as this era shows them.

use std::borrow::Cow;

use serde::Serialize;
use taskferry_contract::{Status, TaskView};

use crate::mcp::protocol::time::timestamp;
use crate::mcp::protocol::{pace, standing, wire};

/// A task.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LegacyTask<'a> {
    task_id: String,
    pub(super) status: &'static str,
    status_message: Cow<'a, str>,
    created_at: String,
    last_updated_at: String,
    ttl: i64,
    poll_interval: u64,
}

impl<'a> LegacyTask<'a> {
    pub(super) fn new(view: &'a TaskView) -> Self {
        Self {
            task_id: view.id.to_string(),
            status: status(view),
            status_message: standing::message(view),
            created_at: timestamp(view.created_ms),
            last_updated_at: timestamp(view.updated_ms),
            ttl: view.ttl_ms,
            poll_interval: pace::interval(view),
        }
    }
}

/// A result that reports a tool error is a failure in this era (2025-11-25, tasks, Task Status).
pub(super) fn status(view: &TaskView) -> &'static str {
    match view.status {
        Status::Completed if view.is_error => "failed",
        status => wire::status_word(status),
    }
}
