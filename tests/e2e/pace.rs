//! What a client is told to do while a task runs: how often to poll, and what to tell its model meanwhile.

use std::time::Duration;

use serde_json::json;
use taskferry_testing::eventually;

use crate::client::{Legacy, Modern};
use crate::fleet::{Fleet, worker};
use crate::jobs::step;

#[tokio::test]
async fn the_older_a_task_the_less_often_it_is_polled() {
    let fleet = Fleet::start_with(&["--single-user", "true"], &[]).await;
    let _worker = worker(&fleet.redis.url(), "tests/e2e/same.toml", &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = json!({ "folder": folder.path() });
    let legacy = Legacy::open(fleet.endpoint()).await;
    let modern = Modern::with_tasks(fleet.endpoint());
    let created = modern.call("slowing", arguments).await;
    assert_eq!(created.result()["pollIntervalMs"], 10);
    let id = created.result()["taskId"].as_str().unwrap();
    assert_eq!(legacy.task(id).await["pollInterval"], 10);
    let grows = "the interval grows when the task is two seconds old";
    eventually(Duration::from_secs(20), grows, async || {
        legacy.task(id).await["pollInterval"] == 100
    })
    .await;
    assert_eq!(modern.task(id).await["pollIntervalMs"], 100);
    let listed = legacy.request("tasks/list", json!({})).await;
    assert_eq!(listed.result()["tasks"][0]["pollInterval"], 100);
    eventually(
        Duration::from_secs(20),
        "it stops at its maximum",
        async || modern.task(id).await["pollIntervalMs"] == 120,
    )
    .await;
    step(folder.path(), 1..=4);
    let done = modern.until(id, "completed").await;
    assert_eq!(done["pollIntervalMs"], 10);
    fleet.check_idle().await;
}

#[tokio::test]
async fn a_tool_may_have_something_to_tell_a_model_at_once() {
    let fleet = Fleet::start_with(&["--single-user", "true"], &[]).await;
    let _worker = worker(&fleet.redis.url(), "tests/e2e/same.toml", &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = json!({ "folder": folder.path() });
    let session = Legacy::open(fleet.endpoint()).await;
    let created = async |tool: &str| {
        let params = json!({ "name": tool, "arguments": arguments, "task": {} });
        session.request("tools/call", params).await.result().clone()
    };
    let told = created("shared").await;
    assert_eq!(
        told["_meta"],
        json!({ "io.modelcontextprotocol/model-immediate-response": "The steps are being taken; go on with something else." })
    );
    assert!(created("slowing").await.get("_meta").is_none());
    // The extension has no place for it.
    let modern = Modern::with_tasks(fleet.endpoint());
    let created = modern.call("shared", arguments.clone()).await;
    assert!(!created.text.contains("immediate"), "{}", created.text);
    step(folder.path(), 1..=4);
    fleet.check_idle().await;
}
