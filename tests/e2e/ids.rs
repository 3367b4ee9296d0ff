//! Ids, keys and cursors that are unknown, used up, altered or expired, beside some that live.

use std::time::Duration;

use serde_json::{Value, json};
use taskferry_client::TASKS;
use taskferry_testing::eventually;

use crate::client::{Legacy, Modern};
use crate::fleet::Fleet;
use crate::jobs::{expire, paced, take_steps};
use crate::questions::{SOON, fixture_fleet};
use crate::stream::Stream;

const NEVER: &str = "0-00000000-0000-4000-8000-000000000000";

/// A fleet of one user, whose tasks can be listed.
async fn own_fleet() -> Fleet {
    Fleet::start_with(&["--single-user", "true", "--stream-after", "300ms"], &[]).await
}

#[tokio::test]
async fn an_unknown_id_is_not_found_whatever_is_asked_of_it_and_harms_no_other() {
    let fleet = own_fleet().await;
    let legacy = Legacy::open(&fleet.replicas[0].endpoint).await;
    let modern = Modern::with_tasks(&fleet.replicas[1].endpoint);
    let folder = tempfile::tempdir().unwrap();
    let nap = json!({ "seconds": 2, "folder": folder.path() });
    let live = [
        legacy.start("nap", nap.clone(), 60_000).await,
        modern.start("nap", nap).await,
    ];
    for id in [
        NEVER,
        "9-00000000-0000-4000-8000-000000000000",
        "0-",
        "x",
        "",
    ] {
        for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
            let refused = legacy.request(method, json!({ "taskId": id })).await;
            assert_eq!(refused.code(), -32602, "{method} {id:?}: {}", refused.text);
        }
        for method in ["tasks/get", "tasks/cancel"] {
            let refused = modern.request(method, json!({ "taskId": id })).await;
            assert_eq!(refused.code(), -32602, "{method} {id:?}: {}", refused.text);
        }
        let params = json!({ "taskId": id, "inputResponses": {} });
        let refused = modern.request("tasks/update", params).await;
        assert_eq!(refused.code(), -32602, "{id:?}: {}", refused.text);
    }
    let (first, second, none) = tokio::join!(
        legacy.result_of(&live[0]),
        legacy.result_of(&live[1]),
        legacy.result_of(NEVER)
    );
    assert_eq!(none.code(), -32602);
    for (result, id) in [(first, &live[0]), (second, &live[1])] {
        let text = result.result()["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(id.as_str()), "{text}");
    }
}

#[tokio::test]
async fn a_subscription_follows_those_that_live_and_says_nothing_of_one_that_expired() {
    let fleet = own_fleet().await;
    let modern = Modern::with_tasks(&fleet.replicas[0].endpoint);
    let legacy = Legacy::open(&fleet.replicas[1].endpoint).await;
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let expiring = legacy.start("paced", paced(other.path()), 60_000).await;
    let finishing = modern.start("paced", paced(folder.path())).await;
    let wanted = json!({ "notifications": { "taskIds": [expiring, NEVER, finishing] } });
    let mut stream = Stream::of(modern.open("subscriptions/listen", wanted).await);
    let granted = stream.next().await["params"]["notifications"]["taskIds"].clone();
    assert_eq!(granted, json!([expiring, finishing]));
    let mut told: Vec<(Value, Value)> = Vec::new();
    while !told
        .iter()
        .any(|(id, status)| *id == finishing && status == "completed")
    {
        let task = stream.until("notifications/tasks").await;
        let params = &task["params"];
        told.push((params["taskId"].clone(), params["status"].clone()));
        if params["taskId"] == expiring {
            expire(&fleet.redis, &expiring).await;
            take_steps(folder.path(), 1..=4);
        }
    }
    let of_expired: Vec<&Value> = told
        .iter()
        .filter_map(|(id, status)| (*id == expiring).then_some(status))
        .collect();
    assert_eq!(of_expired, [&json!("working")], "it has no state to tell");
    let gone = modern.request("tasks/get", json!({ "taskId": expiring }));
    assert_eq!(gone.await.code(), -32602);
}

#[tokio::test]
async fn an_expired_task_is_in_no_list_and_a_cursor_that_was_altered_is_refused() {
    let fleet = own_fleet().await;
    let session = Legacy::open(fleet.endpoint()).await;
    let echo = json!({ "text": "x" });
    let expiring = session.start("echo", echo.clone(), 1000).await;
    for _ in 0..51 {
        session.start("echo", echo.clone(), 60_000).await;
    }
    let page = async |params: Value| session.request("tasks/list", params).await;
    eventually(SOON, "the task expires", async || {
        session
            .request("tasks/get", json!({ "taskId": expiring }))
            .await
            .body["error"]["code"]
            == -32602
    })
    .await;
    let mut listed: Vec<Value> = Vec::new();
    let mut cursors: Vec<String> = Vec::new();
    let mut params = json!({});
    loop {
        let shown = page(params).await.result().clone();
        let tasks = shown["tasks"].as_array().unwrap().iter();
        listed.extend(tasks.map(|task| task["taskId"].clone()));
        let Some(cursor) = shown["nextCursor"].as_str() else {
            break;
        };
        cursors.push(cursor.to_owned());
        params = json!({ "cursor": cursor });
    }
    assert_eq!(listed.len(), 51);
    assert!(!listed.contains(&json!(expiring)));
    let cursor = &cursors[0];
    for altered in [
        format!("{cursor}x"),
        cursor[1..].to_owned(),
        cursor.replace('-', "_") + "A",
    ] {
        let refused = page(json!({ "cursor": altered })).await;
        assert_eq!(refused.code(), -32602, "{altered}: {}", refused.text);
    }
}

#[tokio::test]
async fn a_key_is_used_once_and_a_second_answer_changes_nothing() {
    let fleet = fixture_fleet().await;
    let capabilities = json!({ "elicitation": {}, "extensions": { TASKS: {} } });
    let here = Modern::with(&fleet.replicas[0].endpoint, capabilities);
    let elsewhere = Modern {
        endpoint: fleet.replicas[1].endpoint.clone(),
        ..here.clone()
    };
    let id = here.start("multi_input", json!({})).await;
    let asked = here.until(&id, "input_required").await;
    let keys: Vec<String> = asked["inputRequests"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(keys.len(), 2, "{asked:#}");
    let says =
        |name: &str| json!({ "action": "accept", "content": { "name": name, "confirm": true } });
    let update = async |client: &Modern, key: &str, answer: Value| {
        let params = json!({ "taskId": id, "inputResponses": { key: answer } });
        client.request("tasks/update", params).await.result();
    };
    update(&here, &keys[0], says("first")).await;
    update(&elsewhere, &keys[0], says("second")).await;
    let left = elsewhere.task(&id).await;
    let open: Vec<&String> = left["inputRequests"].as_object().unwrap().keys().collect();
    assert_eq!(open, [&keys[1]], "an answered key is never asked again");
    update(&here, &keys[1], says("first")).await;
    let done = elsewhere.until(&id, "completed").await;
    assert!(!done.to_string().contains("second"), "{done:#}");
    // Of a task that ended the answer is taken and means nothing.
    update(&here, &keys[0], says("third")).await;
    assert_eq!(elsewhere.task(&id).await, done);
    let lives = Duration::from_millis(done["ttlMs"].as_u64().unwrap());
    assert!(lives >= Duration::from_secs(60), "{done:#}");
}
