//! What a client is told to do while a task runs: how often to poll, and what to tell its model meanwhile.

use std::time::{Duration, Instant};

use serde_json::json;
use taskferry_testing::eventually;

use crate::client::{Legacy, Modern};
use crate::fleet::Fleet;
use crate::jobs::take_steps;

const SLOWING: &str = r#"
[[tool]]
name = "slowing"
description = "Takes three steps, each when a file in a folder says so, and is polled less and less often"
command = ["sh", "$HERE/paced.sh", "{folder}"]
poll_interval = "10ms"
poll_interval_max = "120ms"
input_schema = '{"type":"object","properties":{"folder":{"type":"string"}},"required":["folder"],"additionalProperties":false}'
"#;
const TELLS_AT_ONCE: &str = r#"
[[tool]]
name = "tells_at_once"
description = "The same, and tells something when it is called"
command = ["sh", "$HERE/paced.sh", "{folder}"]
immediate_response = "The steps are being taken; go on with something else."
input_schema = '{"type":"object","properties":{"folder":{"type":"string"}},"required":["folder"],"additionalProperties":false}'
"#;

const SOON: Duration = Duration::from_secs(20);
/// How old a task is when its interval grows for the first time.
const GROWS: Duration = Duration::from_secs(2);

#[tokio::test]
async fn the_older_a_task_the_less_often_it_is_polled() {
    let fleet = Fleet::with_tools(SLOWING, &["--single-user", "true"], &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = json!({ "folder": folder.path() });
    let legacy = Legacy::open(fleet.endpoint()).await;
    let modern = Modern::with_tasks(fleet.endpoint());
    let before = Instant::now();
    let created = modern.call("slowing", arguments).await;
    let after = Instant::now();
    assert_eq!(created.result()["pollIntervalMs"], 10);
    let id = created.result()["taskId"].as_str().unwrap();
    let mut last = 10;
    eventually(SOON, "it grows until its maximum", async || {
        let asked = after.elapsed();
        let first = legacy.task(id).await["pollInterval"].as_u64().unwrap();
        let answered = before.elapsed();
        let task = modern.task(id).await["pollIntervalMs"].as_u64().unwrap();
        let listed = legacy.request("tasks/list", json!({})).await;
        let listed = listed.result()["tasks"][0]["pollInterval"]
            .as_u64()
            .unwrap();
        let all = [last, first, task, listed];
        assert!(all.is_sorted(), "it never shrinks: {all:?}");
        assert!(all.iter().all(|ms| [10, 100, 120].contains(ms)), "{all:?}");
        // The task is at least as old as the time since its answer came, at most as that since it was asked for.
        assert!(answered >= GROWS || first == 10, "{all:?} at {answered:?}");
        assert!(asked < GROWS || first > 10, "{all:?} at {asked:?}");
        last = listed;
        last == 120
    })
    .await;
    take_steps(folder.path(), 1..=4);
    let done = modern.until(id, "completed").await;
    assert_eq!(done["pollIntervalMs"], 10);
}

#[tokio::test]
async fn a_tool_may_have_something_to_tell_a_model_at_once() {
    let tools = [TELLS_AT_ONCE, SLOWING].concat();
    let fleet = Fleet::with_tools(&tools, &["--single-user", "true"], &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = json!({ "folder": folder.path() });
    let session = Legacy::open(fleet.endpoint()).await;
    let created = async |tool: &str| {
        let params = json!({ "name": tool, "arguments": arguments, "task": {} });
        session.request("tools/call", params).await.result().clone()
    };
    let told = created("tells_at_once").await;
    assert_eq!(
        told["_meta"],
        json!({ "io.modelcontextprotocol/model-immediate-response": "The steps are being taken; go on with something else." })
    );
    assert!(created("slowing").await.get("_meta").is_none());
    // The extension has no place for it.
    let modern = Modern::with_tasks(fleet.endpoint());
    let created = modern.call("tells_at_once", arguments.clone()).await;
    assert!(!created.text.contains("immediate"), "{}", created.text);
    take_steps(folder.path(), 1..=4);
}
