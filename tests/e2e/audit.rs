//! What front ends note of what callers do.

use serde_json::{Value, json};
use taskferry_client::{Method, TASKS};
use taskferry_testing::{TestServer, command, eventually, redis};

use crate::askable::MANIFEST;
use crate::client::{Legacy, Modern, http};
use crate::fleet::{Replica, worker};
use crate::tools::with_basic;

const SOON: std::time::Duration = std::time::Duration::from_secs(30);

/// Stands in arguments, results, answers, tokens and the password of Redis.
const PLANTED: &str = "planted-c7b1";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// The address of a server whose password is planted.
async fn with_password(server: &TestServer) -> String {
    let mut user = redis::cmd("ACL");
    user.arg(&["SETUSER", "app", "on", "~*", "&*", "+@all"]);
    user.arg(format!(">{PLANTED}"));
    let mut connection = server.raw().await;
    user.query_async::<()>(&mut connection).await.unwrap();
    server.url().replace("://", &format!("://app:{PLANTED}@"))
}

/// The audit's lines, each with what was done first.
fn noted(replica: &Replica) -> Vec<(String, Value)> {
    let said = replica.process.stderr();
    let fields = said.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        (line["target"] == "audit").then(|| line["fields"].clone())
    });
    let named = |fields: Value| (fields["message"].as_str().unwrap().to_owned(), fields);
    fields.map(named).collect()
}

/// What was done to a task.
fn done_to(task: &str, all: &[(String, Value)]) -> Vec<String> {
    let printed = command("taskferry").args(["digest", task]).output();
    let digest = String::from_utf8(printed.unwrap().stdout).unwrap();
    let about = all
        .iter()
        .filter(|(_, fields)| fields["task"] == digest.trim());
    about.map(|(act, _)| act.clone()).collect()
}

/// A task that asks its client, and is answered.
async fn asked_and_answered(modern: &Modern) -> String {
    let params =
        json!({ "message": PLANTED, "requestedSchema": { "type": "object", "properties": {} } });
    let wish = json!({ "what": "elicitation", "params": params.to_string() });
    let task = modern.start("asks_anything", wish).await;
    modern.until(&task, "input_required").await;
    let said = json!({ "action": "accept", "content": { "word": PLANTED } });
    let answers = json!({ "taskId": task, "inputResponses": { "it": said } });
    modern.request("tasks/update", answers).await.result();
    modern.until(&task, "completed").await;
    task
}

#[tokio::test]
async fn what_callers_do_is_a_line_each_with_digests_and_nobodys_data() {
    let redis = TestServer::start().await;
    let url = with_password(&redis).await;
    let flags = ["--log-format", "json", "--single-user", "true"];
    let replica = Replica::start(&url, &flags).await;
    let worker = worker(&url, &with_basic(MANIFEST), &[]).await;
    replica.lists("asks_anything").await;

    let capabilities = json!({ "elicitation": {}, "extensions": { TASKS: {} } });
    let modern = Modern::with(&replica.endpoint, capabilities);
    let traced = json!({ "traceparent": format!("00-{TRACE}-b7ad6b7169203331-01"), "progressToken": PLANTED });
    let params = json!({ "name": "echo", "arguments": { "text": PLANTED }, "_meta": traced });
    let made = modern.request("tools/call", params).await;
    let task = made.result()["taskId"].as_str().unwrap().to_owned();
    modern.until(&task, "completed").await;
    let answered = asked_and_answered(&modern).await;
    let legacy = Legacy::open_with_tasks(&replica.endpoint).await;
    legacy.call("echo", json!({ "text": PLANTED })).await;
    let nap = json!({ "seconds": 600, "folder": "/tmp" });
    let cancelled = legacy.start("nap", nap, 60_000).await;
    let id = json!({ "taskId": cancelled });
    legacy.request("tasks/cancel", id).await.result();
    let unknown = task.replace(&task[2..10], "00000000");
    let refused = modern.request("tasks/get", json!({ "taskId": unknown }));
    assert_eq!(refused.await.code(), -32602);
    let evil = [("origin", "https://evil.example")];
    http(Method::POST, &replica.endpoint, &evil, None).await;

    eventually(SOON, "the last of it is noted", async || {
        noted(&replica)
            .last()
            .is_some_and(|(_, last)| last["peer"] == "127.0.0.1")
    })
    .await;
    let all = noted(&replica);
    assert_eq!(done_to(&task, &all)[..2], ["create", "read"], "{all:#?}");
    assert_eq!(done_to(&answered, &all)[..3], ["create", "answer", "read"]);
    assert_eq!(done_to(&cancelled, &all), ["create", "cancel"]);
    assert_eq!(done_to(&unknown, &all), ["denied"]);
    let created = &all[0].1;
    for (field, value) in [("tool", "echo"), ("trace", TRACE), ("request", "1")] {
        assert_eq!(created[field], value, "{created:#}");
    }
    assert!(created["owner"].is_string() && created["replica"].is_string());
    let plain = |(_, fields): &&(String, Value)| fields["tool"] == "echo";
    let acts: Vec<&str> = all
        .iter()
        .filter(plain)
        .map(|(act, _)| act.as_str())
        .collect();
    assert_eq!(acts, ["create", "read", "create", "read"], "{all:#?}");
    // Ids are looked for at the end of every process that a test starts.
    for said in [replica.process.stderr(), worker.stderr()] {
        assert!(!said.contains(PLANTED), "{said}");
    }
}
