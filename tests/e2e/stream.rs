//! An open event stream, read message by message.

use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::client::{Legacy, MODERN, Modern, events};
use crate::schema::check;

/// How long a message may take to reach the client.
const SOON: Duration = Duration::from_secs(20);
/// The same where keep-alives come meanwhile.
const AT_LAST: Duration = Duration::from_secs(60);

pub(crate) struct Stream {
    response: Response,
    text: String,
    read: usize,
    revision: String,
    /// That of the request which the stream answers.
    method: String,
}

impl Stream {
    /// A subscription's.
    pub(crate) fn of(response: Response) -> Self {
        Self::with(response, MODERN, "subscriptions/listen")
    }

    /// That of a modern call.
    pub(crate) async fn call(client: &Modern, params: Value) -> Self {
        Self::with(
            client.open("tools/call", params).await,
            MODERN,
            "tools/call",
        )
    }

    fn with(response: Response, revision: &str, method: &str) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        Self {
            response,
            text: String::new(),
            read: 0,
            revision: revision.to_owned(),
            method: method.to_owned(),
        }
    }

    pub(crate) async fn post(session: &Legacy, id: u64, method: &str, params: Value) -> Self {
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        check(&session.revision, None, &body);
        let response = open(session, Method::POST, &[], Some(body)).await;
        Self::with(response, &session.revision, method)
    }

    /// That of several messages in one body.
    pub(crate) async fn batch(session: &Legacy, messages: Value) -> Self {
        let response = open(session, Method::POST, &[], Some(messages)).await;
        Self::with(response, &session.revision, "tools/call")
    }

    pub(crate) async fn get(session: &Legacy) -> Self {
        let response = open(session, Method::GET, &[], None).await;
        Self::with(response, &session.revision, "tools/call")
    }

    /// Goes on after an event, of a stream whose answer is a tool's result.
    pub(crate) async fn resume(session: &Legacy, last: &str) -> Self {
        Self::with(resume(session, last).await, &session.revision, "tools/call")
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Value {
        self.next_or_end().await.expect("an open stream")
    }

    /// The next message, if the stream does not end before.
    pub(crate) async fn next_or_end(&mut self) -> Option<Value> {
        let message = tokio::time::timeout(AT_LAST, self.message());
        message.await.expect("a message in time")
    }

    async fn message(&mut self) -> Option<Value> {
        loop {
            let message = events(self.whole()).into_iter().nth(self.read);
            if let Some(message) = message {
                self.read += 1;
                check(&self.revision, Some(&self.method), &message);
                return Some(message);
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// The next message of a method, or the answer.
    pub(crate) async fn until(&mut self, method: &str) -> Value {
        loop {
            let message = self.next().await;
            if message["method"] == method || message.get("result").is_some() {
                return message;
            }
        }
    }

    /// Waits until an event says this.
    pub(crate) async fn says(&mut self, part: &str) {
        while !self.whole().contains(part) {
            assert!(self.fill().await, "{part} in {}", self.text);
        }
    }

    /// All of it as it was sent, once it has ended.
    pub(crate) async fn read_to_end(mut self) -> String {
        while self.fill().await {}
        self.text
    }

    /// What comes next as it was sent, once it is there.
    pub(crate) async fn first_event(&mut self) -> String {
        while self.whole().is_empty() {
            assert!(self.fill().await, "an open stream");
        }
        self.blocks()[0].to_owned()
    }

    /// The id of the message that was read last, or of the event before all messages.
    pub(crate) fn last_id(&self) -> String {
        let mut seen = 0;
        let mut last = None;
        for block in self.blocks() {
            seen += events(block).len();
            if seen > self.read {
                break;
            }
            last = block.lines().find_map(|line| line.strip_prefix("id: "));
        }
        last.expect("an id").to_owned()
    }

    /// The events that came so far, without comments.
    fn blocks(&self) -> Vec<&str> {
        let blocks = self.whole().split("\n\n");
        blocks.filter(|block| !block.starts_with(':')).collect()
    }

    fn whole(&self) -> &str {
        self.text.rfind("\n\n").map_or("", |end| &self.text[..end])
    }

    async fn fill(&mut self) -> bool {
        let chunk = tokio::time::timeout(SOON, self.response.chunk()).await;
        let Some(chunk) = chunk.expect("a message in time").unwrap() else {
            return false;
        };
        self.text += &String::from_utf8_lossy(&chunk);
        true
    }
}

/// What a GET that goes on after an event is answered with.
pub(crate) async fn resume(session: &Legacy, last: &str) -> Response {
    open(session, Method::GET, &[("last-event-id", last)], None).await
}

async fn open(
    session: &Legacy,
    method: Method,
    more: &[(&str, &str)],
    body: Option<Value>,
) -> Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client
        .request(method, &session.endpoint)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-session-id", &session.session)
        .header("mcp-protocol-version", &session.revision);
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    if let Some(body) = body {
        request = request.body(body.to_string());
    }
    request.send().await.unwrap()
}
