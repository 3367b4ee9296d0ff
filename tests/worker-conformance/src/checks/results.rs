//! Results that are larger, smaller or worse than most.

use serde_json::json;

use crate::system::{SOON, System, Under};

/// How large the large result is.
const LARGE: usize = 4 << 20;

pub(super) async fn big(under: Under) {
    let (system, _worker) = System::with(&under, "big").await;
    let task = system.client.call("big", json!({ "letters": LARGE })).await;
    let text = system.client.text_of(&task, SOON).await;
    assert_eq!(text.len(), LARGE);
    assert!(text.bytes().all(|byte| byte == b'x'), "they are all x");
}

pub(super) async fn empty(under: Under) {
    let (system, _worker) = System::with(&under, "empty").await;
    let task = system.client.call("empty", json!({})).await;
    let ended = system.client.ended(&task, SOON).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    assert_eq!(ended["result"]["content"], json!([]), "{ended}");
    assert_ne!(ended["result"]["isError"], true, "{ended}");
}

pub(super) async fn error(under: Under) {
    let (system, _worker) = System::with(&under, "fail").await;
    let task = system
        .client
        .call("fail", json!({ "text": "no such month" }))
        .await;
    let ended = system.client.ended(&task, SOON).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    assert_eq!(ended["result"]["isError"], true, "{ended}");
    let text = ended["result"]["content"][0]["text"].as_str();
    assert!(
        text.is_some_and(|text| text.contains("no such month")),
        "{ended}"
    );
    assert_eq!(system.field(&task, "is_error").await, "1");
    assert_eq!(
        system.field(&task, "attempt").await,
        "1",
        "it is not attempted again"
    );
}
