//! Calls that are not to begin before a time.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use taskferry_testing::TestServer;

use crate::client::{Legacy, Modern};
use crate::fleet::{Replica, worker};
use crate::jobs::call;
use crate::tools::basic;

fn written(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[tokio::test]
async fn a_call_begins_at_its_time_in_both_eras() {
    let redis = TestServer::start().await;
    let replica = Replica::start(&redis.url(), &[]).await;
    let _worker = worker(&redis.url(), &basic(), &[]).await;
    replica.lists("echo").await;
    let legacy = Legacy::open_with_tasks(&replica.endpoint).await;
    let modern = Modern::with_tasks(&replica.endpoint);
    let start = Utc::now() + Duration::from_secs(3);
    let params = |at: &Value| {
        let meta = json!({ "taskferry/notBefore": at });
        let mut params = call("echo", &json!({ "text": "later" }), meta);
        params["task"] = json!({ "ttl": 60_000 });
        params
    };
    let at = json!(written(start));
    let task = legacy.request("tools/call", params(&at)).await;
    let task = task.result()["task"].clone();
    assert_eq!(task["status"], "working");
    let told = task["statusMessage"].as_str().unwrap();
    let due = format!("; it is due at {}.", written(start));
    assert!(
        told.starts_with("The task waits for its time since "),
        "{told}"
    );
    assert!(told.ends_with(&due), "{told}");
    let made = modern.request("tools/call", params(&at)).await;
    let id = made.result()["taskId"].as_str().unwrap().to_owned();
    modern.until(&id, "completed").await;
    assert!(Utc::now() >= start);
    let legacy_id = json!({ "taskId": task["taskId"] });
    let result = legacy.request("tasks/result", legacy_id).await;
    assert_eq!(result.result()["isError"], false);
    // What cannot be: after its end, and no time.
    let late = json!(written(start + Duration::from_secs(3600)));
    for (wrong, told) in [
        (late, "before its task expires"),
        (json!("soon"), "RFC 3339"),
    ] {
        let refused = legacy.request("tools/call", params(&wrong)).await;
        assert_eq!(refused.code(), -32602);
        assert!(refused.message().contains(told), "{}", refused.message());
    }
    let refused = modern.request("tools/call", params(&json!(7))).await;
    assert_eq!(refused.code(), -32602);
}
