//! What a tool is made of: a handler, and what it answers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::context::JobContext;
use crate::exec::ToolResult;
use crate::exec::output;

/// What a handler's future ends with.
pub type HandlerResult = Result<ToolOutput, ToolError>;

/// The future of one attempt.
pub type HandlerFuture = Pin<Box<dyn Future<Output = HandlerResult> + Send>>;

/// Runs the jobs of a tool. Every `async fn(JobContext) -> Result<ToolOutput, ToolError>` is one.
pub trait Handler: Send + Sync + 'static {
    /// Runs one attempt. The future runs on its own: a panic ends this attempt alone, which is then retried.
    fn run(&self, job: JobContext) -> HandlerFuture;

    /// How long an attempt may go on after it was told to stop, until its future is dropped. One second.
    fn stop_grace(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// How long an attempt that has waited for an answer too long may take to stop, before its job is parked. Zero, the
    /// default, drops its future where it waits, in [`JobContext::ask`], and tells it nothing.
    fn park_grace(&self) -> Duration {
        Duration::ZERO
    }
}

impl<F, Fut> Handler for F
where
    F: Fn(JobContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = HandlerResult> + Send + 'static,
{
    fn run(&self, job: JobContext) -> HandlerFuture {
        Box::pin(self(job))
    }
}

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
        output::structured(json.as_bytes())
            .map(Self)
            .map_err(|misfit| ToolError::tool(misfit.text("the result", "a JSON object")))
    }

    /// A whole `CallToolResult`, which is passed through byte for byte.
    ///
    /// # Errors
    ///
    /// A tool error that says what is wrong with it.
    pub fn result(result: &RawValue) -> HandlerResult {
        output::passed_through(result.get().as_bytes())
            .map(Self)
            .map_err(|misfit| ToolError::tool(misfit.text("the result", "a CallToolResult")))
    }
}

/// Why an attempt has no result. Every `std::error::Error` becomes one by `?`: a tool error with its text.
pub struct ToolError(pub(crate) Failure);

/// What an error does to the job.
pub(crate) enum Failure {
    /// It ends with a result that is an error.
    Tool(ToolResult),
    /// It is attempted again, and ends with `last` if no attempt is left.
    Retry { message: String, last: ToolResult },
    /// It ends with a JSON-RPC error.
    Rpc { code: i64, message: String },
    /// It is to be run again once the questions that are open are answered. If none is open and there is something
    /// `otherwise`, it ends with that; else its questions were answered just now.
    Park { otherwise: Option<ToolResult> },
    /// It was stopped, as it was told.
    Stopped,
    /// Nothing of it ran, since this machine was short of something: it is offered again, and nothing is used up.
    NotStarted { message: String },
}

impl Failure {
    /// Why, in words that the log may show: not those of the tool.
    pub(crate) fn cause(&self) -> Option<String> {
        match self {
            Self::Tool(result) | Self::Retry { last: result, .. } => result.cause.clone(),
            Self::Rpc { code, .. } => Some(format!("JSON-RPC error {code}")),
            Self::Stopped => Some("the worker is told to stop".to_owned()),
            Self::NotStarted { message } => Some(message.clone()),
            Self::Park { .. } => None,
        }
    }
}

impl ToolError {
    /// The tool was run and reports an error, which the model sees (`isError`). It is not attempted again.
    #[must_use]
    pub fn tool(text: impl AsRef<str>) -> Self {
        Self(Failure::Tool(ToolResult::error(text.as_ref())))
    }

    /// Another attempt may do better. If none is left, the job ends as with [`ToolError::tool`].
    #[must_use]
    pub fn retry(text: impl AsRef<str>) -> Self {
        let last = ToolResult::error(text.as_ref());
        Self(Failure::Retry {
            message: last.summary.clone().unwrap_or_default(),
            last,
        })
    }

    /// The call itself was wrong: it ends with this JSON-RPC error. It is not attempted again.
    #[must_use]
    pub fn rpc(code: i64, message: impl Into<String>) -> Self {
        Self(Failure::Rpc {
            code,
            message: message.into(),
        })
    }

    pub(crate) fn stopped() -> Self {
        Self(Failure::Stopped)
    }
}

impl<E: std::error::Error> From<E> for ToolError {
    fn from(error: E) -> Self {
        Self::tool(error.to_string())
    }
}

impl fmt::Debug for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Failure::Tool(result) => f.debug_tuple("Tool").field(&result.summary).finish(),
            Failure::Retry { message, .. } => f.debug_tuple("Retry").field(message).finish(),
            Failure::Rpc { code, message } => {
                f.debug_tuple("Rpc").field(code).field(message).finish()
            }
            Failure::Park { .. } => f.write_str("Park"),
            Failure::Stopped => f.write_str("Stopped"),
            Failure::NotStarted { message } => f.debug_tuple("NotStarted").field(message).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn any_error_is_a_tool_error() {
        fn read() -> Result<String, ToolError> {
            Ok(String::from_utf8(vec![0xff])?)
        }
        assert!(matches!(read().unwrap_err().0, Failure::Tool(_)));
    }
}
