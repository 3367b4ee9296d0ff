//! The modern era (2026-07-28): every request carries its revision and capabilities; tasks are the extension
//! `io.modelcontextprotocol/tasks`.

mod call;
mod delivery;
mod envelope;
mod exchange;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod input;
mod listen;
mod questions;
mod repeated;
mod result;
mod server;
mod task;

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::mcp::background::Background;
use crate::mcp::edge::Edge;
use crate::mcp::jsonrpc::{self, Request, RpcError};
use crate::mcp::protocol::answer::{Answer, RefusalKind};
use crate::mcp::protocol::inbound::Inbound;
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::reply::Reply;
use envelope::Envelope;
use exchange::Exchange;
pub(super) use exchange::Modern;
use result::complete;

impl Modern {
    pub(super) fn new(edge: Edge, background: Arc<Background>) -> Self {
        Self { edge, background }
    }

    /// Serves a request.
    pub(super) async fn request(&self, inbound: &Inbound<'_>, request: &Request<'_>) -> Reply {
        match self.serve(inbound, request).await {
            Ok(reply) => reply,
            Err(refusal) => Reply::Json(refusal.answer(request.id)),
        }
    }

    async fn serve(&self, inbound: &Inbound<'_>, request: &Request<'_>) -> Result<Reply, Refusal> {
        let envelope = Envelope::read(inbound.facts, request)?;
        let exchange = Exchange {
            era: self,
            caller: inbound.caller,
            facts: inbound.facts,
            envelope: &envelope,
            request,
        };
        let done = |(): ()| written(request, &complete(json!({})));
        let body = match request.method.as_ref() {
            "server/discover" => written(request, &complete(server::discovery(&exchange))),
            "tools/list" => server::tools(&exchange)?,
            "tools/call" => return Box::pin(call::call(&exchange)).await,
            "tasks/get" => return Ok(Reply::Json(Answer::ok(task::get(&exchange).await?))),
            "tasks/update" => task::update(&exchange).await.map(done)?,
            "tasks/cancel" => task::cancel(&exchange).await.map(done)?,
            "subscriptions/listen" => return listen::listen(&exchange).await,
            unknown => {
                let error = RpcError::unknown_method(unknown);
                return Err(Refusal::new(RefusalKind::UnknownMethod, error));
            }
        };
        Ok(Reply::Json(Answer::ok(body)))
    }
}

fn written(request: &Request<'_>, result: &impl Serialize) -> String {
    jsonrpc::success(request.id, result)
}
