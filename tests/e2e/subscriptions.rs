//! What a modern client hears that subscribed.

use std::time::{Duration, Instant};

use serde_json::json;
use taskferry_client::TASKS;
use taskferry_testing::promptly;

use crate::client::Modern;
use crate::fleet::Fleet;
use crate::jobs::take_steps;
use crate::questions::{SOON, accepted, asking, asking_fleet};
use crate::stream::Stream;

#[tokio::test]
async fn a_subscription_tells_of_tasks_and_tools_and_ends_gracefully() {
    let mut fleet = asking_fleet().await;
    let capabilities = json!({ "elicitation": {}, "extensions": { TASKS: {} } });
    let client = Modern::with(&fleet.replicas[0].endpoint, capabilities);
    let elsewhere = Modern {
        endpoint: fleet.replicas[1].endpoint.clone(),
        ..client.clone()
    };
    let id = elsewhere.start("summarize_orders", asking()).await;
    let wanted = json!({ "notifications": {
        "toolsListChanged": true, "promptsListChanged": true, "taskIds": [id, "unknown"],
    } });
    let mut stream = Stream::of(client.open("subscriptions/listen", wanted.clone()).await);
    let acknowledged = stream.next().await;
    assert_eq!(
        acknowledged["method"],
        "notifications/subscriptions/acknowledged"
    );
    assert_eq!(
        acknowledged["params"]["notifications"],
        json!({ "toolsListChanged": true, "taskIds": [id] })
    );
    let mut task = json!({});
    while task["params"]["status"] != "input_required" {
        task = stream.until("notifications/tasks").await;
        assert_eq!(
            task["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
            1
        );
    }
    let key = task["params"]["inputRequests"]
        .as_object()
        .unwrap()
        .keys()
        .next()
        .unwrap()
        .clone();
    let answers = json!({ "taskId": id, "inputResponses": { key: accepted() } });
    elsewhere.request("tasks/update", answers).await.result();
    while task["params"]["status"] != "completed" {
        task = stream.until("notifications/tasks").await;
    }
    assert_eq!(task["params"]["result"]["isError"], false, "{task:#}");

    let without = Modern::with(&fleet.replicas[0].endpoint, json!({}));
    assert_eq!(
        without.request("subscriptions/listen", wanted).await.code(),
        -32021
    );

    fleet.replicas[0].process.terminate();
    let end = stream.until("never").await;
    assert_eq!(
        end["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
        1
    );
    let status = fleet.replicas[0].process.wait_for_exit(SOON).await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_subscription_tells_the_end_of_a_task_when_the_bell_rings() {
    let fleet = Fleet::start().await;
    let client = Modern::with_tasks(&fleet.replicas[0].endpoint);
    let elsewhere = client.at(&fleet.replicas[1].endpoint);
    // It looks by itself every three seconds.
    promptly(Duration::from_secs(2), "the end is told", async || {
        let folder = tempfile::tempdir().unwrap();
        let id = elsewhere
            .start("paced", json!({ "folder": folder.path() }))
            .await;
        let wanted = json!({ "notifications": { "taskIds": [id] } });
        let mut stream = Stream::of(client.open("subscriptions/listen", wanted).await);
        let mut task = stream.until("notifications/tasks").await;
        let ends = Instant::now();
        take_steps(folder.path(), 1..=4);
        while task["params"]["status"] != "completed" {
            task = stream.until("notifications/tasks").await;
        }
        ends.elapsed()
    })
    .await;
}
