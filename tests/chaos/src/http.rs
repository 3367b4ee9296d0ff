//! Requests to the front end, and the messages that come back, whether as JSON or as an event stream.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::Value;

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

/// What a request is answered with, message by message.
#[derive(Debug)]
pub(crate) struct Messages {
    response: Option<Response>,
    text: String,
    ready: VecDeque<Value>,
    streamed: bool,
}

pub(crate) fn client() -> anyhow::Result<Client> {
    Ok(Client::builder()
        .no_proxy()
        .connect_timeout(Duration::from_secs(2))
        .build()?)
}

impl Messages {
    pub(crate) async fn of(
        recorder: &Recorder,
        request: RequestBuilder,
        patience: Duration,
    ) -> Result<Self, Unanswered> {
        let sent = request.timeout(patience).send().await;
        let response = sent.map_err(|_broken| Unanswered::Broken)?;
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            recorder.turned(turned(response).await);
            return Err(if status == StatusCode::NOT_FOUND {
                Unanswered::NoSession
            } else {
                Unanswered::Broken
            });
        }
        let kind = response.headers().get("content-type");
        let streamed = kind.is_some_and(|kind| kind == "text/event-stream");
        Ok(Self {
            response: Some(response),
            text: String::new(),
            ready: VecDeque::new(),
            streamed,
        })
    }

    /// The session that it opens.
    pub(crate) fn session(&self) -> Option<String> {
        let header = self.response.as_ref()?.headers().get("mcp-session-id")?;
        Some(header.to_str().ok()?.to_owned())
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Result<Value, Unanswered> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(message);
            }
            let response = self.response.as_mut().ok_or(Unanswered::Broken)?;
            let chunk = response.chunk().await;
            match chunk.map_err(|_broken| Unanswered::Broken)? {
                Some(bytes) => self.text.push_str(&String::from_utf8_lossy(&bytes)),
                None => self.response = None,
            }
            self.parse();
        }
    }

    /// The answer: the first message that is one. What comes before is passed by.
    pub(crate) async fn answer(&mut self) -> Result<Value, Unanswered> {
        loop {
            let message = self.next().await?;
            if is_answer(&message) {
                return Ok(message);
            }
        }
    }

    fn parse(&mut self) {
        if !self.streamed {
            if self.response.is_none() {
                self.ready.extend(serde_json::from_str(&self.text).ok());
            }
            return;
        }
        while let Some((event, rest)) = self.text.split_once("\n\n") {
            let data: Vec<&str> = event
                .lines()
                .filter_map(|line| line.strip_prefix("data: "))
                .collect();
            self.ready
                .extend(serde_json::from_str(&data.join("\n")).ok());
            self.text = rest.to_owned();
        }
    }
}

async fn turned(response: Response) -> Turned {
    let status = response.status().as_u16();
    let retry_after = response.headers().contains_key("retry-after");
    let body = response.text().await.unwrap_or_default();
    let error: Value = serde_json::from_str(&body).unwrap_or_default();
    let error = error.get("error").unwrap_or(&Value::Null);
    let message = error.get("message").and_then(Value::as_str);
    Turned {
        status,
        retry_after,
        code: error
            .get("code")
            .and_then(Value::as_i64)
            .unwrap_or_default(),
        message: message.unwrap_or(&body).to_owned(),
    }
}

/// Whether a message answers the request; else it is a notification, or a request to the client.
pub(crate) fn is_answer(message: &Value) -> bool {
    message.get("result").is_some() || message.get("error").is_some()
}
