//! Cancelling requests: a legacy client says so with a notification, on any replica (2025-11-25, Cancellation). A plain
//! call's job is cancelled; a request that waits for another's job only ends. Tasks are cancelled by `tasks/cancel` alone.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use taskferry_contract::{Leaver, Object, Owner, SessionId, TaskId};

use crate::bridge::{Bridge, BridgeError, Watch, twice};
use crate::mcp::jsonrpc::Notification;
use crate::mcp::legacy::exchange::Exchange;
use crate::mcp::legacy::request_name::digest;
use crate::mcp::protocol::inbound::Caller;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CancelledParams<'a> {
    #[serde(borrow)]
    request_id: &'a RawValue,
}

/// A request that begins is known for so long until the job behind it is.
const BEGUN_KEPT: Duration = Duration::from_secs(60);

/// Notes that a call begins: from now on it can be cancelled on any replica, and nothing that was cancelled under its id
/// before has to do with it.
pub(super) async fn begin_call(exchange: &Exchange<'_>) {
    begin(exchange, BEGUN_KEPT).await;
}

/// The same of a request that waits, for `lasts` at most.
pub(super) async fn begin(exchange: &Exchange<'_>, lasts: Duration) {
    let (bridge, session) = (exchange.bridge(), exchange.session.id);
    let (store, request) = (bridge.store(), digest(exchange.request.id));
    let begun = twice(|| store.begin_session_request(session, &request, lasts)).await;
    if let Err(error) = begun {
        tracing::warn!(%session, %error, "a request cannot be cancelled by its client");
    }
}

/// Remembers for `kept` which job stands behind a call, and as whom it holds the job, so that it can be cancelled. True if
/// that has happened meanwhile, by way of another replica: then it leaves the job here.
pub(super) async fn remember(
    exchange: &Exchange<'_>,
    watch: &Watch,
    kept: Duration,
) -> Result<bool, BridgeError> {
    let (bridge, session) = (exchange.bridge(), exchange.session.id);
    let (store, request) = (bridge.store(), digest(exchange.request.id));
    if watch.has_joined() {
        let (name, holder) = (holding(watch.id(), &request), watch.holder());
        twice(|| store.note_session_call(session, &name, holder, kept)).await?;
    }
    let cancelled = twice(|| store.note_session_call(session, &request, watch.id(), kept)).await?;
    if cancelled {
        leave(bridge, watch.owner(), (watch.id(), watch.holder())).await?;
    }
    Ok(cancelled)
}

/// Takes a notification. Only one of a cancelled request means anything here, and only if that request began: whoever
/// serves it learns of it at the next look. An unknown id is ignored (2025-11-25, Cancellation, Error Handling).
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
    let Ok(Object(params)) = serde_json::from_str::<Object<CancelledParams<'_>>>(params) else {
        return Ok(());
    };
    let (store, request) = (bridge.store(), digest(params.request_id));
    let Some(task) = store.cancel_session_request(session, &request).await? else {
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
