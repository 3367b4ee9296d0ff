//! A job that runs and ends well.

use serde_json::{Value, json};
use taskferry_testing::{eventually, eventually_some};

use crate::system::{QUEUE, SOON, System, Under};
use crate::worker_process::LEASE;

/// Several kinds of what is easily broken: other scripts, what has two code units, marks, quotes, control characters.
const ODD: &str =
    "ünï ✓ 🚢 e\u{301} \u{5e9}\u{5dc} \"quoted\" \\ back\\slash\ttab\nline {\"a\":1} </end>";

pub(super) async fn register(under: Under) {
    let (system, _worker) = System::with(&under, "echo").await;
    let queues: Vec<String> = system
        .raw(&["ZRANGE", "tf:{fleet}:queues", "0", "-1"])
        .await;
    assert_eq!(queues, [QUEUE], "its tools are of the queue of the kit");
    eventually(
        SOON,
        "it says that it is alive, and reads the queue",
        async || {
            let workers: Vec<String> = system
                .raw(&["ZRANGE", "tf:{fleet}:workers", "0", "-1"])
                .await;
            let Some(worker) = workers.first() else {
                return false;
            };
            let key = format!("tf:{{fleet}}:worker:{worker}");
            let queues: Option<String> = system.raw(&["HGET", &key, "queues"]).await;
            queues.is_some_and(|queues| queues.split(',').any(|queue| queue == QUEUE))
        },
    )
    .await;
}

pub(super) async fn claim(under: Under) {
    let (system, _worker) = System::with(&under, "echo").await;
    let task = system.client.call("echo", json!({ "text": ODD })).await;
    assert_eq!(system.client.text_of(&task, SOON).await, ODD);
    assert_eq!(system.field(&task, "attempt").await, "1");
    let queue = format!("tf:{{0}}:queue:{QUEUE}");
    let left: u64 = system.raw(&["XLEN", &queue]).await;
    assert_eq!(left, 0, "its entry is gone");
    // More than the claim's reply brings.
    let long = "ä".repeat(100_000);
    let task = system.client.call("echo", json!({ "text": long })).await;
    let text = system.client.text_of(&task, SOON).await;
    assert!(
        text == long,
        "{} bytes came back of {}",
        text.len(),
        long.len()
    );
}

async fn told(system: &System, meta: Value) -> (String, Value) {
    let task = system.client.call_with("context", json!({}), meta).await;
    let text = system.client.text_of(&task, SOON).await;
    let told = serde_json::from_str(&text);
    (
        task,
        told.unwrap_or_else(|error| panic!("{text} is no JSON: {error}")),
    )
}

pub(super) async fn context(under: Under) {
    let (system, _worker) = System::with(&under, "context").await;
    let (task, told) = told(&system, json!({})).await;
    for (name, value) in [
        ("task_id", json!(task)),
        ("origin_task_id", json!(task)),
        ("attempt", json!(1)),
        ("owner", json!(system.field(&task, "owner").await)),
    ] {
        assert_eq!(told[name], value, "{name} of {told}");
    }
}

pub(super) async fn trace(under: Under) {
    let (system, _worker) = System::with(&under, "context").await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let (_, told) = told(&system, json!({ "traceparent": parent })).await;
    assert_eq!(told["traceparent"], parent, "{told}");
}

pub(super) async fn progress(under: Under) {
    let (system, _worker) = System::with(&under, "progress").await;
    let task = system.client.call("progress", json!({})).await;
    for (progress, message) in [("1", "one"), ("3", "three")] {
        let what = format!("progress {progress} of 3 with the message {message:?} is seen");
        eventually(SOON, &what, async || {
            let number = system.field(&task, "progress").await.parse::<f64>();
            number.ok() == progress.parse().ok()
                && system.field(&task, "total").await.parse::<f64>().ok() == Some(3.0)
                && system.field(&task, "message").await == message
        })
        .await;
    }
    assert_eq!(system.client.text_of(&task, SOON).await, "done");
}

pub(super) async fn log(under: Under) {
    let (system, _worker) = System::with(&under, "log").await;
    let meta = json!({ "io.modelcontextprotocol/logLevel": "info" });
    let task = system.client.call_with("log", json!({}), meta).await;
    let log = format!("tf:{{0}}:log:{task}");
    let line = eventually_some(SOON, "the line is in the job's log", async || {
        let lines: Vec<(String, Vec<String>)> = system.raw(&["XRANGE", &log, "-", "+"]).await;
        lines.into_iter().next().map(|(_, fields)| fields)
    })
    .await;
    assert_eq!(line, ["level", "info", "text", "a line of the tool"]);
    assert_eq!(system.client.text_of(&task, SOON).await, "logged");
    // Nobody wants this one's.
    let task = system.client.call("log", json!({})).await;
    system.client.text_of(&task, SOON).await;
    let log = format!("tf:{{0}}:log:{task}");
    let there: u64 = system.raw(&["EXISTS", &log]).await;
    assert_eq!(there, 0, "a client that wants no lines has none stored");
}

pub(super) async fn lease(under: Under) {
    let (system, _worker) = System::with(&under, "sleep").await;
    let seconds = 3.3 * LEASE.as_secs_f64();
    // Another worker would take the job over if it could.
    let _other = system.worker();
    let task = system
        .client
        .call("sleep", json!({ "seconds": seconds }))
        .await;
    assert_eq!(system.client.text_of(&task, SOON).await, "attempt 1");
    assert_eq!(system.field(&task, "crashes").await, "0");
}
