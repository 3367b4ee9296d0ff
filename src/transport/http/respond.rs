//! Replies as HTTP: JSON, nothing, or an event stream.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::mcp::{Answer, CallLine, Event, Reply, Says};
use crate::transport::http::events::events;
use crate::transport::http::status::{sent, status};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// All scopes that a request needs whose caller lacks some: an extension of the response until its challenge is made.
#[derive(Debug, Clone)]
pub(super) struct ScopesNeeded(pub(super) Vec<String>);

/// That a request named a task or a session that is not there: an extension of the response.
#[derive(Debug, Clone, Copy)]
pub(super) struct NotThere;

/// Turns a reply into a response.
pub(super) async fn respond(reply: Reply, keep_alive: Duration) -> Response {
    match reply {
        Reply::Json(answer) => json(answer),
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
        } => soon((first, rest), within, keep_alive, line).await,
        Reply::Batch {
            answers,
            rest,
            within,
        } => batch(answers, rest, within, keep_alive).await,
        Reply::Stream { first, rest, line } => events(first, rest, keep_alive, line),
    }
}

pub(super) fn json(mut answer: Answer) -> Response {
    sent(&mut answer);
    let mut response = Response::new(Body::from(answer.body));
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
    if answer.not_there {
        response.extensions_mut().insert(NotThere);
    }
    let headers = response.headers_mut();
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
        })) => return json(answer.with_log_line(line)),
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
    mut answers: Vec<Answer>,
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
            })) => answers.push(answer),
            Ok(None) if answers.is_empty() => return unanswered(keep_alive),
            Ok(None) => return json(joined(answers)),
            Ok(event) => break event,
            Err(_still_running) => break None,
        }
    };
    let known = answers.into_iter().map(|answer| Event {
        id: None,
        says: Says::One(answer),
    });
    let line = CallLine::default();
    events(known.chain(next).collect(), rest, keep_alive, line)
}

/// Several answers as one array.
fn joined(answers: Vec<Answer>) -> Answer {
    let bodies = answers.into_iter().map(|mut answer| {
        sent(&mut answer);
        answer.body
    });
    let bodies: Vec<String> = bodies.collect();
    Answer::ok(format!("[{}]", bodies.join(",")))
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
