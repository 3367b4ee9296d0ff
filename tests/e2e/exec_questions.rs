//! Questions of commands, through the balancer in both eras: of one that waits on its standard input, and of one that
//! exits and comes back.

use serde_json::{Value, json};
use taskferry_client::TASKS;

use crate::client::Modern;
use crate::fleet::Fleet;
use crate::questions::{SOON, answer, session};
use crate::stream::Stream;

const MANIFEST: &str = r#"
[[tool]]
name = "asks_and_waits"
description = "Asks for a name and a confirmation together, and waits for both on its standard input"
command = ["python3", "$HERE/ask_and_wait.py"]
asks = true
input_schema = '{"type":"object","additionalProperties":false}'

[[tool]]
name = "asks_and_comes_back"
description = "Asks the same, exits, and finds the answers when it is run again; may be attempted once"
command = ["sh", "$HERE/ask_and_come_back.sh"]
asks = true
attempts = 1
output = "json"
input_schema = '{"type":"object","additionalProperties":false}'

[[tool]]
name = "is_asked_first"
description = "Finds the answer to what was asked before it was queued"
command = ["sh", "-c", "echo \"$TASKFERRY_ANSWERS\""]
output = "json"
input_schema = '{"type":"object","additionalProperties":false}'
[[tool.ask_first]]
key = "name"
method = "elicitation"
params = '{"message":"Who are you?","requestedSchema":{"type":"object","properties":{"name":{"type":"string"}}}}'
"#;

const TOOLS: [&str; 2] = ["asks_and_waits", "asks_and_comes_back"];
const KEYS: [&str; 2] = ["confirm", "name"];

fn says(value: &str) -> Value {
    json!({ "action": "accept", "content": { "value": value } })
}

/// What either tool returns when `name` was answered with Ada and `confirm` was refused.
fn both() -> Value {
    let refused = json!({ "reason": "client", "code": -32000, "message": "not now" });
    json!({ "name": { "result": says("Ada") }, "confirm": { "error": refused } })
}

async fn start() -> Fleet {
    Fleet::with_tools(MANIFEST, &["--stream-after", "300ms"], &[]).await
}

fn modern(fleet: &Fleet, tasks: bool) -> Modern {
    let extensions = if tasks {
        json!({ TASKS: {} })
    } else {
        json!({})
    };
    let capabilities = json!({ "elicitation": {}, "extensions": extensions });
    Modern::with(fleet.endpoint(), capabilities)
}

fn keys(asked: &Value) -> Vec<&str> {
    let requests = asked["inputRequests"].as_object();
    let keys = requests.into_iter().flatten();
    keys.map(|(key, _)| key.as_str()).collect()
}

/// Answers both questions as they come over a legacy stream, one with a result and one with an error.
async fn answer_both(stream: &mut Stream, session: &crate::client::Legacy) {
    for _ in KEYS {
        let question = stream.until("elicitation/create").await;
        let id = question["id"].as_str().unwrap();
        let outcome = if id.ends_with("/name") {
            json!({ "result": says("Ada") })
        } else {
            json!({ "error": { "code": -32000, "message": "not now" } })
        };
        answer(session, &question, outcome).await;
    }
}

#[tokio::test]
async fn a_legacy_plain_call_asks_on_its_stream() {
    let fleet = start().await;
    let here = session(fleet.endpoint()).await;
    for (id, tool) in (7..).zip(TOOLS) {
        let params = json!({ "name": tool, "arguments": {} });
        let mut stream = Stream::post(&here, id, "tools/call", params).await;
        answer_both(&mut stream, &here).await;
        let result = stream.until("result").await;
        assert_eq!(result["id"], id);
        assert_eq!(result["result"]["structuredContent"], both(), "{result:#}");
    }
}

#[tokio::test]
async fn a_legacy_task_asks_on_the_sessions_stream() {
    let fleet = start().await;
    let here = session(fleet.endpoint()).await;
    let mut own = Stream::get(&here).await;
    let mut redis = fleet.redis.raw().await;
    let key = format!("tf:{{s:{}}}:session:stream", here.session);
    taskferry_testing::eventually(SOON, "the stream is known to every replica", async || {
        taskferry_testing::redis::cmd("EXISTS")
            .arg(&key)
            .query_async(&mut redis)
            .await
            .unwrap()
    })
    .await;
    for tool in TOOLS {
        let id = here.start(tool, json!({}), 60_000).await;
        answer_both(&mut own, &here).await;
        let result = here.result_of(&id).await;
        assert_eq!(result.result()["structuredContent"], both());
    }
}

