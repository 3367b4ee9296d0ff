//! HTTP: the routes, what may come in, and how replies go out.

mod admission;
mod connections;
mod cors;
mod finish;
mod guard;
mod health;
mod respond;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use taskferry_contract::quoted;
use tokio_util::task::TaskTracker;

use crate::bridge::Bridge;
use crate::mcp::{Caller, Mcp, Reply, Stopping};
use admission::{Admission, Room};
pub(crate) use connections::serve;
use finish::Finish;
pub(crate) use guard::Guard;
use respond::{Refused, busy, respond};

/// How long a client may take to send the body of a request, which has its room meanwhile.
const BODY_WITHIN: Duration = Duration::from_secs(60);

/// How long a request that has no answer yet is left to itself once the server stops and waits no longer.
const LAST_MOMENT: Duration = Duration::from_millis(800);

/// What may come in and how answers go out.
#[derive(Debug, Clone)]
pub(crate) struct HttpSettings {
    /// The largest body, bytes.
    pub(crate) max_body_bytes: usize,
    /// The most requests that are open at once; 0 for no limit.
    pub(crate) max_requests: u64,
    /// How often a quiet stream says that it is alive.
    pub(crate) keep_alive: Duration,
    /// Which `Host` and `Origin` headers are served.
    pub(crate) guard: Guard,
    /// Who everyone is, since nothing tells callers apart.
    pub(crate) caller: Caller,
}

struct Edge {
    mcp: Arc<Mcp>,
    bridge: Bridge,
    settings: HttpSettings,
    tracker: TaskTracker,
    stopping: Stopping,
}

/// The routes of a front end. `tracker` has what outlives its client; `stopping` says that it winds down: it is no longer ready.
pub(crate) fn router(
    mcp: Arc<Mcp>,
    bridge: Bridge,
    settings: HttpSettings,
    (tracker, stopping): (TaskTracker, Stopping),
) -> Router {
    let admission = Admission::new(settings.max_requests);
    let edge = Arc::new(Edge {
        mcp,
        bridge,
        settings,
        tracker,
        stopping,
    });
    // Without a handler of its own, HEAD would open a stream as GET does.
    let endpoint = || get(open).head(other).post(post).delete(end).fallback(other);
    Router::new()
        .route("/mcp", endpoint())
        // Clients are given addresses with a slash at their end, or add one.
        .route("/mcp/", endpoint())
        .route_layer(from_fn_with_state(admission, admission::admit))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .method_not_allowed_fallback(unserved_method)
        .fallback(nowhere)
        .layer(from_fn(guard::one_host))
        .layer(from_fn_with_state(Arc::clone(&edge), cors::share))
        .with_state(edge)
}

/// Says where the endpoint is.
async fn nowhere(uri: Uri) -> (StatusCode, String) {
    let path = uri.path();
    let text = format!("nothing is served at {path:.100?}; the MCP endpoint is /mcp\n");
    (StatusCode::NOT_FOUND, text)
}

/// Turns away a method that the health checks do not have.
async fn unserved_method() -> (StatusCode, &'static str) {
    let text = "only GET is served here; the MCP endpoint is /mcp\n";
    (StatusCode::METHOD_NOT_ALLOWED, text)
}

/// Serves a message. What it begins is not left half done when its client goes away: the reply is made in any case, and
/// whoever waits behind it then learns that nobody listens.
async fn post(State(edge): State<Arc<Edge>>, request: Request<Body>) -> Response {
    unless_over(&edge, answer(Arc::clone(&edge), request)).await
}

/// The response of a request, unless the server stops and it does not come: whoever waits for a job is answered before that.
async fn unless_over(edge: &Edge, response: impl Future<Output = Response>) -> Response {
    let over = async {
        edge.stopping.over.cancelled().await;
        tokio::time::sleep(LAST_MOMENT).await;
    };
    tokio::select! {
        biased;
        response = response => response,
        () = over => {
            let text = "this server stops before it could answer; send the request again in a moment. If it was a call, it may have been queued";
            busy(text.to_owned())
        }
    }
}

