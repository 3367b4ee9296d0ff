//! Queues and tools are paused and resumed.

use serde_json::{Value, json};
use taskferry_testing::eventually;

use super::{SOON, Site};
use crate::client::{Legacy, Modern};

/// What a client is told of a task.
async fn told(session: &Legacy, id: &str) -> String {
    let task = session.request("tasks/get", json!({ "taskId": id })).await;
    let message = &task.result()["statusMessage"];
    message.as_str().unwrap().to_owned()
}

async fn waits_for_the_end_of_a_pause(session: &Legacy, id: &str, words: &str) {
    eventually(SOON, words, async || {
        told(session, id).await.contains(words)
    })
    .await;
}

#[tokio::test]
async fn calls_wait_while_their_tool_or_its_queue_is_paused_and_run_once_it_is_resumed() {
    let site = Site::new().await;
    std::fs::write(site.folder.path().join("mended"), "").unwrap();
    let _worker = site.worker().await;
    let session = Legacy::open_with_tasks(&site.replica.endpoint).await;
    let modern = Modern::with_tasks(&site.replica.endpoint);
    for (kind, name) in [("tool", "brittle"), ("queue", "printers")] {
        let reason = ["--reason", "month-end close", "--by", "alice"];
        let words = [&["pause", kind, name], &reason[..]].concat();
        let paused = site.run(&words).await;
        let done = format!("{kind} {name} is paused; what runs goes on\n");
        assert_eq!((paused.code, paused.out), (0, done), "{}", paused.err);
        let id = session
            .start("brittle", json!({ "text": "one" }), 60_000)
            .await;
        let call = json!({ "name": "brittle", "arguments": { "text": "two" } });
        let made = modern.request("tools/call", call).await;
        let other = made.result()["taskId"].as_str().unwrap().to_owned();
        let words = format!("; its {kind} {name} is paused since 2");
        waits_for_the_end_of_a_pause(&session, &id, &words).await;
        let text = told(&session, &id).await;
        assert!(text.ends_with("Z: month-end close."), "{text}");
        // A worker has met both: none is on the stream, and neither came back.
        eventually(SOON, "both wait", async || {
            status(&site).await["waiting"] == 2
        })
        .await;
        let shown = &status(&site).await["paused"][0];
        let said = ["kind", "name", "by", "reason"].map(|name| shown[name].as_str().unwrap());
        assert_eq!(said, [kind, name, "alice", "month-end close"]);
        let listed = site.run(&["tools", "list", "--json"]).await.lines();
        let row = listed.iter().find(|row| row["name"] == "brittle").unwrap();
        assert_eq!(row["paused"], true);
        assert!(listed.iter().any(|row| row["paused"] == false));
        let resumed = site.run(&["resume", kind, name]).await;
        assert_eq!(resumed.code, 0, "{}", resumed.err);
        let words = format!("{kind} {name} is resumed; it was paused since 2");
        assert!(resumed.out.starts_with(&words), "{}", resumed.out);
        session.until(&id, "completed").await;
        modern.until(&other, "completed").await;
        assert_eq!(status(&site).await["paused"], json!([]));
    }
}

async fn status(site: &Site) -> Value {
    site.run(&["status", "--json"]).await.lines().remove(0)
}

#[tokio::test]
async fn what_cannot_be_paused_is_said() {
    let site = Site::new().await;
    let worker = site.worker().await;
    for (words, told) in [
        (
            ["pause", "tool", "britle"],
            "no tool \"britle\" is registered; see: taskferry tools list; to pause it before its workers come: --force",
        ),
        (
            ["pause", "queue", "printer"],
            "no tool is registered for the queue \"printer\", and no worker reads it; see: taskferry status; to pause it before its workers come: --force",
        ),
        (
            ["resume", "tool", "britle"],
            "no tool \"britle\" is registered; see: taskferry tools list",
        ),
        (
            ["pause", "tool", "a b"],
            "there can be none of this name: tool name \"a b\" is not valid: 1 to 128 ASCII letters, digits, underscores, hyphens and dots",
        ),
    ] {
        let refused = site.run(&words).await;
        let told = format!("taskferry: {told}\n");
        assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{words:?}");
        assert_eq!(refused.err, told, "{words:?}");
    }
    drop(worker);
}

#[tokio::test]
async fn pausing_twice_and_resuming_what_is_not_paused_are_said() {
    let site = Site::new().await;
    let worker = site.worker().await;
    let usage = site.run(&["pause", "worker", "w"]).await;
    assert_eq!(usage.code, 2);
    assert!(usage.err.contains("worker"), "{}", usage.err);

    let not = site.run(&["resume", "tool", "brittle"]).await;
    assert_eq!(
        (not.code, not.out.as_str()),
        (0, "tool brittle was not paused\n")
    );
    let first = ["pause", "tool", "brittle", "--by", "Ann Lee"];
    assert_eq!(site.run(&first).await.code, 0);
    let again = site.run(&["pause", "tool", "brittle"]).await;
    let was = "tool brittle was paused before, since 2";
    assert!(again.out.starts_with(was), "{}", again.out);
    assert!(again.out.ends_with("Z by Ann_Lee\n"), "{}", again.out);
    let words = ["pause", "tool", "brittle", "--reason", "no\nink"];
    let renamed = site.run(&words).await;
    assert!(
        renamed.out.ends_with("; it has a new reason now\n"),
        "{}",
        renamed.out
    );
    // It may be paused before its workers come, and its end names what else is.
    let early = site.run(&["pause", "queue", "later", "--force"]).await;
    assert_eq!(early.code, 0, "{}", early.err);
    let shown = site.run(&["status"]).await.out;
    for line in [
        "paused     queue later, since 2",
        "paused     tool brittle, since 2",
    ] {
        assert!(shown.contains(line), "{line} is not in {shown}");
    }
    assert!(shown.contains(": no ink\n"), "{shown}");
    let listed = site.run(&["tools", "list"]).await.out;
    assert!(
        listed.contains("tool brittle is paused, since 2"),
        "{listed}"
    );
    let resumed = site.run(&["resume", "tool", "brittle"]).await;
    assert!(
        resumed
            .err
            .starts_with("taskferry: queue later is still paused, since 2"),
        "{}",
        resumed.err
    );
    assert_eq!(site.run(&["resume", "queue", "later"]).await.err, "");
    drop(worker);
}
