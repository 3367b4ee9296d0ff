//! Health: whether the process lives, and whether it can serve.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use tokio::sync::Mutex;

use super::Endpoint;
use crate::bridge::Bridge;

/// How long Redis may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long what it said is taken for true.
const KEPT: Duration = Duration::from_secs(1);

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
    match endpoint.readiness.now(&endpoint.bridge).await {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {reason}\n"),
        ),
    }
}

/// What Redis said last, kept for a moment: however often `/readyz` is read, Redis is asked once a second.
#[derive(Debug, Default)]
pub(super) struct Readiness(Mutex<Option<(Instant, Result<(), String>)>>);

impl Readiness {
    /// Whether requests can be served, or why not. One request asks Redis for all that come meanwhile.
    async fn now(&self, bridge: &Bridge) -> Result<(), String> {
        let mut last = self.0.lock().await;
        if let Some((asked, outcome)) = &*last
            && asked.elapsed() < KEPT
        {
            return outcome.clone();
        }
        let asked = Instant::now();
        let outcome = match tokio::time::timeout(PATIENCE, bridge.server().ready()).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err("Redis did not answer within 1 s".to_owned()),
        };
        *last = Some((asked, outcome.clone()));
        outcome
    }
}
