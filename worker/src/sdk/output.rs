//! What a handler answers when its tool did what it was asked.

use serde::Serialize;
use serde_json::value::RawValue;

use super::error::ToolError;
use crate::result::{Expected, ResultFault, ToolResult, passed_through, structured};

/// What a handler's future ends with.
pub type HandlerResult = Result<ToolOutput, ToolError>;

/// The result of a tool that did what it was asked.
#[derive(Debug, Clone)]
pub struct ToolOutput(pub(crate) ToolResult);

impl ToolOutput {
    /// One text.
    #[must_use]
    pub fn text(text: impl AsRef<str>) -> Self {
        Self(ToolResult::text(text.as_ref()))
    }

    /// Structured content, which must become a JSON object, and the same JSON as text.
    ///
    /// # Errors
    ///
    /// A tool error that says so, if it becomes none, or one that not every client can read: more than 96 levels deep, or
    /// with half a surrogate pair.
    pub fn json(content: &impl Serialize) -> HandlerResult {
        let json = serde_json::to_string(content)
            .map_err(|error| ToolError::tool(format!("the result is not JSON: {error}")))?;
        structured(json.as_bytes())
            .map(Self)
            .map_err(|fault| refused(&fault, "a JSON object"))
    }

    /// A whole `CallToolResult`, which is passed through byte for byte.
    ///
    /// # Errors
    ///
    /// A tool error that says what is wrong with it.
    pub fn result(result: &RawValue) -> HandlerResult {
        passed_through(result.get().as_bytes())
            .map(Self)
            .map_err(|fault| refused(&fault, "a CallToolResult"))
    }
}

fn refused(fault: &ResultFault, wanted: &'static str) -> ToolError {
    let what = "the result";
    ToolError::tool(fault.text(Expected { what, wanted }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdk::error::Failure;

    #[test]
    fn structured_content_must_be_an_object() {
        let output = ToolOutput::json(&serde_json::json!({"n": 1})).unwrap();
        assert!(
            output
                .0
                .result
                .get()
                .contains(r#""structuredContent":{"n":1}"#)
        );
        assert!(matches!(
            ToolOutput::json(&[1, 2]).unwrap_err().0,
            Failure::Tool(_)
        ));
    }

    #[test]
    fn a_whole_result_keeps_its_bytes_and_is_checked() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let text = r#"{ "content": [ {"type":"text","text":"no"} ], "isError": true }"#;
        let output = ToolOutput::result(&raw(text)).unwrap();
        assert_eq!(output.0.result.get(), text);
        assert!(output.0.is_error);
        assert!(ToolOutput::result(&raw("{}")).is_err());
    }

    #[test]
    fn a_result_that_not_every_client_can_read_is_an_error() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let half = raw(r#"{"content":[],"structuredContent":{"s":"\ud83d"}}"#);
        let nested = (0..200).fold(
            serde_json::json!({}),
            |inner, _| serde_json::json!({"a": inner}),
        );
        for (output, place) in [
            (ToolOutput::result(&half), "at structuredContent/s"),
            (ToolOutput::json(&half), "at structuredContent/s"),
            (ToolOutput::json(&nested), "deeper than 96 levels at a/a"),
        ] {
            let Err(ToolError(Failure::Tool(error))) = output else {
                panic!("not an error");
            };
            let text = error.summary.unwrap();
            assert!(
                text.starts_with("the result cannot be read by every client"),
                "{text}"
            );
            assert!(text.contains(place), "{text}");
        }
    }
}
