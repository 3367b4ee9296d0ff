//! Replies as HTTP: JSON, nothing, or an event stream.

use std::borrow::Cow;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::mcp::{Answer, Event, Reply, RpcError, Says};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// Tells proxies to pass events on as they come.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How long a client whose stream broke waits before it comes back, ms.
const RETRY_MS: u32 = 1000;

/// Turns a reply into a response.
pub(super) async fn respond(reply: Reply, keep_alive: Duration) -> Response {
    match reply {
        Reply::Json(answer) => json(answer),
        Reply::Accepted => empty(StatusCode::ACCEPTED),
        Reply::NoContent => empty(StatusCode::NO_CONTENT),
        Reply::Soon {
            first,
            rest,
            within,
        } => soon((first, rest), within, keep_alive).await,
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

/// The answer of a replica that takes no more for now.
pub(super) fn busy(text: String) -> Response {
    let error = RpcError::internal(text);
    json(Answer {
        retry_after: Some(1),
        ..Answer::error(StatusCode::SERVICE_UNAVAILABLE, None, &error)
    })
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

/// The answer alone if nothing else comes within a time, else a stream.
async fn soon(
    (mut first, mut rest): (Vec<Event>, mpsc::Receiver<Event>),
    within: Duration,
    keep_alive: Duration,
) -> Response {
    match tokio::time::timeout(within, rest.recv()).await {
        Ok(Some(Event {
            says: Says::Last(answer),
            ..
        })) => return json(answer),
        Ok(event) => first.extend(event),
        Err(_still_running) => {}
    }
    events(first, rest, keep_alive)
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn events(first: Vec<Event>, rest: mpsc::Receiver<Event>, keep_alive: Duration) -> Response {
    let state = Stream {
        first: first.into_iter(),
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
    first: std::vec::IntoIter<Event>,
    rest: mpsc::Receiver<Event>,
    keep_alive: Duration,
    ended: bool,
}

impl Stream {
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let event = match self.first.next() {
            Some(event) => event,
            None => {
                let quiet_until = Instant::now() + self.keep_alive;
                match tokio::time::timeout_at(quiet_until, self.rest.recv()).await {
                    Ok(event) => event?,
                    Err(_quiet) => return Some(Bytes::from_static(b": keep-alive\n\n")),
                }
            }
        };
        self.ended = matches!(event.says, Says::Last(_));
        Some(framed(&event))
    }
}

fn framed(event: &Event) -> Bytes {
    let id = event
        .id
        .as_ref()
        .map_or_else(String::new, |id| format!("id: {id}\n"));
    let text = match &event.says {
        Says::Nothing => return Bytes::from(format!("{id}retry: {RETRY_MS}\ndata: \n\n")),
        Says::Message(text) => text,
        Says::Last(answer) => &answer.body,
    };
    Bytes::from(format!("event: message\n{id}data: {}\n\n", data(text)))
}

/// A worker's result may hold line breaks between its JSON tokens: each line is a `data` field of its own.
fn data(text: &str) -> Cow<'_, str> {
    if text.contains(['\n', '\r']) {
        return text.replace('\r', " ").replace('\n', "\ndata: ").into();
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_several_lines_stays_one_event() {
        let framed = |text: &str| framed(&Event::message(text.to_owned()));
        assert_eq!(framed("{}"), "event: message\ndata: {}\n\n");
        assert_eq!(framed("{\r\n}"), "event: message\ndata: { \ndata: }\n\n");
    }

    #[test]
    fn a_stream_that_can_be_resumed_says_its_place_first_and_when_to_come_back() {
        let primer = framed(&Event::primer("a.b".to_owned()));
        assert_eq!(primer, "id: a.b\nretry: 1000\ndata: \n\n");
        let numbered = Event {
            id: Some("a.c".to_owned()),
            ..Event::message("{}".to_owned())
        };
        assert_eq!(framed(&numbered), "event: message\nid: a.c\ndata: {}\n\n");
    }
}
