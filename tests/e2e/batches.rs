//! Batches of messages: revision 2025-03-26 has them, and no other.

use serde_json::{Value, json};
use taskferry_client::{Method, StatusCode};

use crate::client::{Answer, Legacy, Modern, events, http};
use crate::fleet::Fleet;
use crate::schema::check;
use crate::stream::Stream;

const REVISION: &str = "2025-03-26";

fn request(id: u64, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

fn echo(id: u64) -> Value {
    let arguments = json!({ "text": format!("text {id}") });
    request(
        id,
        "tools/call",
        json!({ "name": "echo", "arguments": arguments }),
    )
}

fn nap(id: u64, folder: &std::path::Path) -> Value {
    let arguments = json!({ "seconds": 60, "folder": folder });
    let meta = json!({ "progressToken": id });
    let params = json!({ "name": "nap", "arguments": arguments, "_meta": meta });
    request(id, "tools/call", params)
}

fn cancel(id: u64) -> Value {
    let params = json!({ "requestId": id });
    json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params })
}

async fn post(session: &Legacy, batch: &Value) -> Answer {
    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-session-id", session.session.as_str()),
    ];
    http(
        Method::POST,
        &session.endpoint,
        &headers,
        Some(batch.to_string()),
    )
    .await
}

/// The messages by id, each as its schema wants it.
fn by_id(messages: &[Value]) -> Vec<(u64, &Value)> {
    let mut all: Vec<(u64, &Value)> = messages
        .iter()
        .filter(|message| message.get("id").is_some())
        .map(|message| {
            let method = if message["result"] == json!({}) {
                "ping"
            } else {
                "tools/call"
            };
            check(REVISION, Some(method), message);
            (message["id"].as_u64().unwrap(), message)
        })
        .collect();
    all.sort_by_key(|(id, _)| *id);
    all
}

#[tokio::test]
async fn every_request_of_a_batch_is_answered_in_one_array() {
    let fleet = Fleet::start_with(&["--stream-after", "30s"], &[]).await;
    let session = Legacy::open_as(fleet.endpoint(), REVISION).await;
    let unknown = json!({ "jsonrpc": "2.0", "id": "none-of-ours", "result": {} });
    let batch = json!([
        request(1, "ping", json!({})),
        echo(2),
        { "jsonrpc": "2.0", "method": "notifications/initialized" },
        echo(3),
        unknown,
        request(4, "no/such/method", json!({})),
        { "jsonrpc": "1.0", "id": 5, "method": "ping" },
        request(6, "initialize", json!({ "protocolVersion": REVISION, "capabilities": {} })),
        7,
    ]);
    let answer = post(&session, &batch).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert!(!answer.streamed);
    let answers = answer.body.as_array().unwrap();
    assert_eq!(answers.len(), 7, "{:#}", answer.body);
    let told = by_id(answers);
    let ids: Vec<u64> = told.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6]);
    for (id, message) in &told[1..3] {
        let text = &message["result"]["content"][0]["text"];
        assert_eq!(*text, format!("text {id}"));
    }
    let codes: Vec<&Value> = told[3..]
        .iter()
        .map(|(_, message)| &message["error"]["code"])
        .collect();
    assert_eq!(codes, [&json!(-32601), &json!(-32600), &json!(-32600)]);
    let nameless = answers.iter().find(|answer| answer.get("id").is_none());
    assert_eq!(nameless.unwrap()["error"]["code"], -32600);
}

#[tokio::test]
async fn a_batch_that_takes_long_is_a_stream_with_every_answer() {
    let fleet = Fleet::start_with(&["--stream-after", "100ms"], &[]).await;
    let session = Legacy::open_as(&fleet.replicas[0].endpoint, REVISION).await;
    let folder = tempfile::tempdir().unwrap();
    let batch = json!([
        echo(1),
        nap(2, folder.path()),
        request(3, "ping", json!({}))
    ]);
    let mut stream = Stream::batch(&session, &batch).await;
    stream.says("notifications/progress").await;
    session.at(&fleet.replicas[1].endpoint).cancel(2).await;
    let text = stream.read_to_end().await;
    assert!(!text.contains("id: "), "{text}");
    let messages = events(&text);
    let ids: Vec<u64> = by_id(&messages).iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [1, 3], "the cancelled call has no answer");
}

#[tokio::test]
async fn a_batch_without_requests_is_taken_and_cancels() {
    let fleet = Fleet::start_with(&["--stream-after", "100ms"], &[]).await;
    let session = Legacy::open_as(fleet.endpoint(), REVISION).await;
    let folder = tempfile::tempdir().unwrap();
    let params = nap(9, folder.path())["params"].take();
    let mut stream = Stream::post(&session, 9, "tools/call", params).await;
    let response = json!({ "jsonrpc": "2.0", "id": "x", "result": {} });
    let taken = post(&session, &json!([cancel(8), response, cancel(9)])).await;
    assert_eq!(
        (taken.status, taken.text.as_str()),
        (StatusCode::ACCEPTED, "")
    );
    while let Some(message) = stream.next_or_end().await {
        assert!(message["method"].is_string(), "an answer: {message:#}");
    }
    let refused = post(&session, &json!([cancel(8), 7])).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(refused.code(), -32600);
}

#[tokio::test]
async fn empty_large_and_foreign_batches_are_refused() {
    let fleet = Fleet::start().await;
    let session = Legacy::open_as(fleet.endpoint(), REVISION).await;
    for (batch, part) in [
        (json!([]), "must hold a message"),
        (json!(vec![echo(1); 33]), "at most 32"),
    ] {
        let refused = post(&session, &batch).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert_eq!(refused.code(), -32600);
        assert!(refused.message().contains(part), "{}", refused.text);
    }
    for revision in ["2025-06-18", "2025-11-25"] {
        let other = Legacy::open_as(fleet.endpoint(), revision).await;
        let refused = post(&other, &json!([echo(1)])).await;
        assert_eq!(refused.code(), -32600);
        assert!(refused.message().contains(REVISION), "{}", refused.text);
    }
    let modern = Modern::with_tasks(fleet.endpoint());
    let headers = [
        ("content-type", "application/json"),
        ("mcp-protocol-version", "2026-07-28"),
    ];
    let batch = json!([echo(1)]).to_string();
    let refused = http(Method::POST, &modern.endpoint, &headers, Some(batch)).await;
    assert_eq!(refused.code(), -32600);
    assert!(
        refused.message().contains("one message"),
        "{}",
        refused.text
    );
}
