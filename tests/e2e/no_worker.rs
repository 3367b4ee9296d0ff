//! A system whose workers are all gone: what is due comes to its stream, for an autoscaler to see, and waits there.

use std::time::Duration;

use serde_json::json;
use taskferry_testing::{TestServer, eventually, redis};

use crate::client::Legacy;
use crate::fleet::{Replica, worker};

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
