//! Questions that a tool has asked before its job is queued.

use serde_json::json;
use taskferry_client::TASKS;

use super::{SOON, accepted, add_example, answer, fixture_fleet, session};
use crate::client::Modern;
use crate::stream::Stream;

#[tokio::test]
async fn what_is_asked_first_is_asked_before_a_modern_task_exists() {
    let fleet = fixture_fleet().await;
    let capabilities = json!({ "elicitation": {}, "extensions": { TASKS: {} } });
    let client = Modern::with(&fleet.replicas[0].endpoint, capabilities);
    let elsewhere = Modern {
        endpoint: fleet.replicas[1].endpoint.clone(),
        ..client.clone()
    };
    let asked = client
        .call("test_tool_with_task", json!({}))
        .await
        .result()
        .clone();
    assert_eq!(asked["resultType"], "input_required");
    assert!(asked["taskId"].is_null() && asked["inputRequests"]["user_name"].is_object());
    let name = json!({ "action": "accept", "content": { "name": "Ada" } });
    let params = json!({
        "name": "test_tool_with_task", "arguments": {},
        "requestState": asked["requestState"], "inputResponses": { "user_name": name },
    });
    let created = elsewhere
        .request("tools/call", params)
        .await
        .result()
        .clone();
    assert_eq!(created["resultType"], "task", "{created:#}");
    let done = client
        .until(created["taskId"].as_str().unwrap(), "completed")
        .await;
    assert!(
        done["result"]["content"][0]["text"]
            .as_str()
            .unwrap()
            .contains("Ada")
    );
    // Answers may come with the first call, when a client knows what will be asked.
    let params = json!({
        "name": "test_tool_with_task", "arguments": {}, "inputResponses": { "user_name": name, "more": accepted() },
    });
    let created = client.request("tools/call", params).await.result().clone();
    assert_eq!(created["resultType"], "task", "{created:#}");
    client
        .until(created["taskId"].as_str().unwrap(), "completed")
        .await;
}

#[tokio::test]
async fn what_is_asked_first_of_a_legacy_client_needs_no_worker() {
    let mut fleet = fixture_fleet().await;
    let here = session(&fleet.replicas[0].endpoint).await;
    let tools = here.request("tools/list", json!({})).await;
    assert!(
        tools.result()["tools"]
            .to_string()
            .contains("test_tool_with_task")
    );
    // Every worker is gone when the question is put.
    for process in &mut fleet.workers {
        process.terminate();
        process.wait_for_exit(SOON).await;
    }
    let id = here.start("test_tool_with_task", json!({}), 60_000).await;
    let mut waiting = Stream::post(&here, 5, "tasks/result", json!({ "taskId": id })).await;
    let question = waiting.next().await;
    assert_eq!(question["method"], "elicitation/create");
    let name = json!({ "action": "accept", "content": { "name": "Ada" } });
    answer(
        &here.at(&fleet.replicas[1].endpoint),
        &question,
        json!({ "result": name }),
    )
    .await;
    add_example(&mut fleet, "fixture_worker", "test_tool_with_task").await;
    let result = waiting.until("result").await;
    assert!(
        result["result"]["content"][0]["text"]
            .as_str()
            .unwrap()
            .contains("Ada"),
        "{result:#}"
    );
}

#[tokio::test]
async fn a_modern_call_made_again_is_not_asked_again_but_finds_its_task() {
    let fleet = fixture_fleet().await;
    let capabilities = json!({ "elicitation": {}, "extensions": { TASKS: {} } });
    let client = Modern::with(fleet.endpoint(), capabilities);
    let key = json!({ "taskferry/idempotencyKey": "5d0d7f2e-93a5-4a55-8a3e-0c7f1d7f8a10" });
    let params = json!({ "name": "test_tool_with_task", "arguments": {}, "_meta": key });
    let asked = client.request("tools/call", params.clone()).await;
    assert_eq!(asked.result()["resultType"], "input_required");
    let mut answered = params.clone();
    answered["requestState"] = asked.result()["requestState"].clone();
    let name = json!({ "action": "accept", "content": { "name": "Ada" } });
    answered["inputResponses"] = json!({ "user_name": name });
    let created = client.request("tools/call", answered).await;
    let id = created.result()["taskId"].as_str().unwrap();
    for _ in 0..2 {
        let again = client.request("tools/call", params.clone()).await;
        assert_eq!(again.result()["taskId"], id, "{}", again.text);
        client.until(id, "completed").await;
    }
}
