//! With `call=debug` the front end's log has a line for each request.

use serde_json::json;
use taskferry_contract::TaskId;
use taskferry_testing::{TestServer, eventually};

use crate::client::{Legacy, Modern};
use crate::fleet::{Replica, worker};
use crate::tools::basic;

const SOON: std::time::Duration = std::time::Duration::from_secs(30);

/// The one line that holds all of these parts, once it is there.
async fn line(replica: &Replica, parts: &[&str]) -> String {
    let found = || -> Vec<String> {
        let said = replica.process.stderr();
        let of = |line: &&str| {
            line.contains("DEBUG call: served ") && parts.iter().all(|part| line.contains(part))
        };
        said.lines().filter(of).map(str::to_owned).collect()
    };
    let what = format!("a line with {parts:?}");
    eventually(SOON, &what, async || !found().is_empty()).await;
    let mut found = found();
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

#[tokio::test]
async fn each_request_is_a_line_that_names_tool_and_task_and_shows_no_argument() {
    let redis = TestServer::start().await.drained_at_end(SOON);
    let replica = Replica::start(&redis.url(), &["--log", "info,call=debug"]).await;
    let worker = worker(&redis.url(), &basic(), &[]).await;
    replica.lists("nap").await;

    let modern = Modern::with_tasks(&replica.endpoint);
    let task = modern.start("echo", json!({ "text": "SECRET" })).await;
    modern.until(&task, "completed").await;
    let id: TaskId = task.parse().unwrap();
    let named = format!("task={} ", id.digest());
    let made = [r#"era="modern" method="tools/call" tool=echo"#, &named];
    let made = line(&replica, &made).await;
    let end = r#"outcome="answered" status=200 took="#;
    assert!(made.contains(end) && made.ends_with("ms"), "{made}");
    let polled = || {
        replica
            .process
            .stderr()
            .matches(&format!(r#"method="tasks/get" {named}"#))
            .count()
    };
    assert!(polled() >= 1, "{}", replica.process.stderr());

    let legacy = Legacy::open(&replica.endpoint).await;
    line(
        &replica,
        &[r#"era="legacy" method="initialize" outcome="answered""#],
    )
    .await;
    legacy.call("echo", json!({ "text": "SECRET" })).await;
    let plain = [
        r#"era="legacy" method="tools/call" tool=echo task="#,
        "answered",
    ];
    line(&replica, &plain).await;
    let wrong = legacy.call("no such\ntool", json!({})).await;
    assert_eq!(wrong.code(), -32602);
    let refused = [r#"tool="no such\ntool" outcome="refused" status=200 code=-32602"#];
    line(&replica, &refused).await;

    // A plain call whose client leaves: its line names the task that the worker's line has too.
    let folder = tempfile::tempdir().unwrap();
    let nap = json!({ "seconds": 600, "folder": folder.path().to_str().unwrap() });
    let open = Modern::with(&replica.endpoint, json!({}));
    let response = open
        .open("tools/call", json!({ "name": "nap", "arguments": nap }))
        .await;
    drop(response);
    let left = line(&replica, &["tool=nap ", r#"outcome="client left" took="#]).await;
    let task = left.split(" task=").nth(1).unwrap();
    let task = task.split(' ').next().unwrap().to_owned();
    eventually(SOON, "its attempt is told to be cancelled", async || {
        let said = worker.stderr();
        let mut lines = said.lines();
        let end = format!("attempt: ended task={task} tool=nap attempt=1 ");
        lines.any(|line| line.contains(&end) && line.ends_with(r#"outcome="cancelled""#))
    })
    .await;
    for said in [replica.process.stderr(), worker.stderr()] {
        assert!(!said.contains("SECRET"), "{said}");
    }
}

#[tokio::test]
async fn without_it_no_request_is_told() {
    let redis = TestServer::start().await;
    let replica = Replica::start(&redis.url(), &[]).await;
    Legacy::open(&replica.endpoint).await;
    assert!(!replica.process.stderr().contains(" call: "));
}
