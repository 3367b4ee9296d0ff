//! Cancelling requests: a legacy client says so with a notification, on any replica (2025-11-25, Cancellation). A plain
//! call's job is cancelled; a request that waits for another's job only ends. Tasks are cancelled by `tasks/cancel` alone.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use taskferry_contract::{Leaver, Owner, SessionId, TaskId};

use super::super::Caller;
use super::super::jsonrpc::Notification;
use crate::bridge::{Bridge, BridgeError, Watch, twice};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CancelledParams<'a> {
    #[serde(borrow)]
    request_id: &'a RawValue,
}

/// Remembers for `kept` which job stands behind a request, and as whom it holds the job, so that it can be cancelled. One
/// that was cancelled already, by a notification that came by way of a faster replica, leaves the job here.
pub(super) async fn remember(
    bridge: &Bridge,
    session: SessionId,
    request: &RawValue,
    (watch, kept): (&Watch, Duration),
) -> Result<(), BridgeError> {
    let (store, request) = (bridge.store(), digest(request));
    if watch.has_joined() {
        let (name, holder) = (holding(watch.id(), &request), watch.holder());
        twice(|| store.note_session_call(session, &name, holder, kept)).await?;
    }
    let cancelled = twice(|| store.note_session_call(session, &request, watch.id(), kept)).await?;
    if cancelled {
        leave(bridge, watch.owner(), (watch.id(), watch.holder())).await?;
    }
    Ok(())
}

/// Takes a notification. Only one of a cancelled request means anything here. Where no call is noted, the cancellation is:
/// whoever waits under that id learns of it at the next look, and so does a call that follows soon.
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
    let (store, request) = (bridge.store(), digest(params.request_id));
    let Some(task) = store.cancel_session_call(session, &request).await? else {
        return Ok(());
    };
    let holder = store
        .session_call(session, &holding(task, &request))
        .await?;
    leave(bridge, &caller.owner, (task, holder.unwrap_or(task))).await
}

/// Takes a request that was cancelled off the job.
async fn leave(
    bridge: &Bridge,
    owner: &Owner,
    (task, holder): (TaskId, TaskId),
) -> Result<(), BridgeError> {
    let leaver = Leaver {
        holder,
        on_purpose: true,
    };
    match bridge.leave_call(task, owner, leaver).await {
        Ok(()) | Err(BridgeError::NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Where it stands as whom a request holds a job that it joined.
fn holding(task: TaskId, request: &str) -> String {
    format!("holding-{task}-{request}")
}

/// An id may be of any length and hold anything; a key may not.
pub(super) fn digest(request: &RawValue) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(request.get().as_bytes()))
}
