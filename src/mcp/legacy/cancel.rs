//! Cancelling requests: a legacy client says so with a notification, at any front end (2025-11-25, Cancellation). A plain
//! call's job is cancelled; a request that waits for another's job only ends. Tasks are cancelled by `tasks/cancel` alone.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use taskferry_contract::{Object, SessionId};

use crate::bridge::{Bridge, BridgeError, Watch};
use crate::identity::Caller;
use crate::mcp::jsonrpc::Notification;
use crate::mcp::legacy::exchange::Exchange;
use crate::mcp::legacy::request_name::digest;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CancelledParams<'a> {
    #[serde(borrow)]
    request_id: &'a RawValue,
}

/// For how long a request that begins is noted before the job behind it is known.
const BEGUN_KEPT: Duration = Duration::from_secs(60);

/// Notes that a call begins: from now on it can be cancelled at any front end, and an earlier cancel under its id does not
/// count for it.
pub(super) async fn begin_call(exchange: &Exchange<'_>) {
    begin(exchange, BEGUN_KEPT).await;
}

/// The same for a request that waits, for `lasts` at most.
pub(super) async fn begin(exchange: &Exchange<'_>, lasts: Duration) {
    let (bridge, session) = (exchange.bridge(), exchange.session.id);
    let (requests, request) = (bridge.session_requests(), digest(exchange.request.id));
    requests.begin(session, &request, lasts).await;
}

/// Notes for `kept` which job stands behind a call, and by which id it shares the job, so that it can be cancelled. True if
/// it was cancelled meanwhile, by way of another front end: then it leaves the job here.
pub(super) async fn remember(
    exchange: &Exchange<'_>,
    watch: &Watch,
    kept: Duration,
) -> Result<bool, BridgeError> {
    let (bridge, session) = (exchange.bridge(), exchange.session.id);
    let (requests, request) = (bridge.session_requests(), digest(exchange.request.id));
    requests.note_job(session, &request, watch, kept).await
}

/// Takes a notification. Only one of a cancelled request means anything here, and only if that request began: whoever
/// serves it learns of it when it next reads the job. An unknown id is ignored (2025-11-25, Cancellation, Error Handling).
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
    let (requests, request) = (bridge.session_requests(), digest(params.request_id));
    requests.cancel(session, &request, &caller.owner).await
}
