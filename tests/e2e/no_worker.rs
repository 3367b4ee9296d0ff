//! A system whose workers are all gone: what is due comes to its stream, for an autoscaler to see, and waits there.

use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use serde_json::{Value, json};
use taskferry_testing::{TestServer, eventually, redis};

use crate::client::{Answer, Legacy, Modern};
use crate::fleet::{Replica, worker};
use crate::jobs::call;
use crate::tools::basic;

const TOOLS: &str = r#"
[defaults]
queue = "zero"
poll_interval = "100ms"

[[tool]]
name = "second_time"
description = "Fails once, and then does not"
command = ["sh", "-c", "[ $TASKFERRY_ATTEMPT != 1 ] || exit 75; echo done"]
backoff_initial = "3s"
backoff_max = "3s"
input_schema = '{"type":"object","additionalProperties":false}'

[[tool]]
name = "lost_once"
description = "Naps the first time, and then does not"
command = ["sh", "-c", "[ $TASKFERRY_ATTEMPT != 1 ] || sleep 600; echo done"]
input_schema = '{"type":"object","additionalProperties":false}'
"#;

const SOON: Duration = Duration::from_secs(20);
/// By then it is told that no worker has had a tool for a while: 15 s, and a look at the workers every five.
const A_WHILE: Duration = Duration::from_secs(60);
const TOLD: &str = "no living worker has had this tool for 15 s or longer";
const TOLD_AGAIN: &str = "a worker has this tool again";

#[tokio::test]
async fn what_is_due_or_lost_comes_to_its_stream_without_a_worker_and_a_one_shot_worker_ends_it() {
    let server = TestServer::start().await;
    let mut only = worker(&server.url(), TOOLS, &["--lease", "1s"]).await;
    let replica = Replica::start(&server.url(), &[]).await;
    replica.lists("lost_once").await;
    let legacy = Legacy::open_with_tasks(&replica.endpoint).await;
    let lost = legacy.start("lost_once", json!({}), 600_000).await;
    let mut redis = server.raw().await;
    let mut ask = async |words: &[&str]| -> i64 {
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query_async(&mut redis).await.unwrap()
    };
    eventually(SOON, "the first is given to the worker", async || {
        ask(&["XLEN", "tf:{0}:queue:zero"]).await == 1 && ask(&["EVAL", UNREAD, "0"]).await == 0
    })
    .await;
    let retried = legacy.start("second_time", json!({}), 600_000).await;
    eventually(SOON, "the retry is due later", async || {
        ask(&["ZCARD", "tf:{0}:due:zero"]).await == 1
    })
    .await;
    only.kill9();

    eventually(
        SOON,
        "both are on their stream, given to nobody",
        async || ask(&["EVAL", UNREAD, "0"]).await == 2,
    )
    .await;
    let one_shot = ["--max-jobs", "2", "--idle-exit", "5s"];
    let mut once = worker(&server.url(), TOOLS, &one_shot).await;
    legacy.until(&retried, "completed").await;
    legacy.until(&lost, "completed").await;
    assert!(once.wait_for_exit(SOON).await.success());
}

/// How many entries of the queue nobody has.
const UNREAD: &str = "
local pending = redis.call('XPENDING', 'tf:{0}:queue:zero', 'workers')[1]
return redis.call('XLEN', 'tf:{0}:queue:zero') - pending";

/// A front end that knows the tools of a worker that is gone.
async fn deserted(server: &TestServer, flags: &[&str]) -> Replica {
    let mut only = worker(&server.url(), &basic(), &[]).await;
    let replica = Replica::start(&server.url(), flags).await;
    replica.lists("echo").await;
    only.terminate();
    only.wait_for_exit(SOON).await;
    replica
}

/// How often the front end has said this of a tool.
fn times(replica: &Replica, text: &str, tool: &str) -> usize {
    let (log, tool) = (replica.process.stderr(), format!("tool={tool} "));
    let lines = log.lines();
    let lines = lines.filter(|line| line.contains(text) && line.contains(&tool));
    lines.count()
}

