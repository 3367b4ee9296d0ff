//! The modern era: every request stands for itself, the server decides what becomes a task.

use std::time::Duration;

use serde_json::json;
use taskferry_client::{StatusCode, TASKS};

use crate::client::Modern;
use crate::fleet::Fleet;
use crate::questions::asking_fleet_with;

#[tokio::test]
async fn a_call_becomes_a_task_and_its_result_is_inlined() {
    let fleet = Fleet::start().await;
    let client = Modern::with_tasks(fleet.endpoint());
    let created = client
        .call("generate_report", json!({ "month": "May" }))
        .await;
    let task = created.result();
    let mut members: Vec<&str> = task
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    members.sort_unstable();
    let expected = [
        "_meta",
        "createdAt",
        "lastUpdatedAt",
        "pollIntervalMs",
        "resultType",
        "status",
        "taskId",
        "ttlMs",
    ];
    assert_eq!(members, expected);
    assert_eq!(
        (&task["resultType"], &task["status"]),
        (&json!("task"), &json!("working"))
    );
    let id = task["taskId"].as_str().unwrap();
    let done = client.until(id, "completed").await;
    assert_eq!(done["resultType"], "complete");
    assert_eq!(done["result"]["isError"], false);
    assert!(
        done["result"]["_meta"].is_null(),
        "an inlined result carries no related-task"
    );
    assert_eq!(
        done["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
        "taskferry"
    );
}

#[tokio::test]
async fn a_client_without_the_extension_gets_the_result_in_the_call() {
    let fleet = Fleet::start().await;
    let client = Modern::with(fleet.endpoint(), json!({}));
    let answer = client.call("echo", json!({ "text": "hello" })).await;
    assert_eq!(answer.result()["resultType"], "complete");
    assert_eq!(answer.result()["content"][0]["text"], "hello");
    let needs = json!({ "extensions": { TASKS: {} } });
    let answers = [
        client.call("task_only", json!({})).await,
        client
            .request("tasks/get", json!({ "taskId": "unknown" }))
            .await,
        client
            .request(
                "tasks/update",
                json!({ "taskId": "unknown", "inputResponses": {} }),
            )
            .await,
        client
            .request("tasks/cancel", json!({ "taskId": "unknown" }))
            .await,
    ];
    for refused in answers {
        assert_eq!(
            (refused.status, refused.code()),
            (StatusCode::BAD_REQUEST, -32021)
        );
        assert_eq!(refused.body["error"]["data"]["requiredCapabilities"], needs);
    }
    let with_tasks = Modern::with_tasks(fleet.endpoint());
    let answer = with_tasks.call("never_task", json!({})).await;
    assert_eq!(answer.result()["resultType"], "complete");
}

#[tokio::test]
async fn discovery_and_lists_carry_their_caching_fields() {
    let fleet = Fleet::start().await;
    let client = Modern::with_tasks(fleet.endpoint());
    let discovery = client
        .request("server/discover", json!({}))
        .await
        .result()
        .clone();
    assert_eq!(discovery["resultType"], "complete");
    assert_eq!(discovery["supportedVersions"][0], "2026-07-28");
    assert_eq!(
        discovery["capabilities"]["extensions"],
        json!({ TASKS: {} })
    );
    assert!(discovery["capabilities"]["tasks"].is_null());
    let tools = client
        .request("tools/list", json!({}))
        .await
        .result()
        .clone();
    // The list is not the same for those who know no tasks.
    for (result, scope) in [(&discovery, "public"), (&tools, "private")] {
        assert!(result["ttlMs"].as_u64().is_some(), "{result:#}");
        assert_eq!(result["cacheScope"], scope);
    }
    let names: Vec<&str> = tools["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert!(names.is_sorted(), "{names:?}");
    assert!(tools["tools"][0]["execution"].is_null());
}

#[tokio::test]
async fn headers_must_say_what_the_body_says() {
    let fleet = Fleet::start().await;
    let client = Modern::with_tasks(fleet.endpoint());
    let call = json!({ "name": "echo", "arguments": { "text": "x" } });
    for changed in [
        ("mcp-protocol-version", ""),
        ("mcp-protocol-version", "2025-11-25"),
        ("mcp-method", ""),
        ("mcp-method", "tools/list"),
        ("mcp-name", ""),
        ("mcp-name", "other"),
        ("mcp-name", "=?base64?!!!?="),
    ] {
        let refused = client
            .request_with("tools/call", call.clone(), &[changed])
            .await;
        assert_eq!(
            (refused.status, refused.code()),
            (StatusCode::BAD_REQUEST, -32020),
            "{changed:?}"
        );
    }
    let twice = [("mcp-method", "tools/call"), ("mcp-method", "tools/call")];
    let refused = client
        .request_with("tools/call", call.clone(), &twice)
        .await;
    assert_eq!(refused.code(), -32020);
    let encoded = client
        .request_with("tools/call", call, &[("mcp-name", "=?base64?ZWNobw==?=")])
        .await;
    assert_eq!(encoded.result()["resultType"], "task");
    // Clients exist that send no name for a task; a wrong one is refused all the same.
    let id = encoded.result()["taskId"].as_str().unwrap();
    let poll = json!({ "taskId": id });
    let unnamed = client
        .request_with("tasks/get", poll.clone(), &[("mcp-name", "")])
        .await;
    assert_eq!(unnamed.result()["taskId"], id);
    assert_eq!(
        client
            .request_with("tasks/get", poll, &[("mcp-name", "x")])
            .await
            .code(),
        -32020
    );
    client.until(id, "completed").await;
}

#[tokio::test]
async fn versions_methods_and_envelopes_that_do_not_fit_have_their_codes() {
    let fleet = Fleet::start().await;
    let client = Modern::with_tasks(fleet.endpoint());
    let old = json!({ "_meta": { "io.modelcontextprotocol/protocolVersion": "1900-01-01" } });
    let refused = client
        .request_with("tools/list", old, &[("mcp-protocol-version", "1900-01-01")])
        .await;
    assert_eq!(
        (refused.status, refused.code()),
        (StatusCode::BAD_REQUEST, -32022)
    );
    assert_eq!(refused.body["error"]["data"]["requested"], "1900-01-01");
    assert_eq!(refused.body["error"]["data"]["supported"][0], "2026-07-28");
    for method in [
        "tasks/result",
        "tasks/list",
        "resources/list",
        "initialize",
        "ping",
        "initialized",
    ] {
        let refused = client.request(method, json!({})).await;
        assert_eq!(
            (refused.status, refused.code()),
            (StatusCode::NOT_FOUND, -32601),
            "{method}"
        );
    }
    let wrong = json!({ "_meta": { "io.modelcontextprotocol/clientCapabilities": "all" } });
    let refused = client.request("tools/list", wrong).await;
    assert_eq!(
        (refused.status, refused.code()),
        (StatusCode::BAD_REQUEST, -32602)
    );
    let refused = client.request("tasks/get", json!({ "taskId": 7 })).await;
    assert_eq!(refused.code(), -32602);
}

#[tokio::test]
async fn unknown_tasks_are_not_found() {
    let fleet = Fleet::start().await;
    let client = Modern::with_tasks(fleet.endpoint());
    for id in [
        "",
        "unknown",
        "0-00000000-0000-4000-8000-000000000000",
        "9-00000000-0000-4000-8000-000000000000",
    ] {
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            let params = json!({ "taskId": id, "inputResponses": {} });
            let refused = client.request(method, params).await;
            assert_eq!(refused.code(), -32602, "{method} {id:?}");
        }
    }
}

#[tokio::test]
async fn a_tool_error_completes_the_task_and_cancelling_it_then_is_acknowledged() {
    let fleet = Fleet::start().await;
    let client = Modern::with_tasks(fleet.endpoint());
    let id = client.start("fail", json!({})).await;
    let task = client.until(&id, "completed").await;
    assert_eq!(task["result"]["isError"], true);
    let acknowledged = client
        .request("tasks/cancel", json!({ "taskId": id }))
        .await;
    assert_eq!(acknowledged.result()["resultType"], "complete");
    assert_eq!(client.task(&id).await["status"], "completed");
    let invalid = client.call("echo", json!({ "text": 7 })).await;
    assert_eq!(invalid.result()["resultType"], "complete");
    assert_eq!(invalid.result()["isError"], true);
}

#[tokio::test]
async fn a_plain_call_whose_client_leaves_is_cancelled() {
    let fleet = Fleet::start_with(&["--stream-after", "100ms"], &[]).await;
    let folder = tempfile::tempdir().unwrap();
    for streamed in [false, true] {
        let client = Modern::with(&fleet.replicas[0].endpoint, json!({}));
        let patience = if streamed { 1500 } else { 60 };
        let call = client.call("nap", json!({ "seconds": 30, "folder": folder.path() }));
        assert!(
            tokio::time::timeout(Duration::from_millis(patience), call)
                .await
                .is_err()
        );
        fleet.drained().await;
    }
    assert!(
        !folder.path().join("log").exists(),
        "a cancelled command went on"
    );
}

#[tokio::test]
async fn a_question_is_answered_by_tasks_update_on_the_other_replica() {
    let fleet = asking_fleet_with(&[]).await;
    let capabilities = json!({ "elicitation": {}, "extensions": { TASKS: {} } });
    let client = Modern::with(&fleet.replicas[0].endpoint, capabilities);
    let elsewhere = Modern {
        endpoint: fleet.replicas[1].endpoint.clone(),
        ..client.clone()
    };
    let id = client
        .start("summarize_orders", json!({ "confirm": true }))
        .await;
    let asking = client.until(&id, "input_required").await;
    let requests = asking["inputRequests"].as_object().unwrap();
    let (key, request) = requests.iter().next().unwrap();
    assert_eq!(request["method"], "elicitation/create");
    // Nothing waits for this key, so it changes nothing.
    let strange =
        json!({ "taskId": id, "inputResponses": { "no_such_key": { "action": "accept" } } });
    assert_eq!(
        elsewhere.request("tasks/update", strange).await.result()["resultType"],
        "complete"
    );
    assert_eq!(client.task(&id).await["status"], "input_required");
    let answer = json!({ "action": "accept", "content": { "confirm": true } });
    let answers = json!({ "taskId": id, "inputResponses": { key: answer } });
    elsewhere.request("tasks/update", answers).await.result();
    let done = client.until(&id, "completed").await;
    assert_eq!(done["result"]["isError"], false, "{done:#}");
}
