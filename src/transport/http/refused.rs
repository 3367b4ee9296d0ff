//! Requests that are refused before `mcp` sees them.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::mcp::{Answer, RefusalKind, RpcError};
use crate::transport::http::respond::json;

/// A request that the transport refuses.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) text: String,
    /// It may be served after so many seconds.
    retry_after: Option<u16>,
}

impl Refused {
    pub(super) fn new(status: StatusCode, text: String) -> Self {
        Self {
            status,
            text,
            retry_after: None,
        }
    }

    /// A request that there is no room for now.
    pub(super) fn for_now(text: String) -> Self {
        Self {
            retry_after: Some(1),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }

    /// A request that there is no room for now, as its sender has its share.
    pub(super) fn share_is_taken(text: String) -> Self {
        Self {
            retry_after: Some(1),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, text)
        }
    }

    /// A request that comes too soon after others of the same sender; it may come again after `wait`.
    pub(super) fn too_fast(sender: &str, setting: &str, wait: Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        let text = format!(
            "more requests come from {sender} than one may make here ({setting} of the server; one that names what is not there, or is not let in, counts for ten); try again in {seconds} s"
        );
        Self {
            retry_after: Some(u16::try_from(seconds).unwrap_or(u16::MAX)),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, text)
        }
    }
}

/// A JSON-RPC error without id.
impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let retry_after = self.retry_after;
        let (kind, error) = if self.retry_after.is_some() {
            (RefusalKind::Unavailable, RpcError::internal(self.text))
        } else {
            (RefusalKind::Malformed, RpcError::invalid_request(self.text))
        };
        let mut response = json(Answer {
            retry_after,
            ..Answer::error(kind, None, &error)
        });
        *response.status_mut() = self.status;
        response
    }
}
