//! Questions to the client.

use serde_json::json;
use taskferry_testing::eventually;

use crate::system::{SOON, System, Under};

pub(super) async fn ask(under: Under) {
    let (system, _worker) = System::with(&under, "ask").await;
    let task = system.client.call("ask", json!({})).await;
    let answer = json!({ "action": "accept", "content": { "name": "Ada ✓" } });
    system.client.answer(&task, answer, SOON).await;
    assert_eq!(system.client.text_of(&task, SOON).await, "Hello, Ada ✓");
    let asked = system.field(&task, "ask:name").await;
    assert!(asked.contains("elicitation/create"), "ask:name is {asked}");
}

pub(super) async fn replay(under: Under) {
    let (system, mut worker) = System::with(&under, "ask").await;
    let task = system.client.call("ask", json!({ "seconds": 0.5 })).await;
    let answer = json!({ "action": "accept", "content": { "name": "Ada" } });
    system.client.answer(&task, answer, SOON).await;
    eventually(SOON, "the tool goes on with the answer", async || {
        system.field(&task, "status").await == "working"
    })
    .await;
    worker.kill9();
    let _next = system.worker();
    assert_eq!(system.client.text_of(&task, SOON).await, "Hello, Ada");
    assert_eq!(system.field(&task, "asked").await, "1", "it asked once");
    let attempt = system.field(&task, "attempt").await;
    assert_ne!(attempt, "1", "it is another attempt that had the answer");
}
