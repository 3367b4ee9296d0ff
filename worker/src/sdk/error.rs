//! Why an attempt has no result, and what that does to its job.

use std::fmt;

use crate::result::ToolResult;

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
    /// The job is to be run again once its open questions are answered. If none is open, it ends with `otherwise`; without
    /// that, its questions were answered just now, and it is run again at once.
    Park { otherwise: Option<ToolResult> },
    /// It stopped because its worker stops.
    Stopped,
    /// Its handler never began, since this machine was short of something: the job is queued again, and no attempt is used
    /// up.
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

    /// The attempt failed; another one may succeed. If none is left, the job ends as with [`ToolError::tool`].
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
    fn any_error_is_a_tool_error() {
        fn read() -> Result<String, ToolError> {
            Ok(String::from_utf8(vec![0xff])?)
        }
        assert!(matches!(read().unwrap_err().0, Failure::Tool(_)));
    }
}
