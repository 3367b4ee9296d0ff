//! What a session gets besides forms and how its tasks go: questions by URL, questions for roots, news of the tools.

use serde_json::{Value, json};

use crate::client::{Legacy, Modern};
use crate::fleet::{Fleet, worker};
use crate::questions::{answer, fixture_fleet};
use crate::stream::Stream;

/// It sends the person to a page; on a queue that no other worker serves.
const SIGN_IN: &str = r#"
[[tool]]
name = "is_asked_by_url"
description = "Finds out whether the person went to the page, before it is queued"
command = ["sh", "-c", "echo \"$TASKFERRY_ANSWERS\""]
output = "json"
queue = "by_url"
input_schema = '{"type":"object","additionalProperties":false}'
[[tool.ask_first]]
key = "consent"
method = "elicitation"
params = '{"mode":"url","message":"Please sign in","url":"https://example.com/sign-in","elicitationId":"e-1"}'
"#;

const BY_URL: &str = "is_asked_by_url";

fn text(result: &Value) -> &str {
    result["result"]["content"][0]["text"].as_str().unwrap()
}

#[tokio::test]
async fn a_legacy_client_is_sent_to_a_page_if_it_declares_that() {
    let fleet = Fleet::start().await;
    let _worker = worker(&fleet.redis.url(), SIGN_IN, &[]).await;
    let endpoint = &fleet.replicas[0].endpoint;
    let capabilities = json!({ "elicitation": { "url": {} } });
    let here = Legacy::open_with(endpoint, "2025-11-25", capabilities).await;
    let elsewhere = here.at(&fleet.replicas[1].endpoint);
    let id = elsewhere.start(BY_URL, json!({}), 60_000).await;
    for (method, params) in [
        ("tasks/result", json!({ "taskId": id })),
        ("tools/call", json!({ "name": BY_URL, "arguments": {} })),
    ] {
        let mut stream = Stream::post(&here, 3, method, params).await;
        let question = stream.until("elicitation/create").await;
        let asked = &question["params"];
        assert_eq!(asked["mode"], "url", "{question:#}");
        assert_eq!(asked["url"], "https://example.com/sign-in");
        assert_eq!(asked["elicitationId"], "e-1");
        answer(
            &elsewhere,
            &question,
            json!({ "result": { "action": "accept" } }),
        )
        .await;
        let result = stream.until("result").await;
        let consent = &result["result"]["structuredContent"]["consent"];
        assert_eq!(consent["result"]["action"], "accept", "{result:#}");
    }

    let forms = json!({ "elicitation": {} });
    let forms = Legacy::open_with(endpoint, "2025-11-25", forms).await;
    let result = forms.call(BY_URL, json!({})).await;
    let consent = &result.result()["structuredContent"]["consent"];
    assert_eq!(*consent, Value::Null, "{}", result.text);
}

#[tokio::test]
async fn a_legacy_client_is_asked_for_its_roots() {
    let fleet = fixture_fleet().await;
    let endpoint = &fleet.replicas[0].endpoint;
    let here = Legacy::open_with(endpoint, "2025-11-25", json!({ "roots": {} })).await;
    let call = json!({ "name": "test_input_required_result_list_roots", "arguments": {} });
    let mut stream = Stream::post(&here, 3, "tools/call", call).await;
    let question = stream.until("roots/list").await;
    assert_eq!(question["method"], "roots/list", "{question:#}");
    let roots = json!({ "roots": [{ "uri": "file:///home/ada", "name": "home" }] });
    let elsewhere = here.at(&fleet.replicas[1].endpoint);
    answer(&elsewhere, &question, json!({ "result": roots })).await;
    let result = stream.until("result").await;
    assert_eq!(text(&result), "Roots: file:///home/ada");
}

#[tokio::test]
async fn a_tool_that_changes_is_told_on_every_replica_in_both_eras() {
    let fleet = fixture_fleet().await;
    let there = &fleet.replicas[1].endpoint;
    let session = Legacy::open(there).await;
    let mut own = Stream::get(&session).await;
    let modern = Modern::with(there, json!({}));
    let wanted = json!({ "notifications": { "toolsListChanged": true } });
    let mut subscription = Stream::of(modern.open("subscriptions/listen", wanted).await);
    subscription
        .until("notifications/subscriptions/acknowledged")
        .await;

    let other = Modern::with(&fleet.replicas[0].endpoint, json!({}));
    let changed = other.call("test_trigger_tool_change", json!({})).await;
    changed.result();
    for stream in [&mut own, &mut subscription] {
        let told = stream.next().await;
        assert_eq!(
            told["method"], "notifications/tools/list_changed",
            "{told:#}"
        );
    }
    let tools = modern.request("tools/list", json!({})).await;
    assert!(
        tools.result()["tools"].to_string().contains("Changed 0"),
        "the new title is there by then: {}",
        tools.text
    );
}
