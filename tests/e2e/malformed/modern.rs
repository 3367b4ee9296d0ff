//! Requests of the modern era.

use serde_json::{Value, json};
use taskferry_client::{StatusCode, TASKS};

use super::{assert_nothing_queued, assert_refused};
use crate::client::Modern;
use crate::fleet::Fleet;

#[tokio::test]
async fn modern_headers_must_be_there_once_in_ascii_and_say_what_the_body_says() {
    let fleet = Fleet::start().await;
    let client = Modern::with_tasks(fleet.endpoint());
    let call = json!({ "name": "echo", "arguments": { "text": "x" } });
    let (version, method, name) = ("mcp-protocol-version", "mcp-method", "mcp-name");
    for changed in [
        vec![(version, "2026-07-28"), (version, "2026-07-28")],
        vec![(version, "2026-07-28"), (version, "2025-11-25")],
        vec![(version, "2026-07-28 ü")],
        vec![(version, "=?base64?MjAyNi0wNy0yOA==?=")],
        vec![(method, "tools/call"), (method, "tools/list")],
        vec![(method, "TOOLS/CALL")],
        vec![(method, "=?base64?dG9vbHMvY2FsbA==?=")],
        vec![(name, "echo"), (name, "echo")],
        vec![(name, "echö")],
        vec![(name, "=?BASE64?ZWNobw==?=")],
        vec![(name, "=?base64?ZWNobw?=")],
        vec![(name, "=?base64?/w==?=")],
        vec![(name, "ZWNobw==")],
    ] {
        let refused = client
            .request_with("tools/call", call.clone(), &changed)
            .await;
        assert_refused(&refused, StatusCode::BAD_REQUEST, -32020, "header");
        assert_eq!(refused.body["id"], 1);
    }
    // A name outside ASCII arrives encoded, and is then known or not like any other.
    let unknown = json!({ "name": "世界", "arguments": {} });
    let encoded = [(name, "=?base64?5LiW55WM?=")];
    let refused = client.request_with("tools/call", unknown, &encoded).await;
    assert_refused(&refused, StatusCode::OK, -32602, "世界");
    assert_nothing_queued(&fleet.redis).await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table, one line a case")]
async fn wrong_params_of_modern_requests_have_their_codes() {
    let fleet = Fleet::start().await;
    let client = Modern::with_tasks(fleet.endpoint());
    let meta = |name: &str, value: Value| json!({ "name": "echo", "arguments": { "text": "x" }, "_meta": { name: value } });
    let (bad, ok) = (StatusCode::BAD_REQUEST, StatusCode::OK);
    let capabilities = "io.modelcontextprotocol/clientCapabilities";
    for (method, params, status) in [
        ("tools/call", json!({}), ok),
        ("tools/call", json!({ "name": 7 }), ok),
        ("tools/call", json!({ "name": "no_such_tool" }), ok),
        (
            "tools/call",
            json!({ "name": "echo", "arguments": { "text": "x" }, "inputResponses": [] }),
            ok,
        ),
        (
            "tools/call",
            json!({ "name": "echo", "arguments": { "text": "x" }, "requestState": 7 }),
            ok,
        ),
        (
            "tools/call",
            json!({ "name": "echo", "arguments": { "text": "x" }, "requestState": "x" }),
            ok,
        ),
        ("tools/call", meta("progressToken", json!([])), bad),
        ("tools/call", meta("progressToken", json!(true)), bad),
        ("tools/call", meta("traceparent", json!(7)), bad),
        (
            "tools/call",
            meta("io.modelcontextprotocol/logLevel", json!("loud")),
            bad,
        ),
        (
            "tools/call",
            meta("io.modelcontextprotocol/protocolVersion", json!(7)),
            bad,
        ),
        ("tools/call", meta(capabilities, json!([])), bad),
        (
            "tools/call",
            meta(capabilities, json!({ "extensions": [] })),
            bad,
        ),
        ("tools/list", json!({ "cursor": "x" }), ok),
        ("tasks/get", json!({}), ok),
        ("tasks/get", json!({ "taskId": 7 }), ok),
        ("tasks/update", json!({ "taskId": "x" }), ok),
        (
            "tasks/update",
            json!({ "taskId": "x", "inputResponses": 7 }),
            ok,
        ),
        ("subscriptions/listen", json!({}), ok),
        ("subscriptions/listen", json!({ "notifications": 7 }), ok),
        (
            "subscriptions/listen",
            json!({ "notifications": [true] }),
            ok,
        ),
        (
            "subscriptions/listen",
            json!({ "notifications": { "taskIds": "x" } }),
            ok,
        ),
        (
            "subscriptions/listen",
            json!({ "notifications": { "toolsListChanged": 7 } }),
            ok,
        ),
    ] {
        let refused = client.request(method, params.clone()).await;
        assert_eq!(
            (refused.status, refused.code()),
            (status, -32602),
            "{method} {params}"
        );
    }
    // What a model can mend is told as a tool's result.
    for arguments in [
        json!([]),
        json!("x"),
        json!({}),
        json!({ "text": 7 }),
        json!({ "text": "x", "more": 1 }),
    ] {
        let told = client.call("echo", arguments.clone()).await;
        assert_eq!(told.result()["isError"], true, "{arguments}");
        assert_eq!(told.result()["resultType"], "complete", "{arguments}");
    }
    let none = Modern::with(fleet.endpoint(), json!({ "extensions": { TASKS: {} } }));
    let unknown = json!({ "_meta": { "io.modelcontextprotocol/protocolVersion": "2027-01-01" } });
    let refused = none
        .request_with(
            "tools/list",
            unknown,
            &[("mcp-protocol-version", "2027-01-01")],
        )
        .await;
    assert_refused(&refused, bad, -32022, "2027-01-01");
    assert_nothing_queued(&fleet.redis).await;
}
