//! Health: whether the process lives, and whether it can serve.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;

use super::Endpoint;

/// How long Redis may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(1);

/// The process answers.
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// Redis answers, knows every transition and is used with a contract that this program keeps, and the process is not
/// winding down.
pub(super) async fn ready(State(endpoint): State<Arc<Endpoint>>) -> (StatusCode, String) {
    if endpoint.stopping.begun.is_cancelled() {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: winding down\n".to_owned(),
        );
    }
    match tokio::time::timeout(PATIENCE, endpoint.bridge.server().ready()).await {
        Ok(Ok(())) => (StatusCode::OK, "ready\n".to_owned()),
        Ok(Err(reason)) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {reason}\n"),
        ),
        Err(_elapsed) => {
            let text = "not ready: Redis did not answer within 1 s\n".to_owned();
            (StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }
}
