//! Requests to the front end, and the messages that come back. Whatever is wrong is written down, and tried again elsewhere.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use serde_json::Value;
use taskferry_client::{Error, Http, Reply, Request, StatusCode};

use crate::history::{Recorder, Turned};

/// How long a request that does not wait for a job may take.
pub(crate) const PROMPT: Duration = Duration::from_secs(3);
/// How long one that waits for a job may.
pub(crate) const PATIENT: Duration = Duration::from_secs(8);

/// Why there is no answer; the caller tries elsewhere.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The session is not known (any more).
    NoSession,
    /// Anything else: refused, reset, timed out, unavailable, cut short.
    Broken,
}

impl From<Error> for Unanswered {
    fn from(_whatever: Error) -> Self {
        Self::Broken
    }
}

/// The replicas of the front end, any of which takes any request.
#[derive(Debug, Clone)]
pub(crate) struct Replicas {
    http: Http,
    endpoints: Vec<String>,
    recorder: Arc<Recorder>,
}

impl Replicas {
    pub(crate) fn new(endpoints: Vec<String>, recorder: &Arc<Recorder>) -> Result<Self, Error> {
        Ok(Self {
            http: Http::new()?,
            endpoints,
            recorder: Arc::clone(recorder),
        })
    }

    /// Each of them, as if it were alone.
    pub(crate) fn each(&self) -> impl Iterator<Item = Self> {
        self.endpoints.iter().map(|endpoint| Self {
            endpoints: vec![endpoint.clone()],
            ..self.clone()
        })
    }

    /// Sends a request to any, which must answer within `patience` to the end. What is turned away is noted.
    pub(crate) async fn send(
        &self,
        request: &Request,
        patience: Duration,
    ) -> Result<Reply, Unanswered> {
        let http = self.http.within(patience);
        let mut reply = http.send(self.any(), request).await?;
        let status = reply.status();
        if status.is_client_error() || status.is_server_error() {
            self.recorder.turned(turned(&mut reply).await);
            return Err(if status == StatusCode::NOT_FOUND {
                Unanswered::NoSession
            } else {
                Unanswered::Broken
            });
        }
        Ok(reply)
    }

    fn any(&self) -> &str {
        let any = rand::rng().random_range(0..self.endpoints.len().max(1));
        self.endpoints.get(any).map_or("", String::as_str)
    }
}

async fn turned(reply: &mut Reply) -> Turned {
    let body = reply.text().await.unwrap_or_default();
    let error: Value = serde_json::from_str(&body).unwrap_or_default();
    let error = error.get("error").unwrap_or(&Value::Null);
    let message = error.get("message").and_then(Value::as_str);
    Turned {
        status: reply.status().as_u16(),
        retry_after: reply.header("retry-after").is_some(),
        code: error
            .get("code")
            .and_then(Value::as_i64)
            .unwrap_or_default(),
        message: message.unwrap_or(&body).to_owned(),
    }
}
