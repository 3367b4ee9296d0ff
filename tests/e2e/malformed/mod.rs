//! What is no message, or says what it must not: each has its status and code, the text says what was wrong, and nothing
//! is queued.

mod legacy;
mod modern;

use serde_json::{Value, json};
use taskferry_client::{Method, Request, StatusCode};
use taskferry_testing::{TestServer, redis};

use crate::client::{Answer, Legacy, Modern, http, send};
use crate::fleet::{Fleet, Replica};
use crate::tools::register;

const JSON: (&str, &str) = ("content-type", "application/json");
const BOTH: (&str, &str) = ("accept", "application/json, text/event-stream");

const GIVEN_BACK: &str = r#"
[[tool]]
name = "given_back"
description = "Returns its arguments, whatever they are"
command = ["cat"]
output = "text"
input_schema = '{"type":"object"}'
"#;

/// Nothing was queued: there is no record of a job, and every queue is empty.
async fn assert_nothing_queued(redis: &TestServer) {
    let mut raw = redis.raw().await;
    let keys = async |pattern: &str, raw: &mut redis::aio::MultiplexedConnection| {
        let mut keys = redis::cmd("KEYS");
        let found: Vec<String> = keys.arg(pattern).query_async(raw).await.unwrap();
        found
    };
    assert_eq!(keys("tf:*:task:*", &mut raw).await, Vec::<String>::new());
    for queue in keys("tf:*:queue:*", &mut raw).await {
        let mut length = redis::cmd("XLEN");
        let entries: u64 = length.arg(&queue).query_async(&mut raw).await.unwrap();
        assert_eq!(entries, 0, "{queue}");
    }
}

/// A call of a tool that exists, with something wrong in it.
fn call(id: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{params}}}"#)
}

fn assert_refused(answer: &Answer, status: StatusCode, code: i64, part: &str) {
    assert_eq!(
        (answer.status, answer.code()),
        (status, code),
        "{}",
        answer.text
    );
    assert!(
        answer.message().contains(part),
        "{part:?} is not in {:?}",
        answer.message()
    );
}

