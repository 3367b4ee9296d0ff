//! Idempotency keys: a call that is made again is answered by the job of the first.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use taskferry_client::Method;
use taskferry_testing::eventually;
use tokio::task::JoinSet;

use crate::client::{Answer, Legacy, Modern};
use crate::fleet::Fleet;
use crate::jobs::{call, held_by, records, runs, take_steps, text, the_job};
use crate::stream::Stream;

const KEY: &str = "taskferry/idempotencyKey";
const UUID: &str = "0b8f0f4e-6f0c-4f2b-8f3d-1d7a1c9b2a55";

fn key(key: &str) -> Value {
    json!({ KEY: key })
}

fn as_task(tool: &str, arguments: &Value, meta: Value) -> Value {
    let mut params = call(tool, arguments, meta);
    params["task"] = json!({ "ttl": 60_000 });
    params
}

fn legacy_task(answer: &Answer) -> (String, String) {
    let task = &answer.result()["task"];
    let word = |name: &str| task[name].as_str().unwrap().to_owned();
    (word("taskId"), word("status"))
}

#[tokio::test]
async fn a_key_stands_for_one_task_on_every_replica_in_both_eras() {
    let fleet = Fleet::start_with(&["--single-user", "true"], &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = json!({ "folder": folder.path(), "seconds": 0 });
    let legacy = Legacy::open(fleet.endpoint()).await;
    let modern = Modern::with_tasks(fleet.endpoint());
    let params = as_task("nap", &arguments, key("july"));
    // Twelve at once, which the balancer spreads over both replicas; one spells its arguments in another way.
    let spelled = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"nap","task":{{}},"_meta":{{"{KEY}":"jul\u0079"}},"arguments":{{ "seconds" : 0,"folder":{} }}}}}}"#,
        json!(folder.path())
    );
    let mut calls = JoinSet::new();
    for n in 0..11 {
        let (legacy, modern, params) = (legacy.clone(), modern.clone(), params.clone());
        calls.spawn(async move {
            if n % 2 == 0 {
                legacy_task(&legacy.request("tools/call", params).await).0
            } else {
                let answer = modern.request("tools/call", params).await;
                assert_eq!(answer.result()["resultType"], "task");
                answer.result()["taskId"].as_str().unwrap().to_owned()
            }
        });
    }
    let spelled = legacy.send(Method::POST, Some(spelled)).await;
    let mut ids = BTreeSet::from_iter(calls.join_all().await);
    ids.insert(legacy_task(&spelled).0);
    assert_eq!(ids.len(), 1, "{ids:?}");
    let id = ids.pop_first().unwrap();
    legacy.until(&id, "completed").await;

    let again = legacy.request("tools/call", params.clone()).await;
    assert_eq!(legacy_task(&again), (id.clone(), "completed".to_owned()));
    let again = modern.request("tools/call", params).await;
    assert_eq!(
        (&again.result()["taskId"], &again.result()["status"]),
        (&json!(id), &json!("completed"))
    );
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert_eq!(log.lines().count(), 1, "it ran once: {log}");
    assert_eq!(records(&fleet).await.len(), 1);
}

#[tokio::test]
async fn a_key_is_for_one_call() {
    let fleet = Fleet::start_with(&["--single-user", "true"], &[]).await;
    let legacy = Legacy::open(fleet.endpoint()).await;
    let modern = Modern::with(fleet.endpoint(), json!({}));
    let first = json!({ "text": "one" });
    let params = call("echo", &first, key("k"));
    assert_eq!(
        text(modern.request("tools/call", params).await.result()),
        "one"
    );
    let others = [
        call("echo", &json!({ "text": "two" }), key("k")),
        call("verbatim", &json!({ "result": "{}" }), key("k")),
        as_task("echo", &json!({ "text": "two" }), key("k")),
    ];
    for params in others {
        for answer in [
            legacy.request("tools/call", params.clone()).await,
            modern.request("tools/call", params).await,
        ] {
            assert_eq!(answer.code(), -32602, "{}", answer.text);
            assert!(answer.message().contains("another call"), "{}", answer.text);
        }
    }
    assert_eq!(records(&fleet).await.len(), 1, "nothing was queued");
}

