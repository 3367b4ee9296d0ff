//! The session's own stream: opened by GET, for messages that belong to no request.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use serde_json::json;
use taskferry_contract::SessionId;
use tokio::sync::{mpsc, watch};

use super::super::jsonrpc::{self, RpcError};
use super::super::reply::{Event, Refusal, Reply};
use super::super::{Caller, Mcp};
use crate::bridge::Bridge;

/// An open stream keeps its session alive, and looks this often whether it still is.
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl Mcp {
    pub(in super::super) async fn legacy_stream(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
    ) -> Reply {
        if !accepts_stream(headers) {
            let text = "a GET opens an event stream; send Accept: text/event-stream";
            let error = RpcError::invalid_request(text);
            return super::refused(Refusal::new(StatusCode::NOT_ACCEPTABLE, error));
        }
        let id = match self.legacy_session(caller, headers).await {
            Ok(session) => session.id,
            Err(refusal) => return super::refused(refusal),
        };
        let (sessions, stop) = (Arc::clone(&self.sessions), self.stop.clone());
        let (changes, bridge) = (self.bridge.catalog().changes(), self.bridge.clone());
        let idle = self.settings.session_idle;
        let number = sessions.open_stream(id);
        let (events, rest) = mpsc::channel(16);
        self.tracker.spawn(async move {
            // A message goes to one stream of a session only, the newest (2025-11-25, transports, Multiple Connections).
            let speaks = || sessions.is_newest(id, number);
            tokio::select! {
                () = events.closed() => {}
                () = stop.cancelled() => {}
                () = tell_changes(changes, &events, speaks) => {}
                () = until_ended(&bridge, id, idle) => {}
            }
            sessions.close_stream(id, number);
        });
        Reply::Stream { first: None, rest }
    }
}

fn accepts_stream(headers: &HeaderMap) -> bool {
    let values: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    values.is_empty()
        || values
            .iter()
            .any(|value| value.contains("text/event-stream") || value.contains("*/*"))
}

async fn tell_changes(
    mut changes: watch::Receiver<u64>,
    events: &mpsc::Sender<Event>,
    speaks: impl Fn() -> bool,
) {
    while changes.changed().await.is_ok() {
        if !speaks() {
            continue;
        }
        let message = jsonrpc::notification("notifications/tools/list_changed", &json!({}));
        if events.send(Event::Message(message)).await.is_err() {
            return;
        }
    }
}

async fn until_ended(bridge: &Bridge, id: SessionId, idle: Duration) {
    loop {
        tokio::time::sleep(LOOK_EVERY.min(idle / 3)).await;
        // A failure says nothing about the session.
        if let Ok(None) = bridge.store().session(id).await {
            return;
        }
        if let Err(error) = bridge.store().touch_session(id, idle).await {
            tracing::warn!(session = %id, %error, "a session in use could not be kept alive");
        }
    }
}
