//! What one caller sends costs no other caller anything: bounded texts, bounded memory, bounded time.

mod definitions;
mod memory;
mod names;

use std::time::Duration;

use serde_json::{Value, json};
use taskferry_client::{MODERN, Method, StatusCode};
use taskferry_testing::TestServer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{Answer, Legacy, Modern, http};
use crate::fleet::Replica;
use crate::tools::register;

const JSON: (&str, &str) = ("content-type", "application/json");
/// How long something that takes no time may take.
const SOON: Duration = Duration::from_secs(20);
/// The longest answer that repeats a caller's words.
const SHORT: usize = 4 << 10;

/// Sends a modern request as it is written; `meta` is what its `_meta` has beside what every request has.
async fn written(endpoint: &str, (method, name): (&str, &str), id: &str, params: &str) -> Answer {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":{},"params":{{{params}}}}}"#,
        json!(method)
    );
    let headers = [
        JSON,
        ("mcp-protocol-version", MODERN),
        ("mcp-method", method),
        ("mcp-name", name),
    ];
    http(Method::POST, endpoint, &headers, Some(body)).await
}

fn meta(more: &str) -> String {
    format!(
        r#""_meta":{{"io.modelcontextprotocol/protocolVersion":"{MODERN}","io.modelcontextprotocol/clientCapabilities":{{}}{more}}}"#
    )
}

#[tokio::test]
async fn ids_and_progress_tokens_are_short() {
    let server = TestServer::start().await;
    let replica = Replica::start(&server.url(), &[]).await;
    let session = Legacy::open(&replica.endpoint).await;
    let text = |bytes: usize| json!("x".repeat(bytes)).to_string();
    for (bytes, code) in [(256, None), (257, Some(-32600)), (3_900_000, Some(-32600))] {
        let ping = format!(
            r#"{{"jsonrpc":"2.0","id":{},"method":"ping"}}"#,
            text(bytes)
        );
        let answer = session.send_anything(Method::POST, Some(ping)).await;
        assert_eq!(answer.body["error"]["code"].as_i64(), code, "{bytes}");
        assert!(answer.text.len() < SHORT);
        let list = ("tools/list", "");
        let modern = written(&replica.endpoint, list, &text(bytes), &meta("")).await;
        assert_eq!(modern.body["error"]["code"].as_i64(), code, "{bytes}");

        let token = format!(r#","progressToken":{}"#, text(bytes));
        let modern = written(&replica.endpoint, list, "1", &meta(&token)).await;
        assert_eq!(modern.body["error"]["code"].as_i64(), code, "{bytes}");
        let call = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"none","_meta":{{"progressToken":{}}}}}}}"#,
            text(bytes)
        );
        let answer = session.send_anything(Method::POST, Some(call)).await;
        // There is no tool of this name.
        assert_eq!(answer.code(), code.unwrap_or(-32602), "{}", answer.text);
        if bytes > 256 {
            assert!(
                modern.message().contains("256 bytes"),
                "{}",
                modern.message()
            );
            assert!(
                answer.message().contains("256 bytes"),
                "{}",
                answer.message()
            );
        }
    }
}

