//! Replies as HTTP: JSON, nothing, or an event stream.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::mcp::{Answer, Event, Reply, RpcError};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// Tells proxies to pass events on as they come.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Turns a reply into a response.
pub(super) fn respond(reply: Reply, keep_alive: Duration) -> Response {
    match reply {
        Reply::Json(answer) => json(answer),
        Reply::Accepted => empty(StatusCode::ACCEPTED),
        Reply::NoContent => empty(StatusCode::NO_CONTENT),
        Reply::Stream { first, rest } => events(first, rest, keep_alive),
    }
}

/// A refusal at the edge, before any message was read.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    text: String,
}

impl Refused {
    pub(super) fn new(status: StatusCode, text: String) -> Self {
        Self { status, text }
    }

    /// A JSON-RPC error without id.
    pub(super) fn respond(self) -> Response {
        let error = RpcError::invalid_request(self.text);
        json(Answer::error(self.status, None, &error))
    }
}

fn json(answer: Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if let Some(session) = answer.session
        && let Ok(session) = HeaderValue::from_str(&session.to_string())
    {
        headers.insert(SESSION, session);
    }
    if let Some(after) = answer.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(after));
    }
    response
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn events(first: Option<Event>, rest: mpsc::Receiver<Event>, keep_alive: Duration) -> Response {
    let state = Stream {
        first,
        rest,
        keep_alive,
        ended: false,
    };
    let body = stream::unfold(state, |mut state| async move {
        let chunk = state.next().await?;
        Some((Ok::<_, Infallible>(chunk), state))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    );
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

struct Stream {
    first: Option<Event>,
    rest: mpsc::Receiver<Event>,
    keep_alive: Duration,
    ended: bool,
}

impl Stream {
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let event = match self.first.take() {
            Some(event) => event,
            None => {
                let quiet_until = Instant::now() + self.keep_alive;
                match tokio::time::timeout_at(quiet_until, self.rest.recv()).await {
                    Ok(event) => event?,
                    Err(_quiet) => return Some(Bytes::from_static(b": keep-alive\n\n")),
                }
            }
        };
        Some(match event {
            Event::Message(text) => framed(&text),
            Event::Last(answer) => {
                self.ended = true;
                framed(&answer.body)
            }
        })
    }
}

/// One event. A worker's result may hold line breaks between its JSON tokens: each line is a `data` field of its own.
fn framed(text: &str) -> Bytes {
    if text.contains(['\n', '\r']) {
        let data = text.replace('\r', " ").replace('\n', "\ndata: ");
        return Bytes::from(format!("event: message\ndata: {data}\n\n"));
    }
    Bytes::from(format!("event: message\ndata: {text}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_several_lines_stays_one_event() {
        assert_eq!(framed("{}"), "event: message\ndata: {}\n\n");
        assert_eq!(framed("{\r\n}"), "event: message\ndata: { \ndata: }\n\n");
    }
}
