//! The legacy era (2025-11-25 and before): sessions opened by `initialize`, tasks asked for by the client.

mod batch;
mod call;
mod cancel;
mod client_task;
mod delivery;
mod event_ids;
mod exchange;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod initialize;
mod methods;
mod own_request;
mod receiver;
mod related;
mod request_name;
mod response;
mod resume;
mod sender;
mod session;
mod sessions;
mod shown;
mod stream;
mod task;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::mcp::background::Background;
use crate::mcp::edge::Edge;
use crate::mcp::jsonrpc::Message;
use crate::mcp::protocol::inbound::Inbound;
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::reply::Reply;
use exchange::Exchange;
pub(super) use exchange::Legacy;
use sessions::Sessions;

impl Legacy {
    pub(super) fn new(edge: Edge, background: Arc<Background>) -> Self {
        Self {
            sessions: Arc::new(Sessions::new(edge.settings.session_idle)),
            edge,
            background,
        }
    }

    /// Serves a message.
    pub(super) async fn message(&self, inbound: &Inbound<'_>, message: Message<'_>) -> Reply {
        let bridge = &self.edge.bridge;
        match message {
            Message::Request(request) => {
                let reply = async {
                    if request.method == "initialize" {
                        let opened = self.initialize(inbound, &request).await?;
                        return Ok(Reply::Json(opened));
                    }
                    let session = self.session(inbound).await?;
                    let exchange = Exchange {
                        era: self,
                        caller: inbound.caller,
                        session: &session,
                        request: &request,
                    };
                    Ok(methods::request(&exchange).await)
                };
                let refused = |refusal: Refusal| Reply::Json(refusal.answer(request.id));
                reply.await.unwrap_or_else(refused)
            }
            Message::Notification(notification) => {
                let take = async {
                    let session = self.session(inbound).await?;
                    cancel::notified(bridge, inbound.caller, session.id, &notification).await?;
                    Ok(Reply::Accepted)
                };
                take.await.unwrap_or_else(refused)
            }
            Message::Response(response) => {
                let take = async {
                    let session = self.session(inbound).await?;
                    response::take(&self.edge, inbound.caller, &session, &response).await?;
                    Ok(Reply::Accepted)
                };
                take.await.unwrap_or_else(refused)
            }
        }
    }

    /// Serves several messages that came as one.
    pub(super) async fn batch(&self, inbound: &Inbound<'_>, text: &str) -> Reply {
        let reply = batch::serve(self, inbound, text).await;
        reply.unwrap_or_else(refused)
    }

    /// Opens the session's own stream, or goes on with that of a request.
    pub(super) async fn open_stream(&self, inbound: &Inbound<'_>) -> Reply {
        let reply = stream::open(self, inbound).await;
        reply.unwrap_or_else(refused)
    }

    /// Ends a session.
    pub(super) async fn end_session(&self, inbound: &Inbound<'_>) -> Reply {
        let ended = self.end(inbound).await;
        ended.map_or_else(refused, |()| Reply::Nothing)
    }

    /// Passes what the bell rings to the streams of the sessions that asked for it, until `stop`.
    pub(super) async fn pass_rings(&self, stop: &CancellationToken) {
        stream::pass_rings(self, stop).await;
    }
}

/// A refusal where there is no request to answer.
fn refused(refusal: Refusal) -> Reply {
    Reply::Json(refusal.of_no_request())
}