#[tokio::test]
async fn a_modern_task_shows_its_questions_and_takes_partial_answers() {
    let fleet = start().await;
    let client = modern(&fleet, true);
    for tool in TOOLS {
        let id = client.start(tool, json!({})).await;
        let asked = client.until(&id, "input_required").await;
        assert_eq!(keys(&asked), KEYS, "both come together");
        let update = async |key: &str, answer: Value| {
            let params =
                json!({ "taskId": id, "inputResponses": { key: answer, "other": says("nobody") } });
            client.request("tasks/update", params).await.result();
        };
        update("name", says("Ada")).await;
        let asked = client.task(&id).await;
        assert_eq!(
            (asked["status"].as_str(), keys(&asked)),
            (Some("input_required"), vec!["confirm"])
        );
        update("confirm", json!({ "action": "decline" })).await;
        let done = client.until(&id, "completed").await;
        let content = &done["result"]["structuredContent"];
        assert_eq!(content["name"]["result"], says("Ada"), "{done:#}");
        assert_eq!(content["confirm"]["result"]["action"], "decline");
    }
}

#[tokio::test]
async fn a_modern_plain_call_returns_both_questions_and_goes_on_with_the_answers() {
    let fleet = start().await;
    let client = modern(&fleet, false);
    for tool in TOOLS {
        let call = async |extra: Value| {
            let mut params = json!({ "name": tool, "arguments": {} });
            let all = params.as_object_mut().unwrap();
            all.extend(extra.as_object().unwrap().clone());
            client.request("tools/call", params).await.result().clone()
        };
        let asked = call(json!({})).await;
        assert_eq!(keys(&asked), KEYS, "both come together: {asked:#}");
        let answers = json!({ "name": says("Ada") });
        let asked =
            call(json!({ "requestState": asked["requestState"], "inputResponses": answers })).await;
        assert_eq!(keys(&asked), ["confirm"], "{asked:#}");
        let answers = json!({ "confirm": says("yes") });
        let done =
            call(json!({ "requestState": asked["requestState"], "inputResponses": answers })).await;
        let content = &done["structuredContent"];
        assert_eq!(content["name"]["result"], says("Ada"), "{done:#}");
        assert_eq!(content["confirm"]["result"], says("yes"));
    }
}

#[tokio::test]
async fn a_client_that_cannot_be_asked_is_not_asked() {
    let fleet = start().await;
    let client = Modern::with(fleet.endpoint(), json!({}));
    let cannot = "does not declare the capability elicitation";
    for tool in TOOLS {
        let result = client.call(tool, json!({})).await.result().clone();
        assert_eq!(result["resultType"], "complete", "{result:#}");
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(cannot), "{text}");
        assert_eq!(result["isError"], tool == "asks_and_comes_back");
    }
}

#[tokio::test]
async fn what_a_manifest_asks_first_reaches_the_command() {
    let fleet = start().await;
    let expected = json!({ "name": { "result": says("Ada") } });
    let client = modern(&fleet, true);
    let asked = client
        .call("is_asked_first", json!({}))
        .await
        .result()
        .clone();
    assert!(
        asked["taskId"].is_null() && keys(&asked) == ["name"],
        "{asked:#}"
    );
    let params = json!({
        "name": "is_asked_first", "arguments": {},
        "requestState": asked["requestState"], "inputResponses": { "name": says("Ada") },
    });
    let created = client.request("tools/call", params).await.result().clone();
    let id = created["taskId"].as_str().unwrap();
    let done = client.until(id, "completed").await;
    assert_eq!(done["result"]["structuredContent"], expected, "{done:#}");

    let here = session(fleet.endpoint()).await;
    let params = json!({ "name": "is_asked_first", "arguments": {} });
    let mut stream = Stream::post(&here, 1, "tools/call", params).await;
    let question = stream.until("elicitation/create").await;
    answer(&here, &question, json!({ "result": says("Ada") })).await;
    let result = stream.until("result").await;
    assert_eq!(
        result["result"]["structuredContent"], expected,
        "{result:#}"
    );
}
