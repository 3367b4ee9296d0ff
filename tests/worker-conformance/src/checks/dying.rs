//! Workers that die, or are frozen.

use std::time::Duration;

use serde_json::json;
use taskferry_testing::stays;

use crate::system::{SOON, System, Under};

pub(super) async fn kill(under: Under) {
    let (system, mut worker) = System::with(&under, "sleep").await;
    let task = system.client.call("sleep", json!({ "seconds": 0.5 })).await;
    system.runs(&task, 1).await;
    worker.kill9();
    let _next = system.worker();
    assert_eq!(system.client.text_of(&task, SOON).await, "attempt 2");
    assert_eq!(system.field(&task, "crashes").await, "1");
}

pub(super) async fn poison(under: Under) {
    let (system, mut worker) = System::with(&under, "sleep").await;
    let task = system.client.call("sleep", json!({ "seconds": 30 })).await;
    system.runs(&task, 1).await;
    worker.kill9();
    let mut worker = system.worker();
    system.runs(&task, 2).await;
    worker.kill9();
    let _next = system.worker();
    let ended = system.client.ended(&task, SOON).await;
    assert_eq!(ended["status"], "failed", "{ended}");
    assert_eq!(system.field(&task, "crashes").await, "2");
    assert_eq!(system.buried().await, ["crash limit"]);
    system.echoes(SOON).await;
}

pub(super) async fn stale(under: Under) {
    let (system, mut frozen) = System::with(&under, "sleep").await;
    let task = system.client.call("sleep", json!({ "seconds": 0.3 })).await;
    system.runs(&task, 1).await;
    frozen.pause();
    let mut other = system.worker();
    assert_eq!(system.client.text_of(&task, SOON).await, "attempt 2");
    other.terminate();
    other.wait_for_exit(SOON).await;
    frozen.resume();
    stays(
        Duration::from_millis(500),
        "the result is that of the second attempt",
        async || system.field(&task, "result").await.contains("attempt 2"),
    )
    .await;
    assert_eq!(system.field(&task, "attempt").await, "2");
    assert!(frozen.is_running(), "the worker that was frozen goes on");
    system.echoes(SOON).await;
}
