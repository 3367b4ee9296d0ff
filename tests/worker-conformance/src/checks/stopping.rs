//! A worker that is told to stop.

use std::time::Duration;

use serde_json::json;
use taskferry_testing::eventually;

use crate::system::{SOON, System, Under};
use crate::worker_process::DRAIN;

/// How long a worker may take to end beyond what it lets its jobs go on.
const ENDS: Duration = Duration::from_secs(8);

pub(super) async fn drain(under: Under) {
    let (system, mut worker) = System::with(&under, "progress").await;
    let task = system.client.call("progress", json!({})).await;
    // Its tool runs: a job that is only claimed may be given back.
    eventually(SOON, "the tool reports", async || {
        system.field(&task, "message").await == "one"
    })
    .await;
    worker.terminate();
    let status = worker.wait_for_exit(DRAIN + ENDS).await;
    assert_eq!(status.code(), Some(0), "it ends with {status}");
    assert_eq!(system.client.text_of(&task, SOON).await, "done");
    assert_eq!(system.field(&task, "attempt").await, "1");
}

pub(super) async fn release(under: Under) {
    let (system, mut worker) = System::with(&under, "wait").await;
    let task = system.client.call("wait", json!({ "seconds": 30 })).await;
    system.runs(&task, 1).await;
    worker.terminate();
    let status = worker.wait_for_exit(DRAIN + ENDS).await;
    assert_eq!(status.code(), Some(0), "it ends with {status}");
    eventually(
        Duration::from_secs(1),
        "the job is queued again",
        async || system.field(&task, "status").await == "queued",
    )
    .await;
    assert_eq!(system.field(&task, "worker").await, "");
    assert_eq!(system.field(&task, "crashes").await, "0");
    let entry = system.field(&task, "entry").await;
    assert_ne!(entry, "", "its entry is on the stream at once");
    let workers: u64 = system.raw(&["ZCARD", "tf:{fleet}:workers"]).await;
    assert_eq!(workers, 0, "it took itself off those that are alive");
}
