//! How it ends for clients that know no tasks: they cancel, or what they ask for is not there any more, or never was.

use serde_json::json;
use taskferry_testing::{eventually, eventually_some};

use super::{Client, HANDLES_SOON, OURS, Paced, SOON, fleet};
use crate::client::{Legacy, Modern};
use crate::fleet::Fleet;
use crate::jobs::{expire, records, runs, the_job};
use crate::questions::accepted;

const ENDLESS: &str = r#"
[[tool]]
name = "endless"
description = "Takes longer than its task lives"
command = ["sleep", "600"]
input_schema = '{"type":"object","additionalProperties":false}'
"#;
const BRIEF: &str = r#"
[[tool]]
name = "brief"
description = "Takes longer than its record lives"
command = ["sleep", "60"]
ttl = "1s"
input_schema = '{"type":"object","additionalProperties":false}'
"#;

#[tokio::test]
async fn cancelling_kills_the_command() {
    let fleet = fleet().await;
    for client in Client::without_tasks(fleet.endpoint()).await {
        let folder = tempfile::tempdir().unwrap();
        let arguments = json!({ "seconds": 600, "folder": folder.path() });
        let id = client.handle_of("nap", arguments).await;
        let note = folder.path().join("1");
        let process = eventually_some(SOON, "the command runs", async || {
            std::fs::read_to_string(&note).ok()
        })
        .await;
        let cancelled = client.call("task_cancel", json!({ "task_id": id })).await;
        let status = &cancelled.result()["structuredContent"]["status"];
        assert_eq!(status, "cancelled");
        let process = format!("/proc/{}", process.trim());
        eventually(SOON, "the command is gone", async || {
            !std::path::Path::new(&process).exists()
        })
        .await;
        let result = client.call("task_result", json!({ "task_id": id })).await;
        assert!(result.message().contains("cancelled"), "{}", result.text);
    }
}

#[tokio::test]
async fn unknown_ids_and_wrong_arguments_are_told_in_words() {
    let fleet = Fleet::with_tools(ENDLESS, &HANDLES_SOON, &[]).await;
    let client = Client::Modern(Modern::with(fleet.endpoint(), json!({})));
    let expired = client.handle_of("endless", json!({})).await;
    expire(&fleet.redis, &expired).await;
    for tool in OURS {
        for id in [
            expired.as_str(),
            "0-00000000-0000-4000-8000-000000000000",
            "x",
        ] {
            let answer = client.call(tool, json!({ "task_id": id })).await;
            assert_eq!(answer.result()["isError"], true);
            assert!(answer.text.contains("no such task"), "{}", answer.text);
        }
        let answer = client.call(tool, json!({})).await;
        assert_eq!(answer.result()["isError"], true);
        assert!(answer.text.contains("task_id"), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_late_cancellation_of_the_call_leaves_its_task_alone() {
    let fleet = fleet().await;
    let session = Legacy::open(fleet.endpoint()).await;
    let client = Client::Legacy(session.clone());
    let paced = Paced::new();
    let id = client.handle_of("paced", paced.arguments()).await;
    session.cancel(1).await;
    assert_eq!(client.status(&id, 0).await, "working");
    paced.end();
    assert_eq!(client.status(&id, 30).await, "completed");
}

#[tokio::test]
async fn a_call_that_outlives_its_record_is_told_that_its_time_ran_out() {
    let fleet = Fleet::with_tools(BRIEF, &["--handle-after", "off"], &["--lease", "1s"]).await;
    for client in Client::without_tasks(fleet.endpoint()).await {
        let answer = client.call("brief", json!({})).await;
        assert_eq!(answer.code(), -32603, "{}", answer.text);
        assert!(answer.message().contains("ran out"), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_task_that_expires_while_a_model_waits_for_it_is_told_as_a_tool_error() {
    let fleet = Fleet::with_tools(BRIEF, &["--handle-after", "100ms"], &["--lease", "1s"]).await;
    for client in Client::without_tasks(fleet.endpoint()).await {
        let id = client.handle_of("brief", json!({})).await;
        let arguments = json!({ "task_id": id, "wait_seconds": 30 });
        let gone = client.call("task_status", arguments).await;
        assert_eq!(gone.result()["isError"], true, "{}", gone.text);
        assert!(gone.text.contains("no such task"), "{}", gone.text);
    }
}

#[tokio::test]
async fn the_job_of_a_plain_call_is_no_task() {
    let fleet = Fleet::start().await;
    let paced = Paced::new();
    let legacy = Legacy::open(fleet.endpoint()).await;
    let modern = Modern::with_tasks(fleet.endpoint());
    let call = legacy.call("paced", paced.arguments());
    let meddle = async {
        the_job(&fleet, "it runs", runs).await;
        let records = records(&fleet).await;
        let id = records.keys().next().unwrap().rsplit(':').next().unwrap();
        let params = json!({ "taskId": id });
        let answers = json!({ "taskId": id, "inputResponses": { "x": accepted() } });
        for answer in [
            legacy.request("tasks/cancel", params.clone()).await,
            modern.request("tasks/cancel", params.clone()).await,
            modern.request("tasks/get", params).await,
            modern.request("tasks/update", answers).await,
        ] {
            assert_eq!(answer.code(), -32602, "{}", answer.text);
        }
        paced.end();
    };
    let (answer, ()) = tokio::join!(call, meddle);
    assert_eq!(answer.result()["isError"], false, "{}", answer.text);
}
