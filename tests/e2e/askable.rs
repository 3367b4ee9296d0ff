//! Which clients are asked what: only what they declare, whoever began the job, and answers that are answers.

use serde_json::{Value, json};
use taskferry_client::{Method, StatusCode, TASKS};

use crate::client::{Legacy, Modern};
use crate::fleet::Fleet;
use crate::questions::{accepted, answer, session};
use crate::stream::Stream;

pub(crate) const MANIFEST: &str = r#"
[[tool]]
name = "asks_anything"
description = "Logs a line, asks what it is told to, and returns the answer"
command = ["sh", "$HERE/ask_anything.sh", "{what}", "{params}"]
asks = true
output = "text"
input_schema = '{"type":"object","properties":{"what":{"type":"string"},"params":{"type":"string"}},"required":["what","params"],"additionalProperties":false}'
"#;

const TOOL: &str = "asks_anything";
const KEY: &str = "a9d7b7a0-0d5e-4b5f-9d57-6f1f5a5f7c11";

async fn start() -> Fleet {
    Fleet::with_tools(MANIFEST, &["--stream-after", "300ms"], &[]).await
}

fn asks(what: &str, params: &Value) -> Value {
    json!({ "what": what, "params": params.to_string() })
}

fn form() -> Value {
    let schema = json!({ "type": "object", "properties": {} });
    asks(
        "elicitation",
        &json!({ "message": "Go on?", "requestedSchema": schema }),
    )
}

fn page() -> Value {
    let url = json!({ "mode": "url", "message": "Sign in", "url": "https://example.com/x" });
    asks("elicitation", &url)
}

fn model(more: &Value) -> Value {
    let mut params = json!({
        "messages": [{ "role": "user", "content": { "type": "text", "text": "A title?" } }], "maxTokens": 50,
    });
    let members = params.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    asks("sampling", &params)
}

/// A modern client that takes tasks, and declares `more`.
fn with_tasks(fleet: &Fleet, more: &Value) -> Modern {
    let mut capabilities = json!({ "extensions": { TASKS: {} } });
    let all = capabilities.as_object_mut().unwrap();
    all.extend(more.as_object().unwrap().clone());
    Modern::with(fleet.endpoint(), capabilities)
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap()
}

#[tokio::test]
async fn a_legacy_question_waits_for_a_session_whose_client_can_be_asked() {
    let fleet = start().await;
    let here = session(&fleet.replicas[0].endpoint).await;
    let other = Legacy::open(&fleet.replicas[1].endpoint).await;
    let id = here.start(TOOL, form(), 60_000).await;
    here.until(&id, "input_required").await;
    let params = json!({ "taskId": id });
    let mut theirs = Stream::post(&other, 5, "tasks/result", params.clone()).await;
    let told = other.call("task_status", json!({ "task_id": id })).await;
    let status = &told.result()["structuredContent"]["status"];
    assert_eq!((status, told.before.len()), (&json!("input_required"), 0));

    let mut ours = Stream::post(&here, 7, "tasks/result", params).await;
    let question = ours.next().await;
    assert_eq!(question["method"], "elicitation/create");
    answer(&here, &question, json!({ "result": accepted() })).await;
    for (stream, request) in [(&mut ours, 7), (&mut theirs, 5)] {
        let result = stream.next().await;
        assert_eq!(result["id"], request, "no question: {result:#}");
        assert!(text(&result["result"]).contains("accept"), "{result:#}");
    }
}

#[tokio::test]
async fn a_modern_client_is_shown_what_it_can_be_asked() {
    let fleet = start().await;
    let client = with_tasks(&fleet, &json!({ "elicitation": {} }));
    let other = with_tasks(&fleet, &json!({ "sampling": {} }));
    let id = client.start(TOOL, form()).await;
    let asked = client.until(&id, "input_required").await;
    assert!(asked["inputRequests"]["it"].is_object(), "{asked:#}");
    assert_eq!(
        other.until(&id, "input_required").await["inputRequests"],
        json!({})
    );
    let wanted = json!({ "notifications": { "taskIds": [id] } });
    let mut stream = Stream::of(other.open("subscriptions/listen", wanted).await);
    let told = stream.until("notifications/tasks").await;
    assert_eq!(told["params"]["inputRequests"], json!({}), "{told:#}");
    // Nor is a client that knows no tasks.
    let without = Modern::with(fleet.endpoint(), json!({}));
    let status = without.call("task_status", json!({ "task_id": id })).await;
    assert_eq!(status.result()["resultType"], "complete");
    assert_eq!(
        status.result()["structuredContent"]["status"],
        "input_required"
    );

    let answers = json!({ "taskId": id, "inputResponses": { "it": accepted() } });
    client.request("tasks/update", answers).await.result();
    client.until(&id, "completed").await;
}

