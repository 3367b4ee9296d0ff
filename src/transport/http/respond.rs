//! Replies as HTTP: JSON, nothing, or an event stream.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use taskferry_process::{Budget, Charge};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::mcp::{Answer, CallLine, Event, RefusalKind, Reply, RpcError, Says, Text};
use crate::transport::http::events::events;
use crate::transport::http::pieces::body;
use crate::transport::http::status::{sent, status};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// An answer of so many bytes of its own is not charged for: each connection has room for one of this size.
const FREE_ANSWER: usize = 4 << 10;
/// How long an answer waits for memory that others hold.
const ROOM_WITHIN: Duration = Duration::from_secs(1);

/// All scopes that a request needs whose caller lacks some: an extension of the response until its challenge is made.
#[derive(Debug, Clone)]
pub(super) struct ScopesNeeded(pub(super) Vec<String>);

/// How many tasks and sessions a request named that are not there: an extension of the response.
#[derive(Debug, Clone, Copy)]
pub(super) struct NotThere(pub(super) u32);

/// Turns a reply into a response.
pub(super) async fn respond(reply: Reply, keep_alive: Duration, memory: &Budget) -> Response {
    match reply {
        Reply::Json(answer) => charged(answer, memory).await,
        Reply::Accepted => empty(StatusCode::ACCEPTED),
        // For a stream that a client wants to resume, this status means that it must not come back (HTML, Server-sent
        // events, The EventSource interface).
        Reply::Nothing => empty(StatusCode::NO_CONTENT),
        Reply::Unanswered => unanswered(keep_alive),
        Reply::Soon {
            first,
            rest,
            within,
            line,
        } => match soon((first, rest), within).await {
            Soon::Answer(answer) => charged(answer.with_log_line(line), memory).await,
            Soon::Nothing => {
                // Without an event that has an id, no client comes back for more.
                line.unanswered();
                unanswered(keep_alive)
            }
            Soon::Stream(first, rest) => events(first, rest, keep_alive, line),
        },
        Reply::Batch {
            answers,
            rest,
            within,
        } => match batch(answers, rest, within).await {
            Soon::Answer(answer) => charged(answer, memory).await,
            Soon::Nothing => unanswered(keep_alive),
            Soon::Stream(first, rest) => events(first, rest, keep_alive, CallLine::default()),
        },
        Reply::Stream { first, rest, line } => events(first, rest, keep_alive, line),
    }
}

/// An answer as one body, once there is memory for what nobody else holds of it.
async fn charged(answer: Answer, memory: &Budget) -> Response {
    let (mut charge, own) = (memory.charge(), answer.body.own_bytes());
    if own <= FREE_ANSWER || charge.wait_for(own, ROOM_WITHIN).await {
        return sent_as_json(answer, charge);
    }
    let text = "this server has no memory for an answer of this size, since others are on their way (its setting result_memory); try again in a moment";
    let refused = Answer::error(RefusalKind::Unavailable, None, &RpcError::internal(text));
    let refused = Answer {
        body: refused.body,
        refusal: refused.refusal,
        code: refused.code,
        retry_after: Some(1),
        ..answer
    };
    sent_as_json(refused, charge)
}

/// A small answer as one body.
pub(super) fn json(answer: Answer) -> Response {
    sent_as_json(answer, Budget::new(0).charge())
}

fn sent_as_json(mut answer: Answer, charge: Charge) -> Response {
    sent(&mut answer);
    let mut response = Response::new(body(std::mem::take(&mut answer.body), charge));
    *response.status_mut() = status(answer.refusal);
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
    if !answer.needs.is_empty() {
        response.extensions_mut().insert(ScopesNeeded(answer.needs));
    }
    if answer.not_there > 0 {
        response.extensions_mut().insert(NotThere(answer.not_there));
    }
    let headers = response.headers_mut();
    if let Some(after) = answer.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(after));
    }
    response
}

/// What a request is answered with that did not wait long.
enum Soon {
    Answer(Answer),
    Nothing,
    /// The events that are known, and those to come.
    Stream(Vec<Event>, mpsc::Receiver<Event>),
}

/// The answer alone if nothing else comes within a time, else a stream.
async fn soon(
    (mut first, mut rest): (Vec<Event>, mpsc::Receiver<Event>),
    within: Duration,
) -> Soon {
    match tokio::time::timeout(within, rest.recv()).await {
        Ok(Some(Event {
            says: Says::Last(answer),
            ..
        })) => return Soon::Answer(answer),
        Ok(Some(event)) => first.push(event),
        Ok(None) => return Soon::Nothing,
        Err(_still_running) => {}
    }
    Soon::Stream(first, rest)
}

/// The answers alone if nothing else comes within a time, else a stream.
async fn batch(
    mut answers: Vec<Answer>,
    mut rest: mpsc::Receiver<Event>,
    within: Duration,
) -> Soon {
    let until = Instant::now() + within;
    let next = loop {
        match tokio::time::timeout_at(until, rest.recv()).await {
            Ok(Some(Event {
                says: Says::One(answer),
                ..
            })) => answers.push(answer),
            Ok(None) if answers.is_empty() => return Soon::Nothing,
            Ok(None) => return Soon::Answer(joined(answers)),
            Ok(event) => break event,
            Err(_still_running) => break None,
        }
    };
    let known = answers.into_iter().map(Event::one);
    Soon::Stream(known.chain(next).collect(), rest)
}

/// Several answers as one array.
fn joined(answers: Vec<Answer>) -> Answer {
    let mut all = Text::default();
    let mut before = "[";
    let (mut needs, mut not_there) = (Vec::new(), 0_u32);
    for mut answer in answers {
        sent(&mut answer);
        needs.append(&mut answer.needs);
        not_there = not_there.saturating_add(answer.not_there);
        all.push(before);
        all.append(answer.body);
        before = ",";
    }
    all.push("]");
    Answer {
        needs,
        not_there,
        ..Answer::ok(all)
    }
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
