//! Two owners at one front end, and nobody: what one has is not there for the others, by any method, in the words for an id
//! that never was, and with as much work.

use serde_json::{Value, json};
use taskferry_client::{Method, StatusCode};
use taskferry_testing::redis;

use crate::authorization::Guarded;
use crate::client::{Answer, Legacy, Modern};
use crate::stream::{Stream, resume};

/// An id that never was.
const UNKNOWN: &str = "0-00000000-0000-4000-8000-000000000000";

/// Every method that takes the id of a task, in both eras: how it is asked.
async fn ask_all(legacy: &Legacy, modern: &Modern, id: &str) -> Vec<(String, Answer)> {
    let mut answers = Vec::new();
    let params = json!({ "taskId": id });
    for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
        let answer = legacy.request(method, params.clone()).await;
        answers.push((format!("legacy {method}"), answer));
    }
    let update = json!({ "taskId": id, "inputResponses": { "x": { "action": "accept" } } });
    for (method, params) in [
        ("tasks/get", &params),
        ("tasks/cancel", &params),
        ("tasks/update", &update),
    ] {
        let answer = modern.request(method, params.clone()).await;
        answers.push((format!("modern {method}"), answer));
    }
    let without_tasks = Modern {
        capabilities: json!({}),
        ..modern.clone()
    };
    for tool in ["task_status", "task_result", "task_cancel"] {
        let answer = without_tasks.call(tool, json!({ "task_id": id })).await;
        answers.push((tool.to_owned(), answer));
    }
    answers
}

/// What the front ends asked Redis for since the last time, whatever was in it.
async fn commands(guarded: &Guarded) -> u64 {
    let mut connection = guarded.server.raw().await;
    let info: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(&mut connection)
        .await
        .unwrap();
    let _: () = redis::cmd("CONFIG")
        .arg("RESETSTAT")
        .query_async(&mut connection)
        .await
        .unwrap();
    // What a script calls, and the calls of scripts; background work is of other kinds.
    let of = |name: &str| {
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
        line.map_or(0, |rest| {
            rest.split(',').next().unwrap().parse::<u64>().unwrap()
        })
    };
    of("hmget")
}

#[tokio::test]
async fn anothers_task_is_not_found_by_any_method_just_as_one_that_never_was() {
    let guarded = Guarded::start("", "", &["--stream-after", "100ms"]).await;
    let [alice, bob] = ["alice", "bob"].map(|subject| guarded.issuer.token(subject, ""));
    let own = Legacy::open_by(guarded.endpoint(), &alice).await;
    let legacy_task = own.start("echo", json!({ "text": "mine" }), 60_000).await;
    let modern_task = guarded
        .modern(&alice)
        .start("echo", json!({ "text": "mine" }))
        .await;
    own.until(&legacy_task, "completed").await;
    own.until(&modern_task, "completed").await;

    let strange = Legacy::open_by(guarded.endpoint(), &bob).await;
    let modern = guarded.modern(&bob);
    for id in [&legacy_task, &modern_task] {
        let of_another = ask_all(&strange, &modern, id).await;
        let of_none = ask_all(&strange, &modern, UNKNOWN).await;
        for ((asked, another), (_, none)) in of_another.into_iter().zip(of_none) {
            assert_eq!(another.status, none.status, "{asked}");
            assert_eq!(
                another.text.replace(id.as_str(), UNKNOWN),
                none.text,
                "{asked}"
            );
            assert!(
                another.text.contains("no such task"),
                "{asked}: {}",
                another.text
            );
        }
        let wanted = json!({ "notifications": { "taskIds": [id], "toolsListChanged": true } });
        let mut heard = Stream::of(modern.open("subscriptions/listen", wanted).await);
        let acknowledged = heard.next().await;
        let tasks = &acknowledged["params"]["notifications"]["taskIds"];
        assert_eq!(*tasks, json!([]), "{acknowledged:#}");
        // It is still there for its owner, whole.
        let result = own.result_of(id).await;
        assert!(result.text.contains("mine"), "{}", result.text);
    }
    // Nobody gets as far as the method.
    let nobody = modern.by(None);
    for (asked, answer) in ask_all(&strange.by(None), &nobody, &modern_task).await {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{asked}");
    }
    // As much is read for another's id as for one that never was.
    let mut reads = Vec::new();
    for id in [&modern_task, UNKNOWN] {
        commands(&guarded).await;
        for _ in 0..20 {
            modern.request("tasks/get", json!({ "taskId": id })).await;
        }
        reads.push(commands(&guarded).await);
    }
    assert_eq!(reads[0].abs_diff(reads[1]), 0, "{reads:?}");
}

#[tokio::test]
async fn anothers_session_stream_and_key_of_a_call_are_not_there() {
    let guarded = Guarded::start("", "", &["--stream-after", "100ms"]).await;
    let [alice, bob] = ["alice", "bob"].map(|subject| guarded.issuer.token(subject, ""));
    let own = Legacy::open_by(guarded.endpoint(), &alice).await;
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }).to_string();
    let folder = tempfile::tempdir().unwrap();
    let params = json!({ "name": "paced", "arguments": { "folder": folder.path() } });
    let mut call = Stream::post(&own, 7, "tools/call", params).await;
    call.first_event().await;
    for (stranger, status) in [
        (own.by(Some(&bob)), StatusCode::NOT_FOUND),
        (own.by(None), StatusCode::UNAUTHORIZED),
    ] {
        for (method, body) in [
            (Method::POST, Some(list.clone())),
            (Method::GET, None),
            (Method::DELETE, None),
        ] {
            let refused = stranger.send_anything(method.clone(), body).await;
            assert_eq!(refused.status, status, "{method}");
        }
        let refused = resume(&stranger, &call.last_id()).await;
        assert_eq!(refused.status(), status);
    }
    // An event id of another's stream is none of the stranger's own session either.
    let strange = Legacy::open_by(guarded.endpoint(), &bob).await;
    let refused = resume(&strange, &call.last_id()).await;
    assert_ne!(refused.status(), StatusCode::OK);
    (1..=4).for_each(|step| std::fs::write(folder.path().join(step.to_string()), "").unwrap());
    assert_eq!(call.until("result").await["id"], 7);

    // One key of a call is as many as there are owners.
    let keyed = |token: &str, text: &str| {
        let client = guarded.modern(token);
        let params = json!({ "name": "echo", "arguments": { "text": text }, "_meta": { "taskferry/idempotencyKey": "k" } });
        async move {
            let made: Value = client.request("tools/call", params).await.body;
            made["result"]["taskId"].as_str().unwrap().to_owned()
        }
    };
    let mine = keyed(&alice, "a").await;
    assert_eq!(keyed(&alice, "a").await, mine);
    assert_ne!(keyed(&bob, "b").await, mine);
}