#[tokio::test]
async fn a_modern_call_that_joined_a_job_is_refused_what_it_cannot_be_asked() {
    let fleet = start().await;
    let client = Modern::with(fleet.endpoint(), json!({ "elicitation": {} }));
    let other = Modern::with(fleet.endpoint(), json!({}));
    let meta = json!({ "taskferry/idempotencyKey": KEY });
    let mut params = json!({ "name": TOOL, "arguments": form(), "_meta": meta });
    let asked = client.request("tools/call", params.clone()).await;
    assert_eq!(asked.result()["resultType"], "input_required");
    let refused = other.request("tools/call", params.clone()).await;
    assert_eq!(refused.code(), -32021, "{}", refused.text);
    assert_eq!(
        refused.body["error"]["data"]["requiredCapabilities"],
        json!({ "elicitation": { "form": {} } })
    );
    params["requestState"] = asked.result()["requestState"].clone();
    params["inputResponses"] = json!({ "it": accepted() });
    let done = client.request("tools/call", params).await;
    assert_eq!(done.result()["resultType"], "complete");
}

#[tokio::test]
async fn a_model_is_given_tools_only_if_its_client_takes_them() {
    let fleet = start().await;
    let tools = json!({ "tools": [{ "name": "t", "inputSchema": { "type": "object" } }] });
    let plain = json!({ "sampling": {} });
    let session = Legacy::open_with(fleet.endpoint(), "2025-11-25", plain).await;
    let refused = session.call(TOOL, model(&tools)).await;
    let said = text(refused.result());
    assert!(
        said.contains("not_declared") && said.contains("sampling.tools"),
        "{said}"
    );
    let all = json!({ "sampling": { "tools": {} } });
    let client = Modern::with(fleet.endpoint(), all);
    let asked = client.call(TOOL, model(&tools)).await;
    let request = &asked.result()["inputRequests"]["it"];
    assert_eq!(request["params"]["tools"], tools["tools"], "{}", asked.text);
    let said =
        json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": "Hi" } });
    let done = client
        .request(
            "tools/call",
            json!({
                "name": TOOL, "arguments": model(&tools), "requestState": asked.result()["requestState"],
                "inputResponses": { "it": said },
            }),
        )
        .await;
    assert!(text(done.result()).contains("Hi"), "{}", done.text);
}

#[tokio::test]
async fn a_page_to_open_has_an_id_where_clients_want_one() {
    let fleet = start().await;
    let capabilities = json!({ "elicitation": { "url": {} } });
    let here = Legacy::open_with(fleet.endpoint(), "2025-11-25", capabilities.clone()).await;
    let params = json!({ "name": TOOL, "arguments": page() });
    let mut stream = Stream::post(&here, 3, "tools/call", params.clone()).await;
    let question = stream.next().await;
    assert_eq!(question["params"]["elicitationId"], question["id"]);
    let opened = json!({ "action": "accept" });
    answer(&here, &question, json!({ "result": opened })).await;
    let result = stream.next().await;
    assert!(text(&result["result"]).contains("accept"), "{result:#}");

    let client = Modern::with(fleet.endpoint(), capabilities);
    let asked = client.request("tools/call", params.clone()).await;
    let request = &asked.result()["inputRequests"]["it"]["params"];
    assert_eq!(request["url"], "https://example.com/x", "{}", asked.text);
    assert!(request["elicitationId"].is_null(), "{request:#}");
    let mut again = params;
    again["requestState"] = asked.result()["requestState"].clone();
    again["inputResponses"] = json!({ "it": opened });
    let done = client.request("tools/call", again).await;
    assert!(text(done.result()).contains("accept"), "{}", done.text);
}

#[tokio::test]
async fn what_is_no_answer_leaves_a_modern_question_open() {
    let fleet = start().await;
    let client = with_tasks(&fleet, &json!({ "elicitation": {} }));
    let id = client.start(TOOL, form()).await;
    client.until(&id, "input_required").await;
    let many: Value = (0..33).map(|n| (n.to_string(), json!({}))).collect();
    let large = json!({ "it": { "content": "x".repeat(64 << 10) } });
    for wrong in [json!({ "it": "yes" }), json!({ "it": [] }), many, large] {
        let params = json!({ "taskId": id, "inputResponses": wrong });
        let refused = client.request("tasks/update", params).await;
        assert_eq!(refused.code(), -32602, "{}", refused.text);
        assert!(
            refused.message().contains("inputResponses"),
            "{}",
            refused.text
        );
    }
    assert_eq!(client.task(&id).await["status"], "input_required");
    let answers = json!({ "x".repeat(65): accepted(), "it": accepted() });
    let params = json!({ "taskId": id, "inputResponses": answers });
    client.request("tasks/update", params).await.result();
    client.until(&id, "completed").await;
}

#[tokio::test]
async fn a_legacy_answer_that_is_no_object_reaches_the_tool_as_an_error() {
    let fleet = start().await;
    let here = session(fleet.endpoint()).await;
    let params = json!({ "name": TOOL, "arguments": form() });
    let mut stream = Stream::post(&here, 3, "tools/call", params).await;
    let question = stream.next().await;
    let body = json!({ "jsonrpc": "2.0", "id": question["id"], "result": "yes" });
    let taken = here
        .send_anything(Method::POST, Some(body.to_string()))
        .await;
    assert_eq!(taken.status, StatusCode::ACCEPTED, "{}", taken.text);
    let result = stream.next().await;
    assert!(text(&result["result"]).contains("no object"), "{result:#}");
}
