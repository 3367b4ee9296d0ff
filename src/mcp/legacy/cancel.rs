//! Cancelling plain calls: a legacy client says so with a notification, on any replica (2025-11-25, Cancellation). Tasks
//! are cancelled by `tasks/cancel` alone.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use taskferry_contract::{SessionId, TaskId};

use super::super::Caller;
use super::super::jsonrpc::Notification;
use crate::bridge::{Bridge, BridgeError};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CancelledParams<'a> {
    #[serde(borrow)]
    request_id: &'a RawValue,
}

/// Remembers for `kept` which job stands behind a request, so that it can be cancelled.
pub(super) async fn remember(
    bridge: &Bridge,
    session: SessionId,
    request: &RawValue,
    (task, kept): (TaskId, Duration),
) -> Result<(), BridgeError> {
    let request = digest(request);
    Ok(bridge
        .store()
        .note_session_call(session, &request, task, kept)
        .await?)
}

/// Takes a notification. Only one of a cancelled request means anything here; one that cancels nothing is passed over.
pub(super) async fn notified(
    bridge: &Bridge,
    caller: &Caller,
    session: SessionId,
    notification: &Notification<'_>,
) -> Result<(), BridgeError> {
    if notification.method != "notifications/cancelled" {
        return Ok(());
    }
    let params = notification.params.map_or("{}", RawValue::get);
    let Ok(params) = serde_json::from_str::<CancelledParams<'_>>(params) else {
        return Ok(());
    };
    let request = digest(params.request_id);
    let Some(task) = bridge.store().session_call(session, &request).await? else {
        return Ok(());
    };
    match bridge.cancel_call(task, &caller.owner).await {
        Ok(()) | Err(BridgeError::NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}

/// An id may be of any length and hold anything; a key may not.
fn digest(request: &RawValue) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(request.get().as_bytes()))
}
