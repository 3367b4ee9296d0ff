//! Callers who can be told apart take turns: what one queued beyond its share waits in a line of its own, and says so.

use serde_json::json;
use taskferry_testing::{TestServer, redis};

use crate::client::Legacy;
use crate::fleet::{Replica, worker};

/// A tool that notes what it was called with.
fn tools(notes: &str) -> String {
    format!(
        r#"
[[tool]]
name = "note"
description = "Notes a name"
command = ["sh", "-c", "echo $1 >> {notes}", "sh", "{{name}}"]
poll_interval = "100ms"
input_schema = '{{"type":"object","required":["name"],"properties":{{"name":{{"type":"string"}}}}}}'
"#
    )
}

#[tokio::test]
async fn one_who_queued_many_lets_another_in_after_its_share_and_each_is_told() {
    let server = TestServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let notes = folder.path().join("notes").display().to_string();
    // Its tools are known, and nobody works yet.
    drop(worker(&server.url(), &tools(&notes), &["--slots", "1"]).await);
    let flags = ["--single-user", "true", "--owner-share", "2"];
    let many = Replica::start(&server.url(), &flags).await;
    let other = Replica::start(&server.url(), &[]).await;
    for replica in [&many, &other] {
        replica.lists("note").await;
    }
    let (first, second) = (
        Legacy::open_with_tasks(&many.endpoint).await,
        Legacy::open_with_tasks(&other.endpoint).await,
    );
    let mut tasks = Vec::new();
    for number in 0..5 {
        let name = json!({ "name": format!("many-{number}") });
        tasks.push(first.start("note", name, 600_000).await);
    }
    let one = second
        .start("note", json!({ "name": "one" }), 600_000)
        .await;

    let poll = first
        .request("tasks/get", json!({ "taskId": tasks[4] }))
        .await;
    let told = poll.result()["statusMessage"].as_str().unwrap().to_owned();
    assert!(
        told.starts_with("The task waits for its turn since "),
        "{told}"
    );
    assert!(
        told.ends_with("; 4 of your own calls of note go first."),
        "{told}"
    );
    // What an autoscaler counts.
    let mut redis = server.raw().await;
    for (command, key, expected) in [
        ("XLEN", "tf:{0}:queue:default", 3),
        ("ZCARD", "tf:{0}:backlog:default", 3),
    ] {
        let mut count = redis::cmd(command);
        count.arg(key);
        let counted: i64 = count.query_async(&mut redis).await.unwrap();
        assert_eq!(counted, expected, "{key}");
    }

    let _worker = worker(&server.url(), &tools(&notes), &["--slots", "1"]).await;
    second.until(&one, "completed").await;
    for task in &tasks {
        first.until(task, "completed").await;
    }
    let noted = std::fs::read_to_string(&notes).unwrap();
    let order = ["many-0", "many-1", "one", "many-2", "many-3", "many-4"];
    assert_eq!(noted.lines().collect::<Vec<_>>(), order);
}
