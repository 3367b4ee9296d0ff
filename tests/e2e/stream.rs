//! An open event stream, read message by message.

use std::time::Duration;

use serde_json::Value;
use taskferry_client::sse::{Event, Events};
use taskferry_client::{MODERN, Reply, StatusCode};

use crate::client::{Legacy, Modern, open};
use crate::schema::check;

/// How long a message may take to reach the client.
const SOON: Duration = Duration::from_secs(20);
/// The same where keep-alives come meanwhile.
const AT_LAST: Duration = Duration::from_secs(60);

pub(crate) struct Stream {
    reply: Reply,
    /// All that came, as it was sent.
    text: String,
    parser: Events,
    /// All whole events that came.
    events: Vec<Event>,
    /// How many of them were read.
    read: usize,
    revision: String,
    /// That of the request which the stream answers.
    method: String,
}

impl Stream {
    /// A subscription's.
    pub(crate) fn of(reply: Reply) -> Self {
        Self::with(reply, MODERN, "subscriptions/listen")
    }

    /// That of a modern call.
    pub(crate) async fn call(client: &Modern, params: Value) -> Self {
        Self::with(
            client.open("tools/call", params).await,
            MODERN,
            "tools/call",
        )
    }

    fn with(reply: Reply, revision: &str, method: &str) -> Self {
        assert_eq!(reply.status(), StatusCode::OK);
        Self {
            reply,
            text: String::new(),
            parser: Events::default(),
            events: Vec::new(),
            read: 0,
            revision: revision.to_owned(),
            method: method.to_owned(),
        }
    }

    pub(crate) async fn post(session: &Legacy, id: u64, method: &str, params: Value) -> Self {
        let request = session.speaks().request(id, method, params);
        let body = serde_json::from_slice(&request.body).unwrap();
        check(&session.revision, None, &body);
        let reply = open(&session.endpoint, &session.signed(request)).await;
        Self::with(reply, &session.revision, method)
    }

    /// That of several messages in one body.
    pub(crate) async fn batch(session: &Legacy, messages: &Value) -> Self {
        let reply = open(
            &session.endpoint,
            &session.signed(session.speaks().post(messages)),
        )
        .await;
        Self::with(reply, &session.revision, "tools/call")
    }

    pub(crate) async fn get(session: &Legacy) -> Self {
        let reply = open(
            &session.endpoint,
            &session.signed(session.speaks().listen(None)),
        )
        .await;
        Self::with(reply, &session.revision, "tools/call")
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
            while let Some(event) = self.events.get(self.read) {
                self.read += 1;
                if !event.data.is_empty() {
                    let message = serde_json::from_str(&event.data).unwrap();
                    check(&self.revision, Some(&self.method), &message);
                    return Some(message);
                }
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

    /// The first event as it was sent, once it is there.
    pub(crate) async fn first_event(&mut self) -> String {
        while self.whole().is_empty() {
            assert!(self.fill().await, "an open stream");
        }
        let mut blocks = self.whole().split("\n\n");
        let event = blocks.find(|block| !block.starts_with(':'));
        event.expect("an event").to_owned()
    }

    /// The id of the message that was read last, or of the event before all messages.
    pub(crate) fn last_id(&self) -> String {
        let (read, more) = self.events.split_at(self.read);
        let primers = more.iter().take_while(|event| event.data.is_empty());
        let ids = read.iter().chain(primers);
        let last = ids.filter_map(|event| event.id.clone()).last();
        last.expect("an id")
    }

    fn whole(&self) -> &str {
        self.text.rfind("\n\n").map_or("", |end| &self.text[..end])
    }

    async fn fill(&mut self) -> bool {
        let chunk = tokio::time::timeout(SOON, self.reply.chunk()).await;
        let Some(chunk) = chunk.expect("a message in time").unwrap() else {
            return false;
        };
        self.text += &String::from_utf8_lossy(&chunk);
        self.parser.push(&chunk);
        self.events.extend(std::iter::from_fn(|| self.parser.pop()));
        true
    }
}

/// What a GET that goes on after an event is answered with.
pub(crate) async fn resume(session: &Legacy, last: &str) -> Reply {
    let request = session.speaks().listen(Some(last));
    open(&session.endpoint, &session.signed(request)).await
}
