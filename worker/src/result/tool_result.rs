//! The result of a tool.

use std::fmt;
use std::time::Duration;

use serde_json::value::{RawValue, to_raw_value};
use taskferry_contract::RawObject;

use super::summary::{SUMMARY_CHARS, end_of};
use crate::units::format_duration;

/// A `CallToolResult` with what the worker needs to know of it.
#[derive(Clone)]
pub struct ToolResult {
    /// The JSON object, as it goes to the client.
    pub result: Box<RawValue>,
    /// Whether the tool reports an error.
    pub is_error: bool,
    /// The end of its text contents, at most [`SUMMARY_CHARS`]; the status
    /// message of a failed task, which shows what was said last.
    pub summary: Option<String>,
    /// Why it is an error, in words of the worker's own, for its log: nothing that the tool or its caller wrote.
    pub cause: Option<String>,
}

impl ToolResult {
    /// A result with one text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::build(text, None, false)
    }

    /// An error with one text.
    #[must_use]
    pub fn error(text: &str) -> Self {
        Self::build(text, None, true)
    }

    /// The same, with why it is an error, in words that the log may show.
    #[must_use]
    pub fn because(self, cause: impl Into<String>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..self
        }
    }

    /// The error of an attempt that ran longer than it may.
    pub(crate) fn timed_out(timeout: Duration) -> Self {
        let timeout = format_duration(timeout);
        let text = format!(
            "timed out after {timeout} (the tool's timeout, set in its manifest or definition)"
        );
        Self::error(&text).because(text)
    }

    /// The same result, marked as an error.
    pub(crate) fn into_error(self) -> Self {
        if self.is_error {
            return self;
        }
        let result = RawObject::parse(self.result.get())
            .and_then(|mut object| {
                object.set("isError", &true);
                to_raw_value(&object)
            })
            .unwrap_or(self.result);
        Self {
            result,
            is_error: true,
            summary: self.summary,
            cause: self.cause,
        }
    }

    pub(super) fn build(text: &str, structured: Option<&str>, is_error: bool) -> Self {
        let quoted = serde_json::Value::from(text).to_string();
        let structured = structured
            .map(|object| format!(r#","structuredContent":{object}"#))
            .unwrap_or_default();
        let json = format!(
            r#"{{"content":[{{"type":"text","text":{quoted}}}]{structured},"isError":{is_error}}}"#
        );
        Self {
            result: RawValue::from_string(json)
                .expect("quoted text and checked JSON make valid JSON"),
            is_error,
            summary: end_of(text, SUMMARY_CHARS),
            cause: None,
        }
    }
}

impl fmt::Debug for ToolResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolResult")
            .field("bytes", &self.result.get().len())
            .field("is_error", &self.is_error)
            .field("summary", &self.summary)
            .finish()
    }
}
