//! MCP: both eras at one place, each message served by the era it speaks. What brings messages and takes replies away is a
//! matter of transports.

mod allow;
mod background;
mod dispatch;
mod edge;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod jsonrpc;
mod legacy;
mod modern;
mod protocol;
#[cfg(test)]
mod tests;
mod wait;

use std::sync::Arc;

use serde_json::value::RawValue;
use taskferry_process::{Budget, keep_running};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit;
use crate::bridge::Bridge;
use background::Background;
use dispatch::{era_by, era_of};
use edge::Edge;
pub(crate) use edge::McpSettings;
pub(crate) use edge::stopping::Stopping;
use jsonrpc::{Body, Message};
pub(crate) use jsonrpc::{Piece, RpcError, Text};
use legacy::Legacy;
use modern::Modern;
pub(crate) use protocol::answer::{Answer, RefusalKind};
pub(crate) use protocol::call_line::CallLine;
use protocol::era::Era;
pub(crate) use protocol::inbound::{Facts, Inbound, Repeated, Stated};
pub(crate) use protocol::reply::{Event, Reply, Says};

/// The protocol edge of one front end.
#[derive(Debug)]
pub(crate) struct Mcp {
    bridge: Bridge,
    legacy: Legacy,
    modern: Modern,
    event_memory: Budget,
}

impl Mcp {
    /// `tracker` has the work that outlives the request that began it.
    pub(crate) fn new(
        bridge: Bridge,
        settings: McpSettings,
        tracker: TaskTracker,
        stopping: Stopping,
    ) -> Self {
        let event_memory = Budget::new(settings.event_memory);
        let edge = Edge {
            bridge: bridge.clone(),
            event_memory: event_memory.clone(),
            settings: Arc::new(settings),
            tracker,
            stopping,
        };
        let background = Arc::new(Background::new(edge.clone()));
        Self {
            bridge,
            legacy: Legacy::new(edge.clone(), Arc::clone(&background)),
            modern: Modern::new(edge, background),
            event_memory,
        }
    }

    /// Keeps the streams of sessions awake until `stop`.
    pub(crate) async fn run(&self, stop: &CancellationToken) {
        keep_running(
            "session rings",
            stop,
            || self.legacy.pass_rings(stop),
            || {},
        )
        .await;
    }

    /// The memory for events that wait to be sent.
    pub(crate) fn event_memory(&self) -> &Budget {
        &self.event_memory
    }

    /// Takes a message, or a batch of them.
    pub(crate) async fn receive(&self, inbound: &Inbound<'_>, body: &[u8]) -> Reply {
        let read = match jsonrpc::parse(body) {
            Ok(read) => read,
            Err(malformed) => return Reply::malformed(malformed.id, &malformed.error),
        };
        let names = body.to_vec();
        let unique = move || jsonrpc::refuse_duplicates(&names);
        if let Err(error) = self.bridge.offload().run(body.len(), unique).await {
            return Reply::malformed(read.id(), &error);
        }
        match read {
            Body::One(message) => self.one(inbound, message).await,
            Body::Batch(_) if era_by(inbound.facts) == Era::Modern => Reply::malformed(
                None,
                &RpcError::invalid_request(
                    "batches are not part of this revision; send one message a request",
                ),
            ),
            Body::Batch(text) => Box::pin(self.legacy.batch(inbound, text)).await,
        }
    }

    async fn one(&self, inbound: &Inbound<'_>, message: Message<'_>) -> Reply {
        let era = era_of(inbound.facts, &message);
        let line = match &message {
            Message::Request(request) => CallLine::of(era, request),
            Message::Notification(_) | Message::Response(_) => CallLine::default(),
        };
        let id = message.id().map(RawValue::get);
        let reply = audit::about(id, self.served(inbound, era, message)).await;
        reply.with_log_line(line)
    }

    async fn served(&self, inbound: &Inbound<'_>, era: Era, message: Message<'_>) -> Reply {
        match (era, message) {
            (Era::Modern, Message::Request(request)) => {
                self.modern.request(inbound, &request).await
            }
            (Era::Modern, Message::Notification(_)) => Reply::Accepted,
            (Era::Modern, Message::Response(_)) => Reply::malformed(
                None,
                &RpcError::invalid_request("this revision has no responses from clients"),
            ),
            (Era::Legacy, message) => self.legacy.message(inbound, message).await,
        }
    }

    /// Opens the stream of a legacy session, for what belongs to no request; or goes on with that of a request.
    pub(crate) async fn open_stream(&self, inbound: &Inbound<'_>) -> Reply {
        self.legacy.open_stream(inbound).await
    }

    /// Ends a legacy session.
    pub(crate) async fn end_session(&self, inbound: &Inbound<'_>) -> Reply {
        self.legacy.end_session(inbound).await
    }
}
