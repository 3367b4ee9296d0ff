//! The legacy era (2025-11-25 and before): a session that initialize opens, and requests of the server to its client.

use reqwest::Method;
use serde_json::{Value, json};

use crate::params::{Declaration, message};
use crate::{Error, Http, Reply, Request};

/// A session. It is the same at every front end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// The revision that was agreed on.
    pub revision: String,
}

/// Opens a session of a revision: initialize, and the notification that it was understood.
///
/// # Errors
///
/// If the server cannot be reached, or refuses.
pub async fn open(
    http: &Http,
    url: &str,
    (revision, client): (&str, &Declaration),
) -> Result<Session, Error> {
    let mut reply = http.send(url, &initialize(revision, client)).await?;
    let answer = reply.answer().await?;
    let opened = Session::opened(&reply, &answer);
    let session = opened.ok_or_else(|| Error::NoSession(answer.to_string()))?;
    http.send(url, &session.initialized()).await?;
    Ok(session)
}

/// The first request of a session.
#[must_use]
pub fn initialize(revision: &str, client: &Declaration) -> Request {
    let params = json!({
        "protocolVersion": revision, "capabilities": client.capabilities, "clientInfo": client.info(),
    });
    Request::post(&message(0, "initialize", params))
}

impl Session {
    /// The session that was opened by initialize, if one was.
    #[must_use]
    pub fn opened(reply: &Reply, answer: &Value) -> Option<Self> {
        Some(Self {
            id: reply.header("mcp-session-id")?.to_owned(),
            revision: answer
                .pointer("/result/protocolVersion")?
                .as_str()?
                .to_owned(),
        })
    }

    /// The notification that initialize was understood.
    #[must_use]
    pub fn initialized(&self) -> Request {
        self.post(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
    }

    /// A request.
    #[must_use]
    pub fn request(&self, id: u64, method: &str, params: Value) -> Request {
        self.post(&message(id, method, params))
    }

    /// Takes a request back.
    #[must_use]
    pub fn cancel(&self, request: u64) -> Request {
        let params = json!({ "requestId": request, "reason": "enough" });
        self.post(
            &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params }),
        )
    }

    /// Answers a request of the server's, which is named by the id that it came with.
    #[must_use]
    pub fn respond(&self, id: &Value, result: Value) -> Request {
        self.post(&json!({ "jsonrpc": "2.0", "id": id, "result": result }))
    }

    /// Any message, or several in one body.
    #[must_use]
    pub fn post(&self, message: &Value) -> Request {
        self.mark(Request::post(message))
    }

    /// Opens the session's own stream; or, after an event's id, goes on with the stream that had it.
    #[must_use]
    pub fn listen(&self, last_event_id: Option<&str>) -> Request {
        self.mark(Request::new(Method::GET))
            .with("accept", "text/event-stream")
            .with("last-event-id", last_event_id.unwrap_or_default())
    }

    /// Any request as one of this session.
    #[must_use]
    pub fn mark(&self, request: Request) -> Request {
        request
            .with("mcp-session-id", &self.id)
            .with("mcp-protocol-version", &self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_names_session_and_revision() {
        let session = Session {
            id: "s".to_owned(),
            revision: "2025-11-25".to_owned(),
        };
        for request in [
            session.initialized(),
            session.request(1, "tools/list", json!({})),
            session.cancel(1),
            session.respond(&json!("0-x/key"), json!({ "action": "accept" })),
            session.listen(Some("event")),
        ] {
            for (name, value) in [
                ("mcp-session-id", "s"),
                ("mcp-protocol-version", "2025-11-25"),
            ] {
                let header = (name.to_owned(), value.to_owned());
                assert!(request.headers.contains(&header), "{request:?}");
            }
        }
        let fresh = session.listen(None);
        assert!(
            fresh
                .headers
                .iter()
                .all(|(name, _)| name != "last-event-id")
        );
    }
}
