//! The texts of the built-in tools and of promoted calls, which models read.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};
use taskferry_contract::{Status, TaskView};

use crate::mcp::protocol::time::timestamp;
use crate::mcp::protocol::{standing, wire};

/// How long the texts ask a model to wait at a time, s.
const WAIT_TOLD: u64 = 30;

/// The answer to a call that goes on in the background.
pub(super) fn promoted(view: &TaskView) -> Value {
    said(&goes_on(view), view, false)
}

/// The same for a tool with an output schema: the result must either fit that or be an error, or clients discard it unread.
pub(super) fn promoted_typed(view: &TaskView) -> Value {
    wire::tool_error(&goes_on(view))
}

fn goes_on(view: &TaskView) -> String {
    let id = view.id.to_string();
    format!(
        "This call of {} has not finished yet. It goes on in the background as task {id}: nothing is lost, so do not make the call again.\n\n{}\n\nTo stop it, call the tool task_cancel with {{\"task_id\": \"{id}\"}}.",
        view.tool,
        how_to_wait(view),
    )
}

fn how_to_wait(view: &TaskView) -> String {
    let id = view.id;
    format!(
        "To wait for it, call the tool task_status with {{\"task_id\": \"{id}\", \"wait_seconds\": {WAIT_TOLD}}}, again and again until the status is completed, failed or cancelled. When it is completed or failed, call the tool task_result with {{\"task_id\": \"{id}\"}} to get the result."
    )
}

/// How a task stands, as the result of a tool.
pub(in crate::mcp) fn status(view: &TaskView) -> Value {
    let id = view.id;
    let next = match view.status {
        Status::Queued | Status::Working | Status::InputRequired => how_to_wait(view),
        Status::Completed | Status::Failed => format!(
            "It has ended. To get the result, call the tool task_result with {{\"task_id\": \"{id}\"}}."
        ),
        Status::Cancelled => "It has ended, and there is no result.".to_owned(),
    };
    let text = format!(
        "Task {id} ({}) is {}: {}\n\n{next}",
        view.tool,
        wire::status_word(view.status),
        standing::message(view),
    );
    said(&text, view, false)
}

/// What `task_result` says before there is a result.
pub(super) fn unfinished(view: &TaskView) -> Value {
    let text = format!(
        "Task {} has no result yet: it is {}.\n\n{}",
        view.id,
        wire::status_word(view.status),
        how_to_wait(view)
    );
    said(&text, view, true)
}

/// The same for programs: `structuredContent`.
#[derive(Serialize)]
struct StructuredStatus<'a> {
    task_id: String,
    status: &'static str,
    status_message: Cow<'a, str>,
    tool: &'a str,
    created_at: String,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<f64>,
}

fn said(text: &str, view: &TaskView, is_error: bool) -> Value {
    // The progress of an earlier attempt is no progress of the next one.
    let runs = view.status != Status::Queued;
    let number = |text: &Option<String>| {
        let text = text.as_deref().filter(|_| runs)?;
        text.parse().ok()
    };
    let facts = StructuredStatus {
        task_id: view.id.to_string(),
        status: wire::status_word(view.status),
        status_message: standing::message(view),
        tool: &view.tool,
        created_at: timestamp(view.created_ms),
        expires_at: timestamp(view.created_ms.saturating_add(view.ttl_ms)),
        progress: number(&view.progress),
        total: number(&view.total),
    };
    json!({
        "content": [{ "type": "text", "text": text }],
        "structuredContent": facts,
        "isError": is_error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::protocol::sample;

    fn view(status: Status) -> TaskView {
        TaskView {
            progress: Some("2".to_owned()),
            ..sample::view(status)
        }
    }

    #[test]
    fn a_promoted_call_says_what_to_do_next() {
        let view = view(Status::Queued);
        let told = promoted(&view);
        let text = told["content"][0]["text"].as_str().unwrap();
        let id = view.id.to_string();
        for part in [
            format!("task_status with {{\"task_id\": \"{id}\", \"wait_seconds\": 30}}"),
            format!("task_result with {{\"task_id\": \"{id}\"}}"),
            format!("task_cancel with {{\"task_id\": \"{id}\"}}"),
        ] {
            assert!(text.contains(&part), "{part} is not in {text}");
        }
        let facts = &told["structuredContent"];
        assert_eq!(
            (&facts["task_id"], &facts["status"]),
            (&json!(id), &json!("working"))
        );
        assert_eq!(facts["expires_at"], "1970-01-01T00:00:01.000Z");
        assert_eq!(told["isError"], false);
    }

    #[test]
    fn a_promoted_call_breaks_no_output_schema() {
        let told = promoted_typed(&view(Status::Working));
        assert!(told["structuredContent"].is_null());
        assert_eq!(told["isError"], true);
    }

    #[test]
    fn a_status_leads_to_the_result_once_there_is_one() {
        for (state, part) in [
            (Status::Working, "task_status"),
            (Status::InputRequired, "task_status"),
            (Status::Completed, "task_result"),
            (Status::Failed, "task_result"),
            (Status::Cancelled, "no result"),
        ] {
            let told = status(&view(state)).to_string();
            assert!(told.contains(part), "{part} is not in {told}");
        }
    }
}
