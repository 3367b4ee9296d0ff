//! What a worker must not take.

use std::time::Duration;

use serde_json::json;
use taskferry_testing::{TestServer, eventually, stays};

use crate::system::{QUEUE, SOON, System, Under, raw, taskferry};
use crate::worker_process::WorkerProcess;

/// How long a worker that should take nothing is watched.
const WATCHED: Duration = Duration::from_secs(3);

pub(super) async fn unknown(under: Under) {
    let (system, _worker) = System::with(&under, "echo").await;
    let schema = json!({ "type": "object" });
    let elsewhere = json!({ "name": "elsewhere", "queue": QUEUE, "input_schema": schema });
    system.add_tool(&elsewhere).await;
    eventually(SOON, "the tool is offered", async || {
        system
            .client
            .tools()
            .await
            .iter()
            .any(|name| name == "elsewhere")
    })
    .await;
    let task = system.client.call("elsewhere", json!({})).await;
    eventually(SOON, "the job is claimed and given back", async || {
        system.field(&task, "attempt").await != "0"
            && system.field(&task, "status").await == "queued"
    })
    .await;
    assert_eq!(system.field(&task, "retries").await, "0");
    assert_eq!(system.field(&task, "crashes").await, "0");
    system.echoes(SOON).await;
    system.client.cancel(&task).await;
}

/// Starts a worker where it must take nothing, and looks whether it does.
async fn takes_nothing(under: &Under, redis: &TestServer, url: &str) {
    taskferry(redis, &["contract", "install"]).await;
    let queue = format!("tf:{{0}}:queue:{QUEUE}");
    raw::<String>(
        redis,
        &["XGROUP", "CREATE", &queue, "workers", "0", "MKSTREAM"],
    )
    .await;
    let id = "0-b9a307cd-d58b-4bd4-b771-f37e0dcf07ae";
    raw::<String>(redis, &["XADD", &queue, "*", "id", id, "tool", "echo"]).await;
    let _worker = WorkerProcess::start(under, url);
    stays(WATCHED, "the entry was not read", async || {
        let groups: Vec<Vec<taskferry_testing::redis::Value>> =
            raw(redis, &["XINFO", "GROUPS", &queue]).await;
        let last = taskferry_testing::redis::Value::BulkString(b"0-0".to_vec());
        groups.iter().all(|group| group.contains(&last))
    })
    .await;
}

pub(super) async fn major(under: Under) {
    let redis = TestServer::start().await;
    raw::<String>(&redis, &["SET", "tf:contract", "99.0"]).await;
    takes_nothing(&under, &redis, &redis.url()).await;
}

pub(super) async fn permission(under: Under) {
    let redis = TestServer::start().await;
    let rules = [
        "on", "nopass", "~*", "&*", "+@all", "-fcall", "-eval", "-evalsha", "-script",
    ];
    let user: Vec<&str> = ["ACL", "SETUSER", "limited"]
        .into_iter()
        .chain(rules)
        .collect();
    raw::<String>(&redis, &user).await;
    let url = redis.url().replace("://", "://limited:any@");
    takes_nothing(&under, &redis, &url).await;
}
