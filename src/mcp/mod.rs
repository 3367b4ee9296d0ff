//! MCP: both eras on one endpoint, each request served by the era it speaks.

mod amount;
mod call_line;
mod capabilities;
mod era;
mod follow;
mod handle;
mod idempotency;
mod jsonrpc;
mod legacy;
mod log;
mod modern;
mod number;
mod object;
mod outgoing;
mod pace;
mod progress;
mod reply;
#[cfg(test)]
mod sample;
mod standing;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderMap;
use taskferry_contract::{Owner, keep_running};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bridge::Bridge;
pub(crate) use call_line::CallLine;
use era::Era;
pub(crate) use jsonrpc::RpcError;
use jsonrpc::{Body, Message};
pub(crate) use reply::{Answer, Event, Reply, Says};

/// The revision of the modern era.
pub(crate) const MODERN: &str = "2026-07-28";
/// The revisions of the legacy era, newest first.
pub(crate) const LEGACY: [&str; 3] = ["2025-11-25", "2025-06-18", "2025-03-26"];
/// The legacy revision that has tasks.
pub(crate) const LEGACY_WITH_TASKS: &str = "2025-11-25";
/// The extension that has tasks in the modern era.
pub(crate) const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

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
    handles: Option<handle::Handles>,
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
            handles: settings.handle_after.map(handle::Handles::new),
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
