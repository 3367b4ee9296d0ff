//! Errors and their codes.

use serde::Serialize;
use taskferry_contract::{cut, quoted};

/// The longest message of an error, bytes: some of its words may be a caller's.
const LONGEST_MESSAGE: usize = 1024;

/// Error codes of JSON-RPC and of MCP (2026-07-28, basic, Error Codes).
pub(crate) mod code {
    pub(crate) const PARSE_ERROR: i64 = -32_700;
    pub(crate) const INVALID_REQUEST: i64 = -32_600;
    pub(crate) const METHOD_NOT_FOUND: i64 = -32_601;
    pub(crate) const INVALID_PARAMS: i64 = -32_602;
    pub(crate) const INTERNAL_ERROR: i64 = -32_603;
    pub(crate) const HEADER_MISMATCH: i64 = -32_020;
    pub(crate) const MISSING_CLIENT_CAPABILITY: i64 = -32_021;
    pub(crate) const UNSUPPORTED_VERSION: i64 = -32_022;
}

/// A JSON-RPC error.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct RpcError {
    pub(crate) code: i64,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<serde_json::Value>,
}

impl RpcError {
    /// An error whose message is cut if it is long.
    pub(crate) fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: cut(&message.into(), LONGEST_MESSAGE).into_owned(),
            data: None,
        }
    }

    pub(crate) fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(code::INVALID_PARAMS, message)
    }

    pub(crate) fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(code::INVALID_REQUEST, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(code::INTERNAL_ERROR, message)
    }

    pub(crate) fn unknown_method(method: &str) -> Self {
        Self::new(
            code::METHOD_NOT_FOUND,
            format!("there is no method {} here", quoted(method)),
        )
    }

    /// The error for a method that a setting of the front end would switch on.
    pub(crate) fn not_offered(method: &str, setting: &str) -> Self {
        Self::new(
            code::METHOD_NOT_FOUND,
            format!(
                "{method} is not offered here, since nothing tells callers apart; where all of them are one user, the front end's setting {setting} says so"
            ),
        )
    }

    pub(crate) fn with_data(self, data: serde_json::Value) -> Self {
        Self {
            data: Some(data),
            ..self
        }
    }
}
