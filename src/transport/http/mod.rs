//! HTTP: the routes, what may come in, and how replies go out.

mod body;
mod certificates;
mod connections;
mod denied;
mod events;
mod finish;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod health;
mod layers;
mod mcp_headers;
mod peers;
mod pieces;
mod refused;
mod respond;
mod status;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderValue, StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Router};
use taskferry_process::Budget;
use tokio_util::task::TaskTracker;

use crate::audit;
use crate::bridge::Bridge;
use crate::identity::{Caller, Denied, Gate};
use crate::mcp::{Inbound, Mcp, Reply, Stopping};
use body::BodyLimits;
pub(crate) use certificates::{CertificateFiles, Certificates};
use connections::{ConnectionLimits, Served};
pub(crate) use connections::{listen, serve};
use denied::with_challenge;
use finish::Finish;
use health::Readiness;
use layers::admission::{Admission, Room, admit};
pub(crate) use layers::guard::Guard;
use layers::identify::Identify;
use layers::rates::Rates;
use layers::{cors, guard, peer, stopping};
use peers::Peer;
pub(crate) use peers::TrustedProxies;
use refused::Refused;
use respond::{NotThere, ScopesNeeded, respond};

/// What may come in and how answers go out.
#[derive(Debug, Clone)]
pub(crate) struct HttpSettings {
    /// The largest body, bytes.
    pub(crate) max_body_bytes: usize,
    /// What all bodies on their way may take together, bytes.
    pub(crate) body_memory: usize,
    /// The most connections.
    pub(crate) max_connections: usize,
    /// The most requests that are open at once.
    pub(crate) max_requests: usize,
    /// How many requests a peer may make in a second; no limit if absent.
    pub(crate) address_rate: Option<NonZeroU32>,
    /// How much of either one peer may have, percent.
    pub(crate) peer_share: usize,
    /// The proxies that say who their clients are.
    pub(crate) trusted_proxies: TrustedProxies,
    /// How often a quiet stream says that it is alive.
    pub(crate) keep_alive: Duration,
    /// Which `Host` and `Origin` headers are accepted.
    pub(crate) guard: Guard,
    /// What TLS is spoken with; without, HTTP is spoken as it is.
    pub(crate) certificates: Option<Certificates>,
}

/// Heads and handshakes have one part in so many of the memory for bodies, and none of the rest: they take it by the KiB, so that
/// those of one peer would leave nothing for the body of another's request.
const OF_HEADS: usize = 4;

/// The path of the endpoint.
const ENDPOINT: &str = "/mcp";

/// What the routes need.
struct Endpoint {
    mcp: Arc<Mcp>,
    bridge: Bridge,
    gate: Arc<Gate>,
    bodies: BodyLimits,
    keep_alive: Duration,
    /// What outlives its client.
    tracker: TaskTracker,
    stopping: Stopping,
    readiness: Readiness,
}

impl HttpSettings {
    /// What one peer may have of `most`.
    fn share(&self, most: usize) -> usize {
        (most / 100)
            .saturating_mul(self.peer_share)
            .saturating_add(most % 100 * self.peer_share / 100)
            .max(1)
    }
}

/// What a front end serves to those whom `gate` knows. `tracker` has what outlives its client; `stopping` says that it winds
/// down: it is no longer ready.
pub(crate) fn router(
    (mcp, bridge): (Arc<Mcp>, Bridge),
    gate: Arc<Gate>,
    settings: HttpSettings,
    (tracker, stopping): (TaskTracker, Stopping),
) -> Served {
    let share = settings.share(settings.max_requests);
    let rates = Rates::new(settings.address_rate);
    let admission = Admission::new(settings.max_requests, share, rates);
    let (audit, parts) = (bridge.audit().clone(), bridge.memory().clone());
    let identify = Identify::by(Arc::clone(&gate), (share, parts), audit.clone());
    let limits = ConnectionLimits {
        most: settings.max_connections,
        most_of_peer: settings.share(settings.max_connections),
        trusted: settings.trusted_proxies.clone(),
    };
    let memory = Budget::new(settings.body_memory);
    let guard = Arc::new(settings.guard);
    let answers = [bridge.memory().whole().clone(), mcp.event_memory().clone()];
    let endpoint = Arc::new(Endpoint {
        mcp,
        bridge,
        gate: Arc::clone(&gate),
        bodies: BodyLimits {
            largest: settings.max_body_bytes,
            memory: memory.clone(),
        },
        keep_alive: settings.keep_alive,
        tracker,
        stopping: stopping.clone(),
        readiness: Readiness::default(),
    });
    // Without a handler of its own, HEAD would open a stream as GET does.
    let methods = || get(open).head(other).post(post).delete(end).fallback(other);
    let router = Router::new()
        .route(ENDPOINT, methods())
        // Clients are given addresses with a slash at their end, or add one.
        .route("/mcp/", methods())
        .route_layer(identify)
        .route(
            "/.well-known/oauth-protected-resource",
            get(denied::metadata),
        )
        .route(
            "/.well-known/oauth-protected-resource/{*resource}",
            get(denied::metadata),
        )
        .route_layer((
            peer::note(settings.trusted_proxies),
            from_fn_with_state(admission, admit),
            from_fn_with_state(stopping, stopping::answer_at_the_end),
            Extension(gate),
        ))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route_layer(guard::check_host_and_origin(Arc::clone(&guard), audit))
        .method_not_allowed_fallback(unserved_method)
        .fallback(nowhere)
        .layer((from_fn_with_state(guard, cors::share), guard::one_host()))
        .with_state(endpoint);
    Served {
        router,
        memory: Budget::new(settings.body_memory / OF_HEADS),
        answers,
        limits,
        certificates: settings.certificates,
    }
}

