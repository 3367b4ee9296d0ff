//! Reads a tool's output as a result of the wanted kind, and checks that every client could read it.

use serde_json::value::RawValue;
use taskferry_contract::{PART_DEPTH, RawObject, Unreadable, check_readable};

use super::summary::{SUMMARY_CHARS, end_of};
use super::tool_result::ToolResult;

/// Why bytes are not the result that was wanted.
#[derive(Debug)]
pub(crate) enum ResultFault {
    /// They are of another kind.
    Kind(String),
    /// They are of the wanted kind, but not every client could read them.
    Unreadable(Unreadable),
}

impl ResultFault {
    /// The text of the error.
    pub(crate) fn text(&self, expected: Expected) -> String {
        let Expected { what, wanted } = expected;
        match self {
            Self::Kind(reason) => format!("{what} is not {wanted}: {reason}"),
            Self::Unreadable(error) => format!("{what} cannot be read by every client: {error}"),
        }
    }
}

/// What was read (`what`) and what it should have been (`wanted`), for the text of an error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) what: &'static str,
    pub(crate) wanted: &'static str,
}

impl From<String> for ResultFault {
    fn from(reason: String) -> Self {
        Self::Kind(reason)
    }
}

impl From<Unreadable> for ResultFault {
    fn from(error: Unreadable) -> Self {
        Self::Unreadable(error)
    }
}

/// A JSON object as structured content.
pub(crate) fn structured(stdout: &[u8]) -> Result<ToolResult, ResultFault> {
    let text = json_text(stdout)?;
    RawObject::parse(text).map_err(|error| error.to_string())?;
    check_readable(text, PART_DEPTH)?;
    Ok(ToolResult::build(text, Some(text), false))
}

/// A `CallToolResult` as it is.
pub(crate) fn passed_through(stdout: &[u8]) -> Result<ToolResult, ResultFault> {
    let text = json_text(stdout)?;
    let object = RawObject::parse(text).map_err(|error| error.to_string())?;
    check_readable(text, PART_DEPTH)?;
    let content = object.get("content");
    let content = content.ok_or_else(|| "it has no `content`".to_owned())?;
    let items: Vec<&RawValue> = serde_json::from_str(content)
        .map_err(|_not_a_list| "its `content` is not an array".to_owned())?;
    let mut said = String::new();
    for item in items {
        if let Some(text) = check_content(item.get())? {
            said = end_of(&format!("{said}\n{text}"), SUMMARY_CHARS).unwrap_or_default();
        }
    }
    for name in ["structuredContent", "_meta"] {
        if object
            .get(name)
            .is_some_and(|json| RawObject::parse(json).is_err())
        {
            return Err(format!("its `{name}` is not an object").into());
        }
    }
    let is_error = match object.get("isError") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => {
            return Err("its `isError` is neither true nor false".to_owned().into());
        }
    };
    let result = RawValue::from_string(text.to_owned()).map_err(|error| error.to_string())?;
    Ok(ToolResult {
        result,
        is_error,
        summary: Some(said).filter(|said| !said.is_empty()),
        cause: None,
    })
}

/// The text of a text content. `None` for another kind.
fn check_content(json: &str) -> Result<Option<String>, String> {
    let wrong = || "an entry of its `content` is not an object with a string `type`".to_owned();
    let item = RawObject::parse(json).map_err(|_not_an_object| wrong())?;
    let kind = item.string("type").ok_or_else(wrong)?;
    if kind != "text" {
        return Ok(None);
    }
    let text = item.string("text");
    text.map(Some)
        .ok_or_else(|| "a text entry of its `content` has no string `text`".to_owned())
}

fn json_text(stdout: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(stdout).map_err(|error| error.to_string())?;
    match text.trim() {
        "" => Err("it is empty".to_owned()),
        text => Ok(text),
    }
}
