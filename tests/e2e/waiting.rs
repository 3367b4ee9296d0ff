//! Tasks that wait: in which order they go on, and what they say of it.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use taskferry_client::Reply;
use taskferry_testing::{Process, TestServer, eventually_some};
use tempfile::TempDir;

use crate::client::{Legacy, Modern};
use crate::fleet::{Replica, worker};
use crate::stream::Stream;

const TOOLS: &str = r#"
[defaults]
queue = "waits"
poll_interval = "100ms"
stop_grace = "300ms"

[[tool]]
name = "one_at_a_time"
description = "Notes its name when it begins, says how far it is, and ends when a file in a folder says so"
command = ["sh", "$HERE/in_turn.sh", "{folder}", "{name}"]
concurrency = 1
[tool.input_schema]
type = "object"
required = ["folder", "name"]
properties = { folder = { type = "string" }, name = { type = "string" } }

[[tool]]
name = "counts"
description = "Tells a number, of a total if there is one, and ends when a file in a folder says so"
command = ["sh", "$HERE/counts.sh", "{folder}", "{told}"]
[tool.input_schema]
type = "object"
required = ["folder", "told"]
properties = { folder = { type = "string" }, told = { type = "string" } }

[[tool]]
name = "later"
description = "Fails, and is tried again much later"
command = ["sh", "-c", "echo the paper is wet >&2; exit 75"]
backoff_initial = "5m"
backoff_max = "5m"
input_schema = '{"type":"object","additionalProperties":false}'
"#;

const SOON: Duration = Duration::from_secs(20);
/// Longer than a worker that is silent counts as alive.
const LATE: Duration = Duration::from_secs(60);
const TOOL: &str = "one_at_a_time";

/// A replica, and workers as a test starts them.
struct Site {
    redis: TestServer,
    _replica: Replica,
    legacy: Legacy,
    modern: Modern,
    folder: TempDir,
}