#[tokio::test]
async fn a_task_whose_tool_no_worker_has_for_a_while_says_so_in_both_eras_and_the_log_once() {
    let server = TestServer::start().await;
    let mut replica = deserted(&server, &[]).await;
    let legacy = Legacy::open_with_tasks(&replica.endpoint).await;
    let modern = Modern::with_tasks(&replica.endpoint);
    let arguments = || json!({ "text": "x" });
    let of_legacy = legacy.start("echo", arguments(), 600_000).await;
    let of_modern = modern.start("echo", arguments()).await;
    let told = async || {
        let tasks = [legacy.task(&of_legacy).await, modern.task(&of_modern).await];
        tasks.map(|task: Value| task["statusMessage"].as_str().unwrap().to_owned())
    };
    for message in told().await {
        let end = "; no worker serves its queue (e2e).";
        assert!(message.ends_with(end), "{message}");
    }
    let end = "; no worker serves its queue (e2e), for 15 s or more by now: it begins once one that has echo comes, unless it expires before.";
    eventually(A_WHILE, "both say so", async || {
        told().await.iter().all(|message| message.ends_with(end))
    })
    .await;
    let line = replica.process.wait_for_line(A_WHILE, TOLD).await;
    assert!(line.contains("WARN"), "{line}");
    let later = modern.start("echo", arguments()).await;
    let message = modern.task(&later).await["statusMessage"].clone();
    assert!(message.as_str().unwrap().ends_with(end), "{message}");

    let _worker = worker(&server.url(), &basic(), &[]).await;
    legacy.until(&of_legacy, "completed").await;
    for id in [&of_modern, &later] {
        modern.until(id, "completed").await;
    }
    replica.process.wait_for_line(A_WHILE, TOLD_AGAIN).await;
    for text in [TOLD, TOLD_AGAIN] {
        assert_eq!(times(&replica, text, "echo"), 1, "{text}");
    }
    let log = replica.process.stderr();
    assert_eq!(log.matches(TOLD).count(), 1, "nobody called the others");
}

#[tokio::test]
async fn a_plain_call_that_waits_for_a_worker_is_told_in_the_log() {
    let server = TestServer::start().await;
    let mut replica = deserted(&server, &[]).await;
    let legacy = Legacy::open(&replica.endpoint).await;
    let waits = async || {
        let answer = legacy.call("echo", json!({ "text": "x" })).await;
        assert_eq!(answer.result()["content"][0]["text"], "x");
    };
    let worker_comes = async {
        replica.process.wait_for_line(A_WHILE, TOLD).await;
        worker(&server.url(), &basic(), &[]).await
    };
    let ((), _worker) = tokio::join!(waits(), worker_comes);
    replica.process.wait_for_line(A_WHILE, TOLD_AGAIN).await;
}

fn assert_refused(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert_eq!(answer.code(), -32603);
    assert_eq!(answer.headers["retry-after"], "30");
    let why = "no worker has had the tool \"echo\" for 15s or longer, so this call would only wait, and is refused (no_worker_refuse of the front end); try again later";
    assert_eq!(answer.message(), why);
}

#[tokio::test]
async fn new_calls_of_a_tool_that_no_worker_has_are_refused_in_both_eras_where_that_is_set() {
    let server = TestServer::start().await;
    let flags = ["--no-worker-refuse", "15s", "--single-user", "true"];
    let mut replica = deserted(&server, &flags).await;
    let legacy = Legacy::open_with_tasks(&replica.endpoint).await;
    let modern = Modern::with_tasks(&replica.endpoint);
    let arguments = json!({ "text": "x" });
    // Until then it waits.
    let keyed = || {
        let mut params = call(
            "echo",
            &arguments,
            json!({ "taskferry/idempotencyKey": "k" }),
        );
        params["task"] = json!({ "ttl": 600_000 });
        params
    };
    let first = modern.request("tools/call", keyed()).await;
    let first = first.result()["taskId"].as_str().unwrap().to_owned();
    replica.process.wait_for_line(A_WHILE, TOLD).await;

    assert_refused(&modern.call("echo", arguments.clone()).await);
    assert_refused(&legacy.call("echo", arguments.clone()).await);
    let mut as_task = call("echo", &arguments, json!({}));
    as_task["task"] = json!({ "ttl": 600_000 });
    assert_refused(&legacy.request("tools/call", as_task).await);
    // A call that is made again finds its job, one that is to begin later is accepted, and polls go on.
    let again = modern.request("tools/call", keyed()).await;
    assert_eq!(again.result()["taskId"], first.as_str());
    let start = (Utc::now() + Duration::from_secs(20)).to_rfc3339_opts(SecondsFormat::Millis, true);
    let later = call("echo", &arguments, json!({ "taskferry/notBefore": start }));
    let later = modern.request("tools/call", later).await;
    let later = later.result()["taskId"].as_str().unwrap().to_owned();
    let waits = modern.task(&first).await["statusMessage"].clone();
    assert!(waits.as_str().unwrap().contains("15 s or more"), "{waits}");
    // A front end on which it is off takes the call, as one must whose workers are started for what waits.
    let other = Replica::start(&server.url(), &[]).await;
    other.lists("echo").await;
    let taken = Modern::with_tasks(&other.endpoint);
    let taken_id = taken.start("echo", arguments.clone()).await;

    let _worker = worker(&server.url(), &basic(), &[]).await;
    let mut accepted = String::new();
    eventually(SOON, "calls are accepted again", async || {
        let answer = modern.call("echo", arguments.clone()).await;
        let id = answer.body["result"]["taskId"].as_str();
        accepted = id.unwrap_or_default().to_owned();
        id.is_some()
    })
    .await;
    for id in [&first, &later, &accepted] {
        modern.until(id, "completed").await;
    }
    taken.until(&taken_id, "completed").await;
}