#[tokio::test]
async fn a_plain_call_that_is_made_again_waits_for_the_same_job() {
    let flags = ["--single-user", "true", "--stream-after", "100ms"];
    let fleet = Fleet::start_with(&flags, &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = json!({ "folder": folder.path() });
    let legacy = Legacy::open(&fleet.replicas[0].endpoint).await;
    let modern = Modern::with(&fleet.replicas[1].endpoint, json!({}));
    let meta = |token: &str| json!({ KEY: "k", "progressToken": token });
    let one = legacy.request("tools/call", call("paced", &arguments, meta("one")));
    let other = modern.request("tools/call", call("paced", &arguments, meta("other")));
    let steps = async {
        the_job(&fleet, "both wait", |job| runs(job) && held_by(2)(job)).await;
        take_steps(folder.path(), [1]);
        the_job(&fleet, "the step is told", |job| {
            job.contains_key("progress")
        })
        .await;
        take_steps(folder.path(), 2..=4);
    };
    let (one, other, ()) = tokio::join!(one, other, steps);
    for (answer, token) in [(&one, "one"), (&other, "other")] {
        assert_eq!(text(answer.result()).trim(), "done");
        let told = &answer.before[0];
        assert_eq!(told["method"], "notifications/progress", "{}", answer.text);
        assert_eq!(told["params"]["progressToken"], token);
    }
    // After the end it is the same result, and as a task the same job.
    let again = legacy.request("tools/call", call("paced", &arguments, key("k")));
    assert_eq!(again.await.result(), one.result());
    let task = legacy.request("tools/call", as_task("paced", &arguments, key("k")));
    let (id, status) = legacy_task(&task.await);
    assert_eq!(status, "completed");
    let result = legacy.result_of(&id).await;
    assert_eq!(result.result()["content"], one.result()["content"]);
    assert_eq!(records(&fleet).await.len(), 1);
}

#[tokio::test]
async fn a_key_lasts_as_long_as_its_task() {
    let fleet = Fleet::start_with(&["--single-user", "true"], &[]).await;
    let session = Legacy::open(fleet.endpoint()).await;
    let mut params = as_task("echo", &json!({ "text": "x" }), key("k"));
    params["task"]["ttl"] = json!(1_000);
    let (first, _) = legacy_task(&session.request("tools/call", params.clone()).await);
    eventually(Duration::from_secs(5), "the task is gone", async || {
        let poll = session.request("tasks/get", json!({ "taskId": first }));
        poll.await.body["error"]["code"] == -32602
    })
    .await;
    let (second, status) = legacy_task(&session.request("tools/call", params).await);
    assert_ne!(second, first);
    assert_eq!(status, "working");
}

#[tokio::test]
async fn a_modern_call_whose_connection_broke_can_be_made_again() {
    let fleet = Fleet::start_with(&["--single-user", "true"], &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let params = call("paced", &json!({ "folder": folder.path() }), key("k"));
    let modern = Modern::with(&fleet.replicas[0].endpoint, json!({}));
    {
        let first = modern.request("tools/call", params.clone());
        tokio::select! {
            answer = first => panic!("it has not ended: {}", answer.text),
            _runs = the_job(&fleet, "it runs", runs) => {}
        }
    }
    the_job(&fleet, "it is cancelled", |job| {
        job["status"] == "cancelled"
    })
    .await;
    take_steps(folder.path(), 1..=4);
    let elsewhere = Modern::with(&fleet.replicas[1].endpoint, json!({}));
    let again = elsewhere.request("tools/call", params).await;
    assert_eq!(text(again.result()).trim(), "done");
}

#[tokio::test]
async fn callers_who_cannot_be_told_apart_do_not_get_each_others_tasks_by_accident() {
    // Their jobs are spread over the shards at random, but for those that a key must find again.
    let shards = ["--redis-shards", "16"];
    let fleet = Fleet::start_with(&shards, &shards).await;
    let arguments = json!({ "text": "x" });
    let here = Legacy::open(&fleet.replicas[0].endpoint).await;
    let other = Legacy::open(fleet.endpoint()).await;
    let params = as_task("echo", &arguments, key("1"));
    let (first, _) = legacy_task(&here.request("tools/call", params.clone()).await);
    let there = here.at(&fleet.replicas[1].endpoint);
    let (again, _) = legacy_task(&there.request("tools/call", params.clone()).await);
    assert_eq!(again, first);
    let (others, _) = legacy_task(&other.request("tools/call", params.clone()).await);
    assert_ne!(others, first);

    let modern = Modern::with_tasks(fleet.endpoint());
    let refused = modern.request("tools/call", params).await;
    assert_eq!(refused.code(), -32602);
    assert!(refused.message().contains("UUID"), "{}", refused.text);
    let mut ids = BTreeSet::new();
    for _ in 0..2 {
        let answer = modern.request("tools/call", call("echo", &arguments, key(UUID)));
        ids.insert(answer.await.result()["taskId"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(records(&fleet).await.len(), 3);
}

#[tokio::test]
async fn what_is_no_key_is_refused_in_both_eras() {
    let fleet = Fleet::start().await;
    let legacy = Legacy::open(fleet.endpoint()).await;
    let modern = Modern::with_tasks(fleet.endpoint());
    let long = "x".repeat(129);
    for wrong in [json!(1), json!(""), json!("é"), json!(long)] {
        let params = call("echo", &json!({ "text": "x" }), json!({ KEY: wrong }));
        for answer in [
            legacy.request("tools/call", params.clone()).await,
            modern.request("tools/call", params).await,
        ] {
            assert_eq!(answer.code(), -32602, "{wrong}: {}", answer.text);
            assert!(answer.message().contains(KEY), "{}", answer.text);
        }
    }
    assert_eq!(records(&fleet).await.len(), 0, "nothing was queued");
}

#[tokio::test]
async fn a_legacy_client_cancels_the_call_that_it_made_twice() {
    let fleet = Fleet::start_with(&["--stream-after", "100ms"], &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let params = call("paced", &json!({ "folder": folder.path() }), key("k"));
    let session = Legacy::open(&fleet.replicas[0].endpoint).await;
    let elsewhere = session.at(&fleet.replicas[1].endpoint);
    {
        let first = session.request("tools/call", params.clone());
        tokio::select! {
            answer = first => panic!("it has not ended: {}", answer.text),
            _runs = the_job(&fleet, "it runs", runs) => {}
        }
    }
    // A lost connection is no cancel in this era.
    let mut again = Stream::post(&elsewhere, 2, "tools/call", params).await;
    the_job(&fleet, "it is made again", held_by(2)).await;
    session.cancel(1).await;
    // This request was not cancelled, so it has an answer.
    let answer = again.next().await;
    assert_eq!(
        (&answer["id"], &answer["error"]["code"]),
        (&json!(2), &json!(-32603))
    );
    let text = answer["error"]["message"].as_str().unwrap();
    assert!(text.contains("cancelled"), "{text}");
    the_job(&fleet, "it ended", |job| job["status"] == "cancelled").await;
}
