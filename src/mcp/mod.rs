//! MCP: both eras on one endpoint, each request served by the era it speaks.

mod background;
mod dispatch;
mod jsonrpc;
mod legacy;
mod modern;
mod protocol;
mod stopping;
#[cfg(test)]
mod tests;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use taskferry_process::keep_running;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bridge::Bridge;
use dispatch::era_of;
pub(crate) use jsonrpc::RpcError;
use jsonrpc::{Body, Message};
pub(crate) use protocol::answer::{Answer, RefusalKind};
pub(crate) use protocol::call_line::CallLine;
use protocol::era::Era;
pub(crate) use protocol::inbound::{Caller, Facts, Inbound, Repeated, Stated};
pub(crate) use protocol::reply::{Event, Reply, Says};
pub(crate) use stopping::Stopping;

/// How the protocol is served.
#[derive(Debug, Clone)]
pub(crate) struct McpSettings {
    /// A legacy session ends when it is not used for this long.
    pub(crate) session_idle: Duration,
    /// A call that takes longer than this becomes a stream.
    pub(crate) stream_after: Duration,
    /// A call by a client that knows no tasks is handed out after this wait; never if absent.
    pub(crate) handle_after: Option<Duration>,
    /// What models are told about this server, if anything.
    pub(crate) instructions: Option<String>,
}

/// The protocol edge of one replica.
#[derive(Debug)]
pub(crate) struct Mcp {
    bridge: Bridge,
    settings: McpSettings,
    sessions: Arc<legacy::Sessions>,
    handles: Option<background::Handles>,
    /// Work that outlives the request that began it.
    tracker: TaskTracker,
    stopping: Stopping,
}

impl Mcp {
    pub(crate) fn new(
        bridge: Bridge,
        settings: McpSettings,
        tracker: TaskTracker,
        stopping: Stopping,
    ) -> Self {
        Self {
            sessions: Arc::new(legacy::Sessions::new(settings.session_idle)),
            handles: settings.handle_after.map(background::Handles::new),
            bridge,
            settings,
            tracker,
            stopping,
        }
    }

    /// Keeps the streams of sessions awake until `stop`.
    pub(crate) async fn run(&self, stop: &CancellationToken) {
        keep_running("session rings", stop, || self.legacy_rings(stop), || {}).await;
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
        let message = match read {
            Body::One(message) => message,
            Body::Batch(text) => {
                return Box::pin(self.legacy_batch(inbound, text)).await;
            }
        };
        match (era_of(inbound.facts, &message), message) {
            (Era::Modern, Message::Request(request)) => {
                let line = CallLine::of(Era::Modern, &request);
                let reply = self.modern_request(inbound, &request).await;
                reply.told_by(line)
            }
            (Era::Modern, Message::Notification(_)) => Reply::Accepted,
            (Era::Modern, Message::Response(_)) => Reply::malformed(
                None,
                &RpcError::invalid_request("this revision has no responses from clients"),
            ),
            (Era::Legacy, message) => {
                let line = match &message {
                    Message::Request(request) => CallLine::of(Era::Legacy, request),
                    _ => CallLine::default(),
                };
                let reply = self.legacy_message(inbound, message).await;
                reply.told_by(line)
            }
        }
    }

    /// Opens the stream of a legacy session, for what belongs to no request; or goes on with that of a request.
    pub(crate) async fn open_stream(&self, inbound: &Inbound<'_>) -> Reply {
        self.legacy_stream(inbound).await
    }

    /// Ends a legacy session.
    pub(crate) async fn end_session(&self, inbound: &Inbound<'_>) -> Reply {
        self.legacy_end(inbound).await
    }
}
