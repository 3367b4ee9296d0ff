//! Answers to those whose credential does not suffice, with what a client needs to get another one (RFC 6750, RFC 9728).

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};

use crate::identity::{Denied, Gate};
use crate::transport::http::Endpoint;
use crate::transport::http::refused::Refused;
use crate::transport::http::respond::ScopesNeeded;

/// The answer to a request of nobody.
pub(super) fn denied(gate: &Gate, why: &Denied) -> Response {
    let refused = match why {
        Denied::Missing => Refused::new(
            StatusCode::UNAUTHORIZED,
            "this server asks for a token or a key: send Authorization: Bearer".to_owned(),
        ),
        Denied::Malformed(why) => Refused::new(StatusCode::BAD_REQUEST, (*why).to_owned()),
        Denied::Invalid(why) => Refused::new(StatusCode::UNAUTHORIZED, (*why).to_owned()),
        Denied::NoKeys => Refused::for_now(
            "the keys of the token's issuer are not known yet; try again in a moment".to_owned(),
        ),
    };
    challenged(refused.into_response(), gate.challenge(why))
}

/// The answer with what its client needs to get a better credential, if that would help.
pub(super) fn with_challenge(gate: &Gate, mut response: Response) -> Response {
    let challenge = match response.status() {
        StatusCode::FORBIDDEN => {
            let needed = response.extensions_mut().remove::<ScopesNeeded>();
            needed.and_then(|ScopesNeeded(needed)| gate.scope_challenge(&needed))
        }
        StatusCode::UNAUTHORIZED => gate.challenge(&Denied::Invalid("it ended while this waited")),
        _ => None,
    };
    challenged(response, challenge)
}

fn challenged(mut response: Response, challenge: Option<String>) -> Response {
    let challenge = challenge.and_then(|challenge| HeaderValue::try_from(challenge).ok());
    if let Some(challenge) = challenge {
        let headers = response.headers_mut();
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Serves what a client reads to find where it gets a token.
pub(super) async fn metadata(
    State(endpoint): State<Arc<Endpoint>>,
    Extension(gate): Extension<Arc<Gate>>,
    uri: Uri,
) -> Response {
    let tools = endpoint.bridge.catalog().all();
    let scopes = tools.iter().flat_map(|tool| {
        let definition = &tool.definition;
        definition
            .scopes
            .iter()
            .chain(&definition.task_scopes)
            .cloned()
    });
    let Some(metadata) = gate.metadata(uri.path(), super::ENDPOINT, scopes) else {
        return super::nowhere(uri).await.into_response();
    };
    let mut response = Response::new(Body::from(metadata));
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    let a_minute = HeaderValue::from_static("max-age=60");
    headers.insert(header::CACHE_CONTROL, a_minute);
    response
}
