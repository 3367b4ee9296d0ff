//! Requests that are refused before `mcp` sees them.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::mcp::{Answer, RefusalKind, RpcError};
use crate::transport::http::respond::json;

/// A request that the transport refuses.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    text: String,
}

impl Refused {
    pub(super) fn new(status: StatusCode, text: String) -> Self {
        Self { status, text }
    }
}

/// A JSON-RPC error without id.
impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let error = RpcError::invalid_request(self.text);
        let mut response = json(Answer::error(RefusalKind::Malformed, None, &error));
        *response.status_mut() = self.status;
        response
    }
}

/// The answer of a front end that takes no more for now.
pub(super) fn busy(text: String) -> Response {
    let error = RpcError::internal(text);
    json(Answer {
        retry_after: Some(1),
        ..Answer::error(RefusalKind::Unavailable, None, &error)
    })
}
