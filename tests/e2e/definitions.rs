//! Two versions of one tool in a fleet: what was checked against one of them is not run by the other.

use std::time::Duration;

use serde_json::{Value, json};
use taskferry_testing::{Process, TestServer, eventually};

use crate::client::{Legacy, Modern};
use crate::fleet::{Replica, worker};
use crate::operator::taskferry;

const SOON: Duration = Duration::from_secs(60);

/// One front end, for workers with two versions of one tool.
struct Site {
    redis: TestServer,
    replica: Replica,
}

const OLD: &str = r#"{"type":"object","properties":{"text":{"type":"string"}}}"#;
const NEW: &str = r#"{"type":"object","properties":{"text":{"type":"integer"}}}"#;

impl Site {
    async fn new() -> Self {
        let redis = TestServer::start().await.drained_at_end(SOON);
        Self {
            replica: Replica::start(&redis.url(), &[]).await,
            redis,
        }
    }

    async fn worker(&self, says: &str, schema: &str) -> Process {
        let tool = format!(
            "[[tool]]\nname = 'report'\ndescription = 'Version {says}'\npoll_interval = '100ms'\ncommand = ['echo', '{says}']\ninput_schema = '{schema}'\n"
        );
        worker(&self.redis.url(), &tool, &[]).await
    }

    /// Waits until clients are shown this version.
    async fn shows(&self, says: &str) {
        let modern = Modern::with_tasks(&self.replica.endpoint);
        eventually(SOON, "the version is listed", async || {
            let tools = modern.request("tools/list", json!({})).await;
            let tools = tools.result()["tools"].as_array().unwrap().clone();
            tools
                .iter()
                .any(|tool: &Value| tool["description"] == format!("Version {says}"))
        })
        .await;
    }
}

#[tokio::test]
async fn calls_run_on_workers_that_have_the_definition_they_were_checked_against() {
    let site = Site::new().await;
    let _old = site.worker("old", OLD).await;
    site.shows("old").await;
    let _new = site.worker("new", NEW).await;
    site.shows("new").await;
    let modern = Modern::with_tasks(&site.replica.endpoint);
    let legacy = Legacy::open(&site.replica.endpoint).await;
    for number in 0..5 {
        let arguments = json!({ "text": number });
        let plain = legacy.call("report", arguments.clone()).await;
        assert_eq!(
            plain.result()["content"][0]["text"],
            "new",
            "{}",
            plain.text
        );
        let task = legacy.start("report", arguments.clone(), 60_000).await;
        let result = legacy.result_of(&task).await;
        assert_eq!(result.result()["content"][0]["text"], "new");
        let task = modern.start("report", arguments).await;
        let task = modern.until(&task, "completed").await;
        assert_eq!(task["result"]["content"][0]["text"], "new", "{task}");
    }
}

#[tokio::test]
async fn operators_see_which_workers_have_another_definition_than_is_listed() {
    let site = Site::new().await;
    let mut old = site.worker("old", OLD).await;
    site.shows("old").await;
    let list = async || {
        let (words, url) = (["tools", "list", "--json"], site.redis.url());
        let table = taskferry(&url, &words[..2]).await;
        let told = taskferry(&url, &words).await;
        (table.out, told.lines().remove(0))
    };
    let (table, alike) = list().await;
    assert_eq!(
        (&alike["workers"], &alike["workers_as_listed"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(alike["other_definitions"], json!([]));
    assert!(!table.contains("another one"), "{table}");

    // The last one that started is listed.
    let new = site.worker("new", NEW).await;
    site.shows("new").await;
    let (table, told) = list().await;
    assert_eq!(
        (&told["workers"], &told["workers_as_listed"]),
        (&json!(2), &json!(1))
    );
    let other = &told["other_definitions"][0];
    assert_eq!(
        other["definition"], alike["definition"],
        "the old one has what was listed"
    );
    let line = format!(
        "1 of 2 workers of report have the definition that is listed, {}; another one: {} at {}\n",
        told["definition"].as_str().unwrap(),
        alike["definition"].as_str().unwrap(),
        other["worker"].as_str().unwrap()
    );
    assert!(table.contains(&line), "{line} is not in {table}");

    // An old one that starts again is the last one that started.
    let again = site.worker("old", OLD).await;
    site.shows("old").await;
    let (_, told) = list().await;
    assert_eq!(
        (&told["workers"], &told["workers_as_listed"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(told["definition"], alike["definition"]);
    for mut worker in [new, again] {
        worker.terminate();
        worker.wait_for_exit(SOON).await;
    }
    let (_, told) = list().await;
    assert_eq!(
        (&told["workers"], &told["workers_as_listed"]),
        (&json!(1), &json!(1))
    );
    old.terminate();
    old.wait_for_exit(SOON).await;
    let (table, told) = list().await;
    assert_eq!(
        (&told["workers"], &told["workers_as_listed"]),
        (&json!(0), &json!(0))
    );
    assert!(!table.contains("another one"), "{table}");
}

#[tokio::test]
async fn a_task_whose_definition_nobody_has_any_more_says_so_in_both_eras() {
    let site = Site::new().await;
    let mut old = site.worker("old", OLD).await;
    site.shows("old").await;
    old.terminate();
    old.wait_for_exit(SOON).await;
    let modern = Modern::with_tasks(&site.replica.endpoint);
    let legacy = Legacy::open(&site.replica.endpoint).await;
    let arguments = json!({ "text": "x" });
    let tasks = [
        legacy.start("report", arguments.clone(), 600_000).await,
        modern.start("report", arguments).await,
    ];
    let _new = site.worker("new", NEW).await;
    let told = |task: &Value| {
        let message = task["statusMessage"].as_str().unwrap_or_default();
        message.starts_with("no running worker has the definition of report")
            && message.contains("cancel the call and make it again")
    };
    eventually(SOON, "both say so", async || {
        told(&legacy.task(&tasks[0]).await) && told(&modern.task(&tasks[1]).await)
    })
    .await;
    // With a worker that has it they go on as if nothing had been, once they are looked at again: within 30 s.
    let _again = site.worker("old", OLD).await;
    eventually(SOON, "both are completed", async || {
        let tasks = [legacy.task(&tasks[0]).await, modern.task(&tasks[1]).await];
        tasks.iter().all(|task| task["status"] == "completed")
    })
    .await;
    let task = modern.task(&tasks[1]).await;
    assert_eq!(task["result"]["content"][0]["text"], "old", "{task}");
}