/// Says where the endpoint is.
async fn nowhere(uri: Uri) -> (StatusCode, String) {
    let path = uri.path();
    let text = format!("nothing is served at {path:.100?}; the MCP endpoint is /mcp\n");
    (StatusCode::NOT_FOUND, text)
}

/// Refuses a method that the health checks do not have.
async fn unserved_method() -> (StatusCode, &'static str) {
    let text = "only GET is served here; the MCP endpoint is /mcp\n";
    (StatusCode::METHOD_NOT_ALLOWED, text)
}

/// Counts a request of a caller, serves it, and counts if it named what is not there.
async fn counted(
    endpoint: &Endpoint,
    caller: &Caller,
    served: impl Future<Output = Response>,
) -> Response {
    let rates = endpoint.bridge.rates();
    if let Err(wait) = rates.take(&caller.owner).await {
        return Refused::too_fast("you", "owner_rate", wait).into_response();
    }
    let response = served.await;
    if let Some(NotThere(times)) = response.extensions().get() {
        rates.failed(&caller.owner, *times).await;
    }
    if response.extensions().get::<ScopesNeeded>().is_some() {
        let lacking = audit::Denied::because("a scope that the caller lacks");
        endpoint.bridge.audit().denied(audit::Denied {
            owner: Some(&caller.owner),
            ..lacking
        });
    }
    with_challenge(&endpoint.gate, response)
}

/// The response to a caller, which takes what it needs from that caller's part of the memory for answers.
async fn answered(endpoint: &Endpoint, caller: &Caller, reply: Reply) -> Response {
    let memory = endpoint.bridge.memory().of(&caller.owner);
    respond(reply, endpoint.keep_alive, &memory).await
}

/// Serves a message. Work that it begins is finished even if its client goes away: the reply is made in any case, and then
/// dropped.
async fn post(
    State(endpoint): State<Arc<Endpoint>>,
    Extension(caller): Extension<Arc<Caller>>,
    Extension(room): Extension<Room>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let by = Arc::clone(&caller);
    let served = async {
        let body = match body::take(&parts.headers, body, &endpoint.bodies).await {
            Ok(body) => body,
            Err(refused) => return refused.into_response(),
        };
        // A slow body may come in after that.
        if caller.validity.is_over() {
            let ended = Denied::Invalid("it ended before the request was whole");
            return denied::denied(&endpoint.gate, &ended);
        }
        let mcp = Arc::clone(&endpoint.mcp);
        let work = async move {
            let _held_until_then = room;
            let facts = mcp_headers::read(&parts.headers);
            let inbound = Inbound {
                caller: &by,
                address: address(&parts.extensions),
                facts: &facts,
            };
            mcp.receive(&inbound, &body.bytes).await
        };
        let reply = Finish::new(endpoint.tracker.clone(), work).await;
        answered(&endpoint, &caller, reply).await
    };
    counted(&endpoint, &caller, served).await
}

/// The address that a request comes from.
fn address(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<Peer>().map(|peer| peer.address())
}

/// Opens a stream.
async fn open(
    State(endpoint): State<Arc<Endpoint>>,
    Extension(caller): Extension<Arc<Caller>>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    if !mcp_headers::accept_events(&parts.headers) {
        let text = "a GET opens an event stream; send Accept: text/event-stream";
        return Refused::new(StatusCode::NOT_ACCEPTABLE, text.to_owned()).into_response();
    }
    let facts = mcp_headers::read(&parts.headers);
    let inbound = Inbound {
        caller: &caller,
        address: address(&parts.extensions),
        facts: &facts,
    };
    let served = Box::pin(async {
        let reply = endpoint.mcp.open_stream(&inbound).await;
        answered(&endpoint, &caller, reply).await
    });
    counted(&endpoint, &caller, served).await
}

/// Ends a session.
async fn end(
    State(endpoint): State<Arc<Endpoint>>,
    Extension(caller): Extension<Arc<Caller>>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let facts = mcp_headers::read(&parts.headers);
    let inbound = Inbound {
        caller: &caller,
        address: address(&parts.extensions),
        facts: &facts,
    };
    let served = async {
        let reply = endpoint.mcp.end_session(&inbound).await;
        answered(&endpoint, &caller, reply).await
    };
    counted(&endpoint, &caller, served).await
}

/// Refuses a method of HTTP that means nothing here.
async fn other() -> Response {
    let text = "POST a message, GET a session's stream, or DELETE a session".to_owned();
    let mut response = Refused::new(StatusCode::METHOD_NOT_ALLOWED, text).into_response();
    let allowed = HeaderValue::from_static("GET, POST, DELETE");
    response.headers_mut().insert(header::ALLOW, allowed);
    response
}
