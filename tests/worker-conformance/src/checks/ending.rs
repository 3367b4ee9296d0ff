//! Attempts that end before their tool does, or in a failure.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::system::{SOON, System, Under};

/// How long a tool that is told to stop may take, and the worker to learn that it must.
const STOPS: Duration = Duration::from_secs(5);

pub(super) async fn late(under: Under) {
    let (system, _worker) = System::with(&under, "late").await;
    let task = system.client.call("late", json!({})).await;
    let ended = system.client.ended(&task, SOON).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    assert_eq!(ended["result"]["isError"], true, "{ended}");
    // The worker has one slot.
    system.echoes(STOPS).await;
}

pub(super) async fn cancel(under: Under) {
    let (system, _worker) = System::with(&under, "wait").await;
    let task = system.client.call("wait", json!({ "seconds": 30 })).await;
    system.runs(&task, 1).await;
    system.client.cancel(&task).await;
    // The worker has one slot.
    system.echoes(STOPS).await;
    assert_eq!(system.field(&task, "status").await, "cancelled");
    assert_eq!(system.field(&task, "result").await, "");
}

pub(super) async fn retry(under: Under) {
    let (system, _worker) = System::with(&under, "retry").await;
    let began = Instant::now();
    let task = system.client.call("retry", json!({ "times": 2 })).await;
    assert_eq!(system.client.text_of(&task, SOON).await, "attempt 3");
    assert_eq!(system.field(&task, "retries").await, "2");
    assert_eq!(system.field(&task, "crashes").await, "0");
    // 200 ms and 400 ms, each less one half at most.
    let backoff = Duration::from_millis(300);
    assert!(
        began.elapsed() >= backoff,
        "it waited {:?}",
        began.elapsed()
    );
    assert_eq!(system.buried().await, Vec::<String>::new());
}

pub(super) async fn exhausted(under: Under) {
    let (system, _worker) = System::with(&under, "retry").await;
    let task = system.client.call("retry", json!({ "times": 9 })).await;
    let ended = system.client.ended(&task, SOON).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    assert_eq!(ended["result"]["isError"], true, "{ended}");
    assert_eq!(system.field(&task, "attempt").await, "3");
    assert_eq!(system.buried().await.len(), 1, "there is one dead letter");
}
