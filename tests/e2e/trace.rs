//! The trace context of a call reaches the command that runs it, in both eras.

use serde_json::{Value, json};
use taskferry_testing::TestServer;

use crate::client::{Legacy, Modern};
use crate::fleet::{Replica, worker};
use crate::jobs::{call, text};

const MANIFEST: &str = r#"
[[tool]]
name = "traced"
description = "Says which trace it belongs to"
command = ["sh", "-c", "echo \"${{TRACEPARENT-none}}/${{TRACESTATE-none}}/${{BAGGAGE-none}}\""]
"#;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test]
async fn commands_know_the_trace_of_their_call() {
    let redis = TestServer::start().await;
    let replica = Replica::start(&redis.url(), &[]).await;
    let _worker = worker(&redis.url(), MANIFEST, &[]).await;
    replica.lists("traced").await;
    let legacy = Legacy::open(&replica.endpoint).await;
    let modern = Modern::with(&replica.endpoint, json!({}));
    let long = "x".repeat(1025);
    let none = json!({});
    for (meta, told) in [
        (none, "none/none/none".to_owned()),
        (
            json!({ "traceparent": PARENT, "tracestate": "a=1,b=2", "baggage": "user=alice" }),
            format!("{PARENT}/a=1,b=2/user=alice"),
        ),
        // What cannot be passed on is dropped alone; a state without its parent means nothing.
        (
            json!({ "traceparent": "no good", "tracestate": "a=1", "baggage": long }),
            "none/none/none".to_owned(),
        ),
    ] {
        let params: Value = call("traced", &json!({}), meta);
        let answers = [
            legacy.request("tools/call", params.clone()).await,
            modern.request("tools/call", params).await,
        ];
        for answer in answers {
            assert_eq!(text(answer.result()).trim_end(), told);
        }
    }
}
