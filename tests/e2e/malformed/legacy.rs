//! Sessions of the legacy era.

use serde_json::{Value, json};
use taskferry_client::{Method, StatusCode};
use taskferry_testing::TestServer;

use super::{BOTH, JSON, assert_nothing_queued, assert_refused};
use crate::client::{Legacy, http};
use crate::fleet::{Fleet, Replica};

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table, one line a case")]
async fn wrong_params_of_a_legacy_session_have_their_codes() {
    let fleet = Fleet::start().await;
    let session = Legacy::open(fleet.endpoint()).await;
    let echo = |more: Value| {
        let mut params = json!({ "name": "echo", "arguments": { "text": "x" }, "task": {} });
        for (name, value) in more.as_object().unwrap() {
            params[name] = value.clone();
        }
        params
    };
    let status = StatusCode::OK;
    for (method, params, code) in [
        ("no/such/method", json!({}), -32601),
        ("", json!({}), -32601),
        ("tasks/nothing", json!({}), -32601),
        ("tasks/update", json!({ "taskId": "x" }), -32601),
        ("server/discover", json!({}), -32601),
        ("resources/list", json!({}), -32601),
        ("tools/call", json!({}), -32602),
        ("tools/call", echo(json!({ "name": 7 })), -32602),
        ("tools/call", echo(json!({ "name": "ähnlich" })), -32602),
        ("tools/call", echo(json!({ "arguments": "x" })), -32602),
        ("tools/call", echo(json!({ "arguments": [] })), -32602),
        (
            "tools/call",
            echo(json!({ "arguments": { "text": 7 } })),
            -32602,
        ),
        ("tools/call", echo(json!({ "task": 7 })), -32602),
        (
            "tools/call",
            echo(json!({ "task": { "ttl": "1" } })),
            -32602,
        ),
        ("tools/call", echo(json!({ "task": { "ttl": -1 } })), -32602),
        ("tools/call", echo(json!({ "task": [5000] })), -32602),
        ("tools/call", echo(json!({ "_meta": 7 })), -32602),
        ("tools/call", echo(json!({ "_meta": ["p", null] })), -32602),
        (
            "tools/call",
            echo(json!({ "_meta": { "progressToken": {} } })),
            -32602,
        ),
        (
            "tools/call",
            echo(json!({ "_meta": { "progressToken": 1.5 } })),
            -32602,
        ),
        ("tools/list", json!({ "cursor": 7 }), -32602),
        ("tools/list", json!({ "cursor": "x" }), -32602),
        ("tasks/get", json!({}), -32602),
        ("tasks/get", json!({ "taskId": 7 }), -32602),
        ("tasks/result", json!({ "taskId": null }), -32602),
        ("tasks/cancel", json!({ "taskId": {} }), -32602),
        ("logging/setLevel", json!({}), -32602),
        ("logging/setLevel", json!({ "level": "loud" }), -32602),
        ("initialize", json!({}), -32602),
        (
            "initialize",
            json!({ "protocolVersion": 1, "capabilities": {} }),
            -32602,
        ),
        (
            "initialize",
            json!({ "protocolVersion": "2025-11-25", "capabilities": [] }),
            -32602,
        ),
        (
            "initialize",
            json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": ["a", "1"] }),
            -32602,
        ),
    ] {
        let refused = session.request(method, params.clone()).await;
        let told = (refused.status, refused.code(), &refused.body["id"]);
        assert_eq!(told, (status, code, &json!(1)), "{method} {params}");
        for rust in ["struct", "f64", "Params", "a map", "sequence"] {
            assert!(!refused.message().contains(rust), "{}", refused.text);
        }
    }
    assert_nothing_queued(&fleet.redis).await;
}

#[tokio::test]
async fn whole_numbers_and_nulls_are_taken_as_they_are_meant() {
    let fleet = Fleet::start().await;
    let session = Legacy::open(fleet.endpoint()).await;
    let send = async |body: &str| {
        let answer = session.send_anything(Method::POST, Some(body.to_owned()));
        answer.await
    };
    let echo = r#""name":"echo","arguments":{"text":"x"}"#;
    for ttl in ["9007199254740991", "1e400", "0"] {
        let body = super::call("1", &format!(r#"{{{echo},"task":{{"ttl":{ttl}}}}}"#));
        let answer = send(&body).await;
        assert!(answer.result()["task"]["ttl"].is_u64(), "{}", answer.text);
    }
    // An id comes back as it was written.
    for id in ["1.0", "1e2", "-0.0"] {
        let answer = send(&super::call(id, &format!("{{{echo}}}"))).await;
        assert_eq!(answer.result()["isError"], false);
        assert!(
            answer.text.contains(&format!(r#""id":{id},"#)),
            "{}",
            answer.text
        );
    }
    for meta in [
        "null",
        r#"{"progressToken":null}"#,
        r#"{"progressToken":1.0}"#,
        r#"{"progressToken":""}"#,
    ] {
        let answer = send(&super::call(
            "1",
            &format!(r#"{{{echo},"task":null,"_meta":{meta}}}"#),
        ))
        .await;
        assert_eq!(answer.result()["isError"], false, "{}", answer.text);
    }
    let open = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":null}}"#;
    assert_eq!(send(open).await.result()["protocolVersion"], "2025-11-25");
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null}"#;
    assert_eq!(*send(ping).await.result(), json!({}));
}

#[tokio::test]
async fn headers_of_a_session_must_be_there_once_and_fit() {
    let redis = TestServer::start().await;
    let replica = Replica::start(&redis.url(), &[]).await;
    let session = Legacy::open(&replica.endpoint).await;
    let id = ("mcp-session-id", session.session.as_str());
    let version = |value| ("mcp-protocol-version", value);
    for (headers, status, part) in [
        (vec![], StatusCode::BAD_REQUEST, "initialize"),
        (vec![id, id], StatusCode::BAD_REQUEST, "more than once"),
        (vec![("mcp-session-id", "")], StatusCode::NOT_FOUND, "ended"),
        (
            vec![("mcp-session-id", "ü")],
            StatusCode::NOT_FOUND,
            "ended",
        ),
        (
            vec![id, version("2024-11-05")],
            StatusCode::BAD_REQUEST,
            "2025-11-25",
        ),
        (
            vec![id, version("ü")],
            StatusCode::BAD_REQUEST,
            "2025-11-25",
        ),
        (vec![id, version("")], StatusCode::BAD_REQUEST, "2025-11-25"),
        (
            vec![id, version("2025-11-25"), version("2025-11-25")],
            StatusCode::BAD_REQUEST,
            "once",
        ),
        (
            vec![id, version("2025-11-25"), version("2026-07-28")],
            StatusCode::BAD_REQUEST,
            "once",
        ),
    ] {
        for method in [Method::POST, Method::GET, Method::DELETE] {
            let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.to_owned();
            let mut all = vec![JSON, BOTH];
            all.extend(&headers);
            let refused = http(method.clone(), &replica.endpoint, &all, Some(ping)).await;
            assert_refused(&refused, status, -32600, part);
        }
    }
    assert_eq!(
        *session.request("ping", json!({})).await.result(),
        json!({})
    );
}
