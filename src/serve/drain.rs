//! How a front end stops: open requests end by themselves, or are ended.

use std::pin::Pin;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::mcp::Stopping;

/// Serves until the stop, and then until every request ended: by itself within `timeout`, or else by being cut off. False
/// if some did not end even so.
pub(super) async fn drain(
    mut serving: Pin<&mut impl Future<Output = ()>>,
    stopping: &Stopping,
    timeout: Duration,
) -> bool {
    tokio::select! {
        () = serving.as_mut() => return true,
        () = overdue(&stopping.begun, timeout) => {}
    }
    tracing::warn!(drain_timeout = ?timeout, "requests are still open at the end of drain_timeout; each is ended now");
    stopping.over.cancel();
    tokio::time::timeout(Stopping::LAST_ANSWERS, serving)
        .await
        .is_ok()
}

async fn overdue(stop: &CancellationToken, timeout: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(timeout).await;
}