async fn answer(edge: Arc<Edge>, request: Request<Body>) -> Response {
    let room = request.extensions().get::<Room>().cloned();
    let (headers, body) = match take(&edge, request).await {
        Ok(taken) => taken,
        Err(refused) => return refused.respond(),
    };
    let served = Arc::clone(&edge);
    let work = async move {
        let _held_until_then = room;
        let caller = &served.settings.caller;
        served.mcp.post(caller, &headers, &body).await
    };
    let reply = Finish::new(edge.tracker.clone(), work).await;
    respond(reply, edge.settings.keep_alive).await
}

async fn open(State(edge): State<Arc<Edge>>, headers: HeaderMap) -> Response {
    if let Err(refused) = edge.settings.guard.check(&headers) {
        return refused.respond();
    }
    let reply = edge.mcp.get(&edge.settings.caller, &headers);
    unless_over(&edge, Box::pin(send(&edge, reply))).await
}

async fn send(edge: &Edge, reply: impl Future<Output = Reply>) -> Response {
    respond(reply.await, edge.settings.keep_alive).await
}

async fn end(State(edge): State<Arc<Edge>>, headers: HeaderMap) -> Response {
    if let Err(refused) = edge.settings.guard.check(&headers) {
        return refused.respond();
    }
    let reply = edge.mcp.delete(&edge.settings.caller, &headers);
    unless_over(&edge, send(&edge, reply)).await
}

/// Turns away a method of HTTP that means nothing here.
async fn other(State(edge): State<Arc<Edge>>, headers: HeaderMap) -> Response {
    if let Err(refused) = edge.settings.guard.check(&headers) {
        return refused.respond();
    }
    let text = "POST a message, GET a session's stream, or DELETE a session".to_owned();
    let mut response = Refused::new(StatusCode::METHOD_NOT_ALLOWED, text).respond();
    let allowed = HeaderValue::from_static("GET, POST, DELETE");
    response.headers_mut().insert(header::ALLOW, allowed);
    response
}

/// Takes a message off the wire, if it may come in.
async fn take(edge: &Edge, request: Request<Body>) -> Result<(HeaderMap, Bytes), Refused> {
    let (parts, body) = request.into_parts();
    edge.settings.guard.check(&parts.headers)?;
    check_content_type(&parts.headers)?;
    check_encoding(&parts.headers)?;
    let body = read(body, edge.settings.max_body_bytes, BODY_WITHIN).await?;
    Ok((parts.headers, body))
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Refused> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let given = given.unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let text = format!(
        "the body must be JSON: send Content-Type: application/json, not {}",
        quoted(given)
    );
    Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
}

/// Bodies are taken as they are: a compressed one would be told to be no UTF-8.
fn check_encoding(headers: &HeaderMap) -> Result<(), Refused> {
    let given = headers.get_all(header::CONTENT_ENCODING).iter();
    let given: Vec<Cow<'_, str>> = given
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    let is_plain = |coding: &str| coding.is_empty() || coding.eq_ignore_ascii_case("identity");
    let mut codings = given
        .iter()
        .flat_map(|value| value.split(','))
        .map(str::trim);
    let Some(coding) = codings.find(|coding| !is_plain(coding)) else {
        return Ok(());
    };
    let text = format!(
        "the body is encoded as {coding:.40?}; send it without Content-Encoding, as plain JSON"
    );
    Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
}

async fn read(body: Body, limit: usize, within: Duration) -> Result<Bytes, Refused> {
    let body = tokio::time::timeout(within, Limited::new(body, limit).collect()).await;
    let Ok(body) = body else {
        let text = format!("the body did not come within {within:?}; send the request again");
        return Err(Refused::new(StatusCode::REQUEST_TIMEOUT, text));
    };
    match body {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let text = format!(
                "the body is larger than the {limit} bytes this server takes (its setting max_body)"
            );
            Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, text))
        }
        Err(error) => {
            let text = format!("the body ended early: {error}");
            Err(Refused::new(StatusCode::BAD_REQUEST, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let begun = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"{"))]);
        let never = stream::pending();
        let body = Body::from_stream(futures_util::StreamExt::chain(begun, never));
        let refused = read(body, 1024, Duration::from_millis(20)).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.status, StatusCode::REQUEST_TIMEOUT);
        let whole = read(Body::from("{}"), 1024, Duration::from_secs(60)).await;
        assert_eq!(whole.unwrap(), "{}");
    }
}