impl Site {
    /// With its first worker.
    async fn new() -> (Self, Process) {
        let redis = TestServer::start().await;
        let worker = start_worker(&redis).await;
        let replica = Replica::start(&redis.url(), &[]).await;
        replica.lists(TOOL).await;
        let site = Self {
            legacy: Legacy::open_with_tasks(&replica.endpoint).await,
            modern: Modern::with_tasks(&replica.endpoint),
            _replica: replica,
            redis,
            folder: tempfile::tempdir().unwrap(),
        };
        (site, worker)
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    async fn worker(&self) -> Process {
        start_worker(&self.redis).await
    }

    /// Starts a task by name.
    async fn start(&self, name: &str) -> String {
        let arguments = json!({ "folder": self.folder(), "name": name });
        self.legacy.start(TOOL, arguments, 600_000).await
    }

    async fn count(&self, told: &str) -> String {
        let arguments = json!({ "folder": self.folder(), "told": told });
        self.modern.start("counts", arguments).await
    }

    /// Lets all commands end.
    fn go(&self) {
        std::fs::write(self.folder().join("go"), "").unwrap();
    }

    /// What began so far, in its order, with the number of the attempt.
    fn order(&self) -> Vec<String> {
        let order = std::fs::read_to_string(self.folder().join("order")).unwrap_or_default();
        order.lines().map(ToOwned::to_owned).collect()
    }

    async fn began(&self, count: usize) -> Vec<String> {
        let what = format!("{count} attempts began");
        eventually_some(LATE, &what, async || {
            Some(self.order()).filter(|order| order.len() >= count)
        })
        .await
    }

    /// The task in both eras once its message is as wanted in both.
    async fn says(&self, id: &str, wanted: impl Fn(&str) -> bool) -> [Value; 2] {
        let seen = eventually_some(LATE, "the task says so", async || {
            let tasks = [self.legacy.task(id).await, self.modern.task(id).await];
            let [old, new] = [&tasks[0], &tasks[1]].map(message);
            (wanted(old) && wanted(new)).then_some(tasks)
        });
        seen.await
    }
}

async fn start_worker(redis: &TestServer) -> Process {
    let flags = ["--lease", "2s", "--slots", "5", "--drain-timeout", "100ms"];
    worker(&redis.url(), TOOLS, &flags).await
}

fn message(task: &Value) -> &str {
    task["statusMessage"].as_str().unwrap_or_default()
}

/// Reads a stream until it has told something.
async fn hear(stream: &mut Reply, wanted: &str) {
    let mut text = String::new();
    let told = async {
        while !text.contains(wanted) {
            let chunk = stream.chunk().await.unwrap().expect("the stream ended");
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    let told = tokio::time::timeout(LATE, told).await;
    assert!(told.is_ok(), "{wanted} was not told, but {text}");
}

/// A message that says since when, and is as old as that.
fn waits_since_it_changed(task: &Value) {
    let since = format!("since {}", task["lastUpdatedAt"].as_str().unwrap());
    assert!(message(task).contains(&since), "{task}");
}

#[tokio::test]
async fn a_job_that_lost_its_worker_goes_on_before_those_that_wait_for_a_slot() {
    let (site, mut first) = Site::new().await;
    let lost = site.start("lost").await;
    site.began(1).await;
    let _second = site.worker().await;
    let behind = site.start("behind").await;
    let late = site.start("late").await;
    for id in [&behind, &late] {
        let told = format!("; at most 1 job of {TOOL} at a time.");
        let tasks = site.says(id, |text| {
            text.starts_with("The task waits for a slot of its tool since ")
                && text.ends_with(&told)
        });
        tasks.await.iter().for_each(waits_since_it_changed);
    }
    first.kill9();
    let order = site.began(2).await;
    assert_eq!(order, ["lost 1", "lost 2"]);
    site.go();
    for id in [&lost, &behind, &late] {
        site.legacy.until(id, "completed").await;
    }
    let began: Vec<String> = site.order().split_off(2);
    assert_eq!(began, ["behind 1", "late 1"]);
}

#[tokio::test]
async fn a_job_whose_worker_is_stopped_goes_on_before_those_that_wait_for_a_slot() {
    let (site, mut first) = Site::new().await;
    let stopped = site.start("stopped").await;
    site.began(1).await;
    let _second = site.worker().await;
    let behind = site.start("behind").await;
    let waits = site.says(&behind, |text| text.contains("waits for a slot"));
    waits.await;
    first.terminate();
    let order = site.began(2).await;
    assert_eq!(order, ["stopped 1", "stopped 2"]);
    site.go();
    for id in [&stopped, &behind] {
        site.legacy.until(id, "completed").await;
    }
    assert_eq!(site.order()[2..], ["behind 1"]);
}

#[tokio::test]
async fn a_task_without_a_worker_says_why_it_waits_and_not_how_far_it_was_as_if_it_went_on() {
    let (site, mut first) = Site::new().await;
    let lost = site.start("lost").await;
    site.says(&lost, |text| text == "part 18 (7 of 20)").await;
    first.kill9();
    let tasks = site.says(&lost, |text| {
        text.starts_with("The task waits for another attempt since ")
            && text.ends_with("Attempt 1 lost its worker at \"part 18 (7 of 20)\".")
    });
    for task in tasks.await {
        assert_eq!(task["status"], "working");
        waits_since_it_changed(&task);
    }
    let unserved = "; no worker serves its queue (waits).";
    site.says(&lost, |text| text.contains(unserved)).await;

    // With a worker it goes on, and says what that attempt tells.
    let mut second = site.worker().await;
    site.began(2).await;
    site.says(&lost, |text| text == "part 18 (7 of 20)").await;
    second.terminate();
    second.wait_for_exit(SOON).await;
    let tasks = site.says(&lost, |text| {
        text.contains(unserved)
            && text.ends_with("Attempt 2 was stopped with its worker at \"part 18 (7 of 20)\".")
    });
    tasks.await.iter().for_each(waits_since_it_changed);
    site.go();
    let _third = site.worker().await;
    site.legacy.until(&lost, "completed").await;
}

#[tokio::test]
async fn a_task_that_waits_for_a_worker_says_how_many_there_are() {
    let (site, mut only) = Site::new().await;
    let mut busy = Vec::new();
    for _ in 0..5 {
        busy.push(site.count("1").await);
    }
    for id in &busy {
        site.says(id, |text| text == "1").await;
    }
    let waits = site.count("1").await;
    let told = site.says(&waits, |text| {
        text.starts_with("The task waits for a worker since ")
            && text.ends_with("; 1 live worker serves it (queue waits), and is busy.")
    });
    told.await.iter().for_each(waits_since_it_changed);
    only.terminate();
    only.wait_for_exit(SOON).await;
    let told = site.says(&waits, |text| {
        text.starts_with("The task waits for a worker since ")
            && text.ends_with("; no worker serves its queue (waits).")
    });
    told.await.iter().for_each(waits_since_it_changed);
    site.go();
    let _again = site.worker().await;
    site.modern.until(&waits, "completed").await;
}

#[tokio::test]
async fn a_task_that_is_tried_again_later_says_when_and_why() {
    let (site, _worker) = Site::new().await;
    let id = site.modern.start("later", json!({})).await;
    let tasks = site.says(&id, |text| {
        text.starts_with("The task waits for another attempt since ")
            && text.contains("; it is due at 2")
            && text.contains(". Attempt 1 failed: ")
            && text.contains("the paper is wet")
    });
    tasks.await.iter().for_each(waits_since_it_changed);
}

#[tokio::test]
async fn numbers_of_a_tool_that_gives_no_text_are_the_message_in_both_eras() {
    let (site, _worker) = Site::new().await;
    for (told, text) in [
        ("7/20", "7 of 20"),
        ("7.50/20.0", "7.5 of 20"),
        ("7", "7"),
        ("18/20 part 18", "part 18 (18 of 20)"),
        ("18/20 part 18 of 20", "part 18 of 20"),
    ] {
        let id = site.count(told).await;
        site.says(&id, |message| message == text).await;
    }
    site.go();
}

#[tokio::test]
async fn a_subscription_tells_that_a_task_waits_for_a_slot_and_when_it_goes_on() {
    let (site, _worker) = Site::new().await;
    let first = site.start("first").await;
    site.began(1).await;
    let second = site.start("second").await;
    let filter = json!({ "notifications": { "taskIds": [second] } });
    let mut stream = site.modern.open("subscriptions/listen", filter).await;
    hear(&mut stream, "The task waits for a slot of its tool since ").await;
    site.go();
    hear(&mut stream, r#""status":"completed""#).await;
    site.legacy.until(&first, "completed").await;
}

#[tokio::test]
async fn a_sessions_own_stream_tells_what_its_tasks_wait_for_and_no_figures_alone() {
    let (site, mut worker) = Site::new().await;
    let mut own = Stream::get(&site.legacy).await;
    let first = site.start("first").await;
    site.began(1).await;
    let second = site.start("second").await;
    let mut told = Vec::new();
    for (id, wanted) in [
        (&first, "part 18 (7 of 20)"),
        (&second, "waits for a slot of its tool since "),
    ] {
        tell(&mut own, &mut told, id, wanted).await;
    }
    worker.kill9();
    tell(&mut own, &mut told, &first, "Attempt 1 lost its worker at ").await;
    let first_waits = |told: &&String| told.contains("waits for a worker");
    assert_eq!(told.iter().find(first_waits), None, "{told:?}");
    site.go();
    let _again = site.worker().await;
    for id in [&first, &second] {
        site.legacy.until(id, "completed").await;
    }
}

/// Reads a session's own stream until it tells this of a task; notes what is told of any.
async fn tell(own: &mut Stream, told: &mut Vec<String>, id: &str, wanted: &str) {
    let find = async {
        loop {
            let said = own.until("notifications/tasks/status").await;
            let text = message(&said["params"]).to_owned();
            let found = said["params"]["taskId"] == id && text.contains(wanted);
            told.push(text);
            if found {
                break;
            }
        }
    };
    let found = tokio::time::timeout(LATE, find).await;
    assert!(found.is_ok(), "{wanted} is not told, but {told:?}");
}