#[tokio::test]
async fn what_is_no_message_is_refused_in_both_eras() {
    let fleet = Fleet::start().await;
    let session = Legacy::open(fleet.endpoint()).await;
    let legacy = [
        JSON,
        BOTH,
        ("mcp-session-id", session.session.as_str()),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    let modern = [
        JSON,
        BOTH,
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "echo"),
    ];
    let echo = r#"{"name":"echo","arguments":{"text":"x"},"task":{}}"#;
    let batch = format!("[{}]", call("1", echo));
    for (body, code, part) in [
        (String::new(), -32700, "JSON object"),
        (" \n".to_owned(), -32700, "JSON object"),
        ("{".to_owned(), -32700, "not a JSON-RPC message"),
        ("nonsense".to_owned(), -32700, "JSON object"),
        ("null".to_owned(), -32700, "JSON object"),
        ("\u{feff}{}".to_owned(), -32700, "JSON object"),
        (call("1", echo) + "{}", -32700, "trailing"),
        (call("1", "{'name':'echo'}"), -32700, "JSON-RPC message"),
        ("[]".to_owned(), -32600, "batches"),
        (batch, -32600, "batches"),
        ("{}".to_owned(), -32600, "jsonrpc"),
        (call("1", echo).replace("2.0", "1.0"), -32600, "jsonrpc"),
        (call("null", echo), -32600, "id must"),
        (call("true", echo), -32600, "id must"),
        (call("1.5", echo), -32600, "id must"),
        (call("[1]", echo), -32600, "id must"),
        (call(r#"{"a":1}"#, echo), -32600, "id must"),
        (call("9223372036854775808", echo), -32600, "64 bits"),
        (call(r#"1,"id":2"#, echo), -32600, "duplicate"),
        (call("1", "[]"), -32600, "params must"),
        (call("1", "7"), -32600, "params must"),
        (
            call("1", echo).replace(r#""tools/call""#, "7"),
            -32600,
            "method must",
        ),
        (r#"{"jsonrpc":"2.0","id":1}"#.to_owned(), -32600, "method"),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#.to_owned(),
            -32600,
            "either",
        ),
    ] {
        for headers in [&legacy[..], &modern[..]] {
            let answer = http(Method::POST, fleet.endpoint(), headers, Some(body.clone())).await;
            assert_refused(&answer, StatusCode::BAD_REQUEST, code, part);
        }
    }
    assert_nothing_queued(&fleet.redis).await;
}

#[tokio::test]
async fn an_error_names_the_id_if_there_is_one_and_else_none() {
    let redis = TestServer::start().await;
    let replica = Replica::start(&redis.url(), &[]).await;
    let post = async |body: Vec<u8>| {
        let request = Request::new(Method::POST).with(JSON.0, JSON.1);
        let answer = send(&replica.endpoint, &request.with_body(body)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        answer.body
    };
    // A null id would be JSON-RPC's way; no schema of MCP has it.
    for nameless in [
        &b"{"[..],
        b"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\xffng\"}",
    ] {
        let error = post(nameless.to_owned()).await;
        assert_eq!(error.get("id"), None, "{error:#}");
        assert_eq!(error["jsonrpc"], "2.0");
    }
    let named = post(b"{\"jsonrpc\":\"1.0\",\"id\":\"a\",\"method\":\"ping\"}".to_vec()).await;
    assert_eq!(named["id"], "a");
    let not_utf8 = post(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\xffng\"}".to_vec()).await;
    assert_eq!(not_utf8["error"]["code"], -32700);
    assert_eq!(not_utf8["error"]["message"], "the body is not UTF-8");
}

#[tokio::test]
async fn json_is_taken_to_a_depth_and_no_deeper() {
    let fleet = Fleet::with_tools(GIVEN_BACK, &[], &[]).await;
    let session = Legacy::open(fleet.endpoint()).await;
    let modern = Modern::with_tasks(fleet.endpoint());
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let body = |levels: usize| {
        let arguments = format!(r#"{{"deep":{}}}"#, nested(levels));
        call(
            "1",
            &format!(r#"{{"name":"given_back","arguments":{arguments}}}"#),
        )
    };
    for levels in [98, 200, 10_000, 1_000_000] {
        let refused = session.send(Method::POST, Some(body(levels))).await;
        assert_refused(&refused, StatusCode::BAD_REQUEST, -32600, "100 levels");
        let headers = [JSON, ("mcp-protocol-version", "2026-07-28")];
        let refused = http(Method::POST, fleet.endpoint(), &headers, Some(body(levels))).await;
        assert_refused(&refused, StatusCode::BAD_REQUEST, -32600, "100 levels");
    }
    let unclosed = session
        .send(Method::POST, Some("{\"a\":".repeat(100_000)))
        .await;
    assert_refused(&unclosed, StatusCode::BAD_REQUEST, -32600, "100 levels");
    assert_nothing_queued(&fleet.redis).await;
    // The deepest that comes in reaches the command: the message, its params and the arguments are three levels.
    let deepest = session.send(Method::POST, Some(body(97))).await;
    assert_eq!(deepest.result()["isError"], false, "{}", deepest.text);
    let text = deepest.result()["content"][0]["text"].as_str().unwrap();
    assert!(text.contains(&nested(97)), "{text}");
    let arguments: Value = serde_json::from_str(&nested(90)).unwrap();
    let id = modern
        .start("given_back", json!({ "deep": arguments }))
        .await;
    modern.until(&id, "completed").await;
}

#[tokio::test]
async fn messages_that_want_no_answer_get_none() {
    let fleet = Fleet::start().await;
    let session = Legacy::open(fleet.endpoint()).await;
    let unknown = "0-00000000-0000-4000-8000-000000000000/key";
    for message in [
        json!({ "method": "notifications/cancelled" }),
        json!({ "method": "notifications/cancelled", "params": { "requestId": {} } }),
        json!({ "method": "notifications/cancelled", "params": { "requestId": 77 } }),
        json!({ "method": "notifications/progress", "params": { "progress": "x" } }),
        json!({ "method": "notifications/nothing", "params": { "a": 1 } }),
        json!({ "method": "tools/call", "params": { "name": "echo", "arguments": { "text": "x" } } }),
        json!({ "id": 77, "result": {} }),
        json!({ "id": "nothing", "result": 7 }),
        json!({ "id": unknown, "result": { "action": "accept" } }),
        json!({ "id": unknown, "error": 7 }),
        json!({ "error": { "code": -32700, "message": "not read" } }),
    ] {
        let mut body = message;
        body["jsonrpc"] = json!("2.0");
        let taken = session
            .send_anything(Method::POST, Some(body.to_string()))
            .await;
        assert_eq!(taken.status, StatusCode::ACCEPTED, "{body}");
        assert_eq!(taken.text, "", "{body}");
        // The modern era takes notifications, and has no responses from clients.
        let headers = [JSON, ("mcp-protocol-version", "2026-07-28")];
        let modern = http(
            Method::POST,
            fleet.endpoint(),
            &headers,
            Some(body.to_string()),
        )
        .await;
        if body["method"].is_string() {
            assert_eq!(modern.status, StatusCode::ACCEPTED, "{body}");
        } else {
            assert_refused(&modern, StatusCode::BAD_REQUEST, -32600, "responses");
        }
    }
    let nobody = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let refused = http(
        Method::POST,
        fleet.endpoint(),
        &[JSON],
        Some(nobody.to_string()),
    )
    .await;
    assert_refused(&refused, StatusCode::BAD_REQUEST, -32600, "initialize");
    assert_eq!(refused.body.get("id"), None);
    assert_nothing_queued(&fleet.redis).await;
}

#[tokio::test]
async fn other_ways_to_come_in_are_turned_away() {
    let redis = TestServer::start().await;
    let replica = Replica::start(&redis.url(), &[]).await;
    let session = Legacy::open(&replica.endpoint).await;
    let mut stream = crate::stream::Stream::get(&session).await;
    for method in [
        Method::HEAD,
        Method::PUT,
        Method::PATCH,
        Method::OPTIONS,
        Method::TRACE,
    ] {
        let refused = session.send(method.clone(), None).await;
        assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(refused.headers["allow"], "GET, POST, DELETE", "{method}");
        if method != Method::HEAD {
            assert_refused(&refused, StatusCode::METHOD_NOT_ALLOWED, -32600, "POST");
        }
    }
    // None of them took the place of the stream that is open.
    register(&redis, "late", &json!({ "type": "object" })).await;
    stream.until("notifications/tools/list_changed").await;

    let id = ("mcp-session-id", session.session.as_str());
    for (accept, status) in [
        ("application/json", StatusCode::NOT_ACCEPTABLE),
        ("text/html", StatusCode::NOT_ACCEPTABLE),
    ] {
        let refused = http(
            Method::GET,
            &replica.endpoint,
            &[("accept", accept), id],
            None,
        )
        .await;
        assert_refused(&refused, status, -32600, "text/event-stream");
    }
    // What a POST accepts is not looked at: whatever comes back is JSON or a stream, as the protocol has it.
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    for accept in ["", "application/json", "text/html", "ü"] {
        let headers = [JSON, id, ("accept", accept)];
        let answer = http(
            Method::POST,
            &replica.endpoint,
            &headers,
            Some(ping.to_owned()),
        )
        .await;
        assert_eq!(*answer.result(), json!({}), "{accept:?}");
    }
}
