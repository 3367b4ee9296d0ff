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

use crate::mcp::{Answer, CallLine, Event, Reply, RpcError, Says};

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
        Reply::Unanswered => unanswered(keep_alive),
        Reply::Soon {
            first,
            rest,
            within,
            line,
        } => soon((first, rest), within, keep_alive, line).await,
        Reply::Batch {
            answers,
            rest,
            within,
        } => batch(answers, rest, within, keep_alive).await,
        Reply::Stream { first, rest, line } => events(first, rest, keep_alive, line),
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
    line: CallLine,
) -> Response {
    match tokio::time::timeout(within, rest.recv()).await {
        Ok(Some(Event {
            says: Says::Last(answer),
            ..
        })) => {
            line.answered(&answer);
            return json(answer);
        }
        Ok(Some(event)) => first.push(event),
        // Without an event that has an id, no client comes back for more.
        Ok(None) => {
            line.unanswered();
            return unanswered(keep_alive);
        }
        Err(_still_running) => {}
    }
    events(first, rest, keep_alive, line)
}

/// The answers alone if nothing else comes within a time, else a stream.
async fn batch(
    mut answers: Vec<String>,
    mut rest: mpsc::Receiver<Event>,
    within: Duration,
    keep_alive: Duration,
) -> Response {
    let until = Instant::now() + within;
    let next = loop {
        match tokio::time::timeout_at(until, rest.recv()).await {
            Ok(Some(Event {
                says: Says::One(answer),
                ..
            })) => answers.push(answer.body),
            Ok(None) if answers.is_empty() => return unanswered(keep_alive),
            Ok(None) => return json(Answer::ok(format!("[{}]", answers.join(",")))),
            Ok(event) => break event,
            Err(_still_running) => break None,
        }
    };
    let known = answers.into_iter().map(|body| Event {
        id: None,
        says: Says::One(Answer::ok(body)),
    });
    let line = CallLine::default();
    events(known.chain(next).collect(), rest, keep_alive, line)
}

/// A stream that ends without a message: the one way in which a request may have no answer (2025-11-25, Sending Messages to
/// the Server; Cancellation).
fn unanswered(keep_alive: Duration) -> Response {
    let (_nothing, rest) = mpsc::channel(1);
    events(Vec::new(), rest, keep_alive, CallLine::default())
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn events(
    first: Vec<Event>,
    rest: mpsc::Receiver<Event>,
    keep_alive: Duration,
    line: CallLine,
) -> Response {
    let state = Stream {
        first: first.into_iter(),
        rest,
        keep_alive,
        line: Some(line),
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
    /// Says how it went, once; dropped with this, that the client left.
    line: Option<CallLine>,
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
                    Ok(Some(event)) => event,
                    Ok(None) => {
                        self.line.take().into_iter().for_each(CallLine::unanswered);
                        return None;
                    }
                    Err(_quiet) => return Some(Bytes::from_static(b": keep-alive\n\n")),
                }
            }
        };
        if let Says::Last(answer) = &event.says {
            self.ended = true;
            let line = self.line.take();
            line.into_iter().for_each(|line| line.answered(answer));
        }
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
        Says::One(answer) | Says::Last(answer) => &answer.body,
    };
    Bytes::from(format!("event: message\n{id}data: {}\n\n", data(text)))
}

/// What some readers of event streams take for the end of a line, though only CR and LF end one: U+0085, U+2028 and U+2029.
/// JSON has them nowhere but in strings, where an escape says the same.
const LINE_ENDS: [(char, &str); 3] = [
    ('\u{85}', "\\u0085"),
    ('\u{2028}', "\\u2028"),
    ('\u{2029}', "\\u2029"),
];

/// JSON as the data of an event. A worker's result may hold line breaks between its tokens: each line is a `data` field of
/// its own.
fn data(text: &str) -> Cow<'_, str> {
    let mut rest = text;
    let mut framed = String::new();
    while let Some(at) = next_special(rest) {
        let (before, special) = rest.split_at(at);
        let mut characters = special.chars();
        let special = characters.next();
        framed.push_str(before);
        framed.push_str(match special {
            Some('\n') => "\ndata: ",
            Some('\r') => " ",
            Some(other) => LINE_ENDS
                .iter()
                .find(|(end, _)| *end == other)
                .map_or("", |(_, escape)| escape),
            None => "",
        });
        rest = characters.as_str();
    }
    if framed.is_empty() {
        return text.into();
    }
    framed.push_str(rest);
    framed.into()
}

/// Where the first character stands that an event's data cannot hold. Almost every byte is passed over for its value alone.
fn next_special(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut from = 0;
    loop {
        let may_be = |byte: &u8| matches!(byte, b'\n' | b'\r' | 0xC2 | 0xE2);
        let at = from + bytes.get(from..)?.iter().position(may_be)?;
        match bytes.get(at..)? {
            [b'\n' | b'\r', ..] | [0xC2, 0x85, ..] | [0xE2, 0x80, 0xA8 | 0xA9, ..] => {
                return Some(at);
            }
            _ => from = at + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Event {
        Event {
            id: None,
            says: Says::Message(text.to_owned()),
        }
    }

    #[test]
    fn text_of_several_lines_stays_one_event() {
        let framed = |text: &str| framed(&message(text));
        assert_eq!(framed("{}"), "event: message\ndata: {}\n\n");
        assert_eq!(framed("{\r\n}"), "event: message\ndata: { \ndata: }\n\n");
    }

    #[test]
    fn what_some_readers_take_for_a_line_end_is_escaped_and_nothing_else_is() {
        let text = "{\"a\u{2028}\": \"\u{85}x\u{2029}\u{2029}\\n\"}";
        assert_eq!(data(text), r#"{"a\u2028": "\u0085x\u2029\u2029\n"}"#);
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&data(text)), read(text));
        // Their bytes begin others too, and stand in the middle of some.
        let untouched =
            "{\"é\u{84}\u{86}\u{a0}\": \"—…‧\u{202a}\u{2005}€世\u{e2}\u{c2}😀\u{2028f}\"}";
        assert!(matches!(data(untouched), Cow::Borrowed(same) if same == untouched));
        assert_eq!(data("\u{85}\n\r"), "\\u0085\ndata:  ");
    }

    #[test]
    fn a_stream_that_can_be_resumed_says_its_place_first_and_when_to_come_back() {
        let primer = framed(&Event::primer("a.b".to_owned()));
        assert_eq!(primer, "id: a.b\nretry: 1000\ndata: \n\n");
        let numbered = Event {
            id: Some("a.c".to_owned()),
            ..message("{}")
        };
        assert_eq!(framed(&numbered), "event: message\nid: a.c\ndata: {}\n\n");
    }
}
