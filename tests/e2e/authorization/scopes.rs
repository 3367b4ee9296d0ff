//! What a caller may do: what it lacks is told whole, in both eras.

use std::time::Duration;

use serde_json::{Value, json};
use taskferry_client::{Method, StatusCode, task};

use crate::authorization::Guarded;
use crate::client::{Answer, Legacy, Modern};
use crate::stream::{Stream, resume};

const RULES: &str = "[scopes]\ncall = ['call']\ntask = ['task']\nimplies = { all = ['call', 'task', 'render', 'read'] }";
const TOOLS: &str = r#"
[[tool]]
name = "render"
description = "Needs scopes"
command = ["printf", "done"]
scopes = ["render"]
task_scopes = ["read"]

[[tool]]
name = "slow"
description = "Takes a while"
command = ["sleep", "2"]
task_scopes = ["read"]
"#;

/// That it was refused, and with which scopes it would not be.
fn lacks(answer: &Answer, scopes: &str) {
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text);
    let challenge = answer.headers["www-authenticate"].to_str().unwrap();
    let expected = format!(
        "Bearer error=\"insufficient_scope\", scope=\"{scopes}\", resource_metadata=\"https://tasks.example.com/.well-known/oauth-protected-resource/mcp\", error_description=\"the token lacks some of these scopes\""
    );
    assert_eq!(challenge, expected);
    assert!(answer.message().contains(scopes), "{}", answer.text);
}

#[tokio::test]
async fn what_a_caller_lacks_is_told_at_once_whatever_it_asks_for() {
    let guarded = Guarded::start(RULES, TOOLS, &["--handle-after", "100ms"]).await;
    let endpoint = guarded.endpoint();
    let token = |scope: &str| guarded.issuer.token("alice", scope);
    let of = |scope: &str| guarded.modern(&token(scope));
    let nothing = json!({});

    // Everything is listed for everyone.
    let listed = of("").request("tools/list", json!({})).await;
    assert!(listed.text.contains("\"render\""), "{}", listed.text);

    // Calls that may become tasks need both.
    lacks(
        &of("").call("render", nothing.clone()).await,
        "call read render task",
    );
    lacks(
        &of("call render").call("render", nothing.clone()).await,
        "call read render task",
    );
    let plain = Modern::with(endpoint, json!({})).by(Some(&token("call")));
    lacks(&plain.call("render", nothing.clone()).await, "call render");
    let legacy = Legacy::open_by(endpoint, &token("call render")).await;
    let as_task = json!({ "name": "render", "arguments": {}, "task": {} });
    lacks(
        &legacy.request("tools/call", as_task).await,
        "call read render task",
    );
    assert_eq!(
        legacy.call("render", nothing.clone()).await.result()["isError"],
        false
    );

    // A scope brings what it implies.
    let full = of("all");
    let id = full.start("render", nothing.clone()).await;
    full.until(&id, "completed").await;
    for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
        let params = json!({ "taskId": id, "inputResponses": {} });
        lacks(&of("call task").request(method, params).await, "read task");
    }
    for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
        lacks(&legacy.request(method, task(&id)).await, "read task");
    }
    lacks(&legacy.request("tasks/list", json!({})).await, "task");
    let follow = json!({ "notifications": { "taskIds": [id] } });
    let refused = of("read").request("subscriptions/listen", follow).await;
    lacks(&refused, "read task");
    for tool in ["task_status", "task_result", "task_cancel"] {
        lacks(
            &plain.call(tool, json!({ "task_id": id })).await,
            "read task",
        );
    }

    // Whoever could do nothing with a task is not given one.
    let waited = plain.call("slow", nothing.clone()).await;
    assert_eq!(waited.result()["isError"], false, "{}", waited.text);
    let able = Modern::with(endpoint, json!({})).by(Some(&token("all")));
    let handed: Value = able.call("slow", nothing).await.body;
    assert!(handed.to_string().contains("task_status"), "{handed:#}");
}

#[tokio::test]
async fn a_session_shows_a_caller_only_what_its_token_of_now_allows() {
    let guarded = Guarded::start(RULES, TOOLS, &["--stream-after", "100ms"]).await;
    let token = |scope: &str| guarded.issuer.token("alice", scope);
    let full = Legacy::open_by(guarded.endpoint(), &token("all")).await;
    let id = full.start("slow", json!({}), 60_000).await;
    let mut result = Stream::post(&full, 7, "tasks/result", task(&id)).await;
    result.first_event().await;
    let call = json!({ "name": "slow", "arguments": {} });
    let mut called = Stream::post(&full, 8, "tools/call", call).await;
    called.first_event().await;

    // The same caller, in the same session, with a token that allows less.
    let less = full.by(Some(&token("call")));
    let response = json!({ "jsonrpc": "2.0", "id": format!("{id}/k1"), "result": {} });
    let refused = less
        .send_anything(Method::POST, Some(response.to_string()))
        .await;
    lacks(&refused, "read task");
    let refused = resume(&less, &result.last_id()).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let none = full.by(Some(&token("")));
    let refused = resume(&none, &called.last_id()).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let reader = full.by(Some(&token("task")));
    let listed = reader.request("tasks/list", json!({})).await;
    assert_eq!(listed.result()["tasks"], json!([]), "{}", listed.text);
    let mut own = Stream::get(&less).await;
    full.until(&id, "completed").await;
    let told = tokio::time::timeout(Duration::from_secs(6), own.next()).await;
    assert!(told.is_err(), "{told:?}");
    // It is there for a token that allows it.
    assert_eq!(full.result_of(&id).await.result()["isError"], false);
}