#[tokio::test]
async fn no_error_repeats_a_long_text() {
    let server = TestServer::start().await;
    let replica = Replica::start(&server.url(), &[]).await;
    let tool = json!({ "type": "object", "additionalProperties": false, "properties": {
        "s": { "type": "integer" }, "h": { "type": "string", "x-mcp-header": "H" },
        "m": { "type": "object", "additionalProperties": { "type": "integer" } },
    } });
    register(&server, "strict", &tool).await;
    replica.lists("strict").await;
    let session = Legacy::open(&replica.endpoint).await;
    let modern = Modern::with_tasks(&replica.endpoint);
    let long = "secret\u{7}".repeat(300_000);
    let named = |arguments: Value| json!({ "name": "strict", "arguments": arguments });
    let task = |arguments: Value| json!({ "name": "strict", "arguments": arguments, "task": {} });
    for (method, params) in [
        ("tools/call", named(json!({ "s": long }))),
        ("tools/call", named(json!({ &long: 1 }))),
        ("tools/call", named(json!({ "m": { &long: "x" } }))),
        ("tools/call", task(json!({ "s": long }))),
        ("tools/call", json!({ "name": long })),
        ("tools/call", json!({ "name": "strict", "arguments": long })),
        ("tools/list", json!({ "cursor": long })),
        ("tasks/get", json!({ "taskId": long })),
        ("tasks/list", json!({ "cursor": long })),
        ("logging/setLevel", json!({ "level": long })),
        (long.as_str(), json!({})),
    ] {
        let answer = session.request(method, params).await;
        let what = &method[..method.len().min(20)];
        assert!(answer.text.len() < SHORT, "{what}: {}", answer.text.len());
        let refused =
            answer.body["error"]["code"].is_i64() || answer.body["result"]["isError"] == true;
        assert!(refused, "{what}: {}", answer.text);
    }
    for (params, changed) in [
        (named(json!({ "s": long })), vec![]),
        (
            named(json!({ "h": "secret" })),
            vec![("mcp-param-h", "other")],
        ),
        (named(json!({})), vec![("mcp-param-h", "secret")]),
        (named(json!({ "h": long })), vec![]),
    ] {
        let answer = modern.request_with("tools/call", params, &changed).await;
        assert!(answer.text.len() < SHORT, "{}", answer.text.len());
        assert!(!answer.text.contains("secret"), "{}", answer.text);
    }
    let version = format!(
        r#""_meta":{{"io.modelcontextprotocol/protocolVersion":{}}}"#,
        json!(long)
    );
    let answer = written(&replica.endpoint, ("tools/list", ""), "1", &version).await;
    assert!(answer.text.len() < SHORT, "{}", answer.text.len());
    assert!(answer.body["error"]["code"].is_i64(), "{}", answer.text);
}

#[tokio::test]
async fn what_a_client_declares_is_bounded() {
    let server = TestServer::start().await;
    let replica = Replica::start(&server.url(), &[]).await;
    let large = json!({ "experimental": { "a": "x".repeat(17_000) } });
    let modern = Modern::with(&replica.endpoint, large.clone());
    let refused = modern.request("tools/list", json!({})).await;
    assert_eq!(refused.code(), -32602, "{}", refused.text);
    assert!(
        refused.message().contains("16384 bytes"),
        "{}",
        refused.text
    );
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": large, "clientInfo": { "name": "t", "version": "1" } });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
    let refused = http(
        Method::POST,
        &replica.endpoint,
        &[JSON],
        Some(body.to_string()),
    )
    .await;
    assert_eq!(refused.code(), -32602, "{}", refused.text);
}

/// What comes back for a request that is written by hand.
async fn by_hand(origin: &str, head: &str) -> String {
    let address = origin.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{head}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(SOON, read).await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn a_request_that_names_two_hosts_is_turned_away_on_every_path() {
    let server = TestServer::start().await;
    let replica = Replica::start(&server.url(), &[]).await;
    for path in ["/mcp", "/healthz", "/readyz"] {
        for (target, hosts) in [
            (path.to_owned(), "host: localhost\r\nhost: localhost\r\n"),
            (path.to_owned(), "host: localhost\r\nHost: evil.example\r\n"),
            (format!("http://evil.example{path}"), "host: localhost\r\n"),
        ] {
            let head = format!("GET {target} HTTP/1.1\r\n{hosts}");
            let answer = by_hand(&replica.origin, &head).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{head}: {answer}");
            assert!(answer.contains("the header Host"), "{head}: {answer}");
        }
    }
    let head = "GET http://localhost/healthz HTTP/1.1\r\nhost: localhost\r\n";
    let answer = by_hand(&replica.origin, head).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_client_cannot_forge_a_line_of_the_log() {
    let server = TestServer::start().await;
    let mut replica = Replica::start(&server.url(), &[]).await;
    let name = "evil\u{1b}[2J\n2026-01-01T00:00:00Z ERROR forged\u{9b}";
    let long = "version".repeat(100_000);
    let params = json!({
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": name, "version": long },
    });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
    let opened = http(
        Method::POST,
        &replica.endpoint,
        &[JSON],
        Some(body.to_string()),
    )
    .await;
    assert_eq!(opened.status, StatusCode::OK, "{}", opened.text);
    let line = replica.process.wait_for_line(SOON, "session opened").await;
    assert!(line.contains("evil") && line.contains("forged"), "{line}");
    assert!(line.len() < SHORT, "{}", line.len());
    let log = replica.process.stderr();
    assert!(!log.contains(['\u{1b}', '\u{9b}']), "{log}");
    assert!(
        !log.lines().any(|line| line.starts_with("2026-01-01")),
        "{log}"
    );
}
