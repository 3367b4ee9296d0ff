//! Requests that are refused before `mcp` sees them.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::mcp::{Answer, RefusalKind, RpcError};
use crate::transport::http::respond::json;

/// A request that the transport refuses.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) text: String,
    /// It may be served a moment later.
    is_for_now: bool,
}

impl Refused {
    pub(super) fn new(status: StatusCode, text: String) -> Self {
        Self {
            status,
            text,
            is_for_now: false,
        }
    }

    /// A request that there is no room for now.
    pub(super) fn for_now(text: String) -> Self {
        Self {
            is_for_now: true,
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }

    /// A request that there is no room for now, as its sender has its share.
    pub(super) fn share_is_taken(text: String) -> Self {
        Self {
            is_for_now: true,
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, text)
        }
    }
}

/// A JSON-RPC error without id.
impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (kind, error) = if self.is_for_now {
            (RefusalKind::Unavailable, RpcError::internal(self.text))
        } else {
            (RefusalKind::Malformed, RpcError::invalid_request(self.text))
        };
        let mut response = json(Answer {
            retry_after: self.is_for_now.then_some(1),
            ..Answer::error(kind, None, &error)
        });
        *response.status_mut() = self.status;
        response
    }
}
