//! Web pages of other origins that are served: a browser asks first whether a page may send what it wants to send, and shows
//! it answers only if they name its origin (Fetch, CORS protocol).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::transport::http::layers::guard::Guard;

/// What a page may do here.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE");
/// The headers of an answer that a page may read.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("Mcp-Session-Id, Retry-After, WWW-Authenticate");
/// How long a browser may remember the answer to a preflight request, s; none does for longer.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// Serves a request, and lets a page of an origin that is served see the answer. Others are refused by a later layer.
pub(in crate::transport::http) async fn share(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let served = |_: &HeaderValue| guard.judge(request.headers()).is_ok();
    let origin = request.headers().get(header::ORIGIN).cloned();
    let Some(origin) = origin.filter(served) else {
        return next.run(request).await;
    };
    let mut response = match preflight(&request) {
        Some(response) => response,
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    response
}

/// The answer to a browser that asks what a page may send. It may send the headers that it wants to: tools name some of them,
/// and all are checked when they come.
fn preflight(request: &Request) -> Option<Response> {
    let asked = request.headers();
    if request.method() != Method::OPTIONS
        || !asked.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    Some(response)
}
