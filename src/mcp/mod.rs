//! MCP: both eras on one endpoint, each request served by the era it speaks.

mod background;
mod era;
mod jsonrpc;
mod legacy;
mod modern;
mod protocol;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderMap;
use taskferry_contract::Owner;
use taskferry_process::keep_running;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bridge::Bridge;
use era::Era;
pub(crate) use jsonrpc::RpcError;
use jsonrpc::{Body, Message};
pub(crate) use protocol::call_line::CallLine;
pub(crate) use protocol::reply::{Answer, Event, Reply, Says};

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Whose tasks these are.
    pub(crate) owner: Owner,
}

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

/// How far the stop of the process has come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopping {
    /// Streams that carry no answer end, and nothing new is taken.
    pub(crate) begun: CancellationToken,
    /// Requests that are still open end now.
    pub(crate) over: CancellationToken,
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

    /// Serves a POST.
    pub(crate) async fn post(&self, caller: &Caller, headers: &HeaderMap, body: &Bytes) -> Reply {
        let read = match jsonrpc::parse(body) {
            Ok(read) => read,
            Err(malformed) => return Reply::malformed(malformed.id, &malformed.error),
        };
        let names = body.clone();
        let unique = move || jsonrpc::refuse_duplicates(&names);
        if let Err(error) = self.bridge.offload().run(body.len(), unique).await {
            return Reply::malformed(read.id(), &error);
        }
        let message = match read {
            Body::One(message) => message,
            Body::Batch(text) => {
                return Box::pin(self.legacy_batch(caller, headers, text)).await;
            }
        };
        match (era::of(headers, &message), message) {
            (Era::Modern, Message::Request(request)) => {
                let line = CallLine::of(Era::Modern, &request);
                let reply = self.modern_request(caller, headers, &request).await;
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
                let reply = self.legacy_message(caller, headers, message).await;
                reply.told_by(line)
            }
        }
    }

    /// Serves a GET: the legacy session's stream, or a request's that is resumed.
    pub(crate) async fn get(&self, caller: &Caller, headers: &HeaderMap) -> Reply {
        self.legacy_stream(caller, headers).await
    }

    /// Serves a DELETE: the end of a legacy session.
    pub(crate) async fn delete(&self, caller: &Caller, headers: &HeaderMap) -> Reply {
        self.legacy_end(caller, headers).await
    }
}
