//! The HTTP status of an answer.

use axum::http::StatusCode;

use crate::mcp::{Answer, RefusalKind};

/// The one place where a kind of refusal becomes an HTTP status. Without a refusal it is 200.
pub(super) fn status(refusal: Option<RefusalKind>) -> StatusCode {
    match refusal {
        None | Some(RefusalKind::InExchange) => StatusCode::OK,
        Some(RefusalKind::Malformed) => StatusCode::BAD_REQUEST,
        Some(RefusalKind::CredentialEnded) => StatusCode::UNAUTHORIZED,
        Some(RefusalKind::LacksScopes) => StatusCode::FORBIDDEN,
        Some(RefusalKind::UnknownMethod | RefusalKind::NoSession) => StatusCode::NOT_FOUND,
        Some(RefusalKind::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
        Some(RefusalKind::TooMany) => StatusCode::TOO_MANY_REQUESTS,
        Some(RefusalKind::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
        Some(RefusalKind::Broken) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Notes that an answer goes out.
pub(super) fn sent(answer: &mut Answer) {
    answer.sent(Some(status(answer.refusal).as_u16()));
}
