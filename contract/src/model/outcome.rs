//! How a job ends, and how the scripts are given that.

/// How a job ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// With a result, a JSON object, stored byte for byte.
    Completed {
        /// The result.
        result: String,
        /// Whether the tool calls it an error.
        is_error: bool,
        /// A line for pollers; keeps the last one if absent.
        message: Option<String>,
    },
    /// With a JSON-RPC error object.
    Failed {
        /// The error: code, message and perhaps data, as JSON.
        error: String,
        /// A line for pollers.
        message: String,
    },
    /// By the worker's own decision to give up.
    Cancelled {
        /// A line for pollers.
        message: String,
    },
}

/// An outcome as the scripts take it.
pub(crate) struct OutcomeParts<'a> {
    pub(crate) status: &'static str,
    pub(crate) field: &'static str,
    pub(crate) payload: &'a str,
    pub(crate) is_error: &'static str,
    pub(crate) message: &'a str,
}

impl<'a> OutcomeParts<'a> {
    pub(crate) fn of(outcome: &'a Outcome) -> Self {
        match outcome {
            Outcome::Completed {
                result,
                is_error,
                message,
            } => Self {
                status: "completed",
                field: "result",
                payload: result,
                is_error: if *is_error { "1" } else { "0" },
                message: message.as_deref().unwrap_or(""),
            },
            Outcome::Failed { error, message } => Self {
                status: "failed",
                field: "error",
                payload: error,
                is_error: "",
                message,
            },
            Outcome::Cancelled { message } => Self {
                status: "cancelled",
                field: "",
                payload: "",
                is_error: "",
                message,
            },
        }
    }
}
