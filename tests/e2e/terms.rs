//! What a tool demands of its callers, and what it promises them.

use serde_json::{Value, json};
use taskferry_client::{StatusCode, TASKS};

use crate::client::{Legacy, Modern};
use crate::fleet::Fleet;
use crate::jobs::records;

const PROMISING: &str = r#"
[[tool]]
name = "promising"
description = "Promises a number n, and prints what it is given"
command = ["printf", "%s", "{output}"]
input_schema = '{"type":"object","properties":{"output":{"type":"string"}},"required":["output"],"additionalProperties":false}'
output_schema = '{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}'
"#;

const MIRRORED: &str = r#"
[[tool]]
name = "mirrored"
description = "Returns its arguments, which headers repeat"
command = ["cat"]
output = "text"
input_schema = '{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"},"outer":{"type":"object","properties":{"n":{"type":"integer","x-mcp-header":"N"}}}}}'
"#;

const NEEDS_SAMPLING: &str = r#"
[[tool]]
name = "needs_sampling"
description = "For clients whose model can be asked"
command = ["echo", "done"]
required_capabilities = { sampling = {} }
input_schema = '{"type":"object","additionalProperties":false}'
"#;

#[tokio::test]
async fn a_client_without_the_required_capabilities_is_refused_before_anything_is_queued() {
    let fleet = Fleet::with_tools(NEEDS_SAMPLING, &[], &[]).await;
    let modern = Modern::with_tasks(fleet.endpoint());
    let refused = modern.call("needs_sampling", json!({})).await;
    assert_eq!(
        (refused.status, refused.code()),
        (StatusCode::BAD_REQUEST, -32021)
    );
    assert_eq!(
        refused.body["error"]["data"]["requiredCapabilities"],
        json!({ "sampling": {} })
    );
    let legacy = Legacy::open(fleet.endpoint()).await;
    let told = legacy.call("needs_sampling", json!({})).await;
    assert_eq!(told.result()["isError"], true);
    let text = told.result()["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("sampling"), "{text}");
    let params = json!({ "name": "needs_sampling", "arguments": {}, "task": {} });
    let refused = legacy.request("tools/call", params).await;
    assert_eq!(refused.code(), -32602);
    assert_eq!(records(&fleet).await.len(), 0, "nothing was queued");

    let capable = Modern::with(
        fleet.endpoint(),
        json!({ "sampling": {}, "extensions": { TASKS: {} } }),
    );
    let id = capable.start("needs_sampling", json!({})).await;
    capable.until(&id, "completed").await;
    let sampling = json!({ "sampling": {} });
    let capable = Legacy::open_with(fleet.endpoint(), "2025-11-25", sampling).await;
    let done = capable.call("needs_sampling", json!({})).await;
    assert_eq!(done.result()["isError"], false);
}

#[tokio::test]
async fn headers_must_repeat_the_mirrored_arguments() {
    let fleet = Fleet::with_tools(MIRRORED, &[], &[]).await;
    let client = Modern::with(fleet.endpoint(), json!({}));
    let listed = client.request("tools/list", json!({})).await;
    let listed = listed.result()["tools"].to_string();
    assert!(listed.contains(r#""x-mcp-header":"Region""#), "{listed}");
    let params = |arguments: &Value| json!({ "name": "mirrored", "arguments": arguments });
    let both = json!({ "region": "世", "outer": { "n": 7 } });
    let (region, n) = ("mcp-param-region", "mcp-param-n");
    let world = "=?base64?5LiW?=";
    for (arguments, headers) in [
        (&both, vec![(region, world)]),
        (&both, vec![(region, "world"), (n, "7")]),
        (&both, vec![(region, "=?base64?5Li?="), (n, "7")]),
        (&both, vec![(region, world), (n, "8")]),
        (&both, vec![(region, world), (region, world), (n, "7")]),
        (&json!({ "region": null }), vec![(region, "x")]),
        (&json!({}), vec![(n, "7")]),
    ] {
        let refused = client
            .request_with("tools/call", params(arguments), &headers)
            .await;
        assert_eq!(
            (refused.status, refused.code()),
            (StatusCode::BAD_REQUEST, -32020),
            "{arguments} {headers:?}"
        );
    }
    assert_eq!(records(&fleet).await.len(), 0, "nothing was queued");
    for (arguments, headers) in [
        (&both, vec![(region, world), (n, "7.0")]),
        (&json!({}), vec![("mcp-param-other", "whatever")]),
    ] {
        let done = client
            .request_with("tools/call", params(arguments), &headers)
            .await;
        assert_eq!(done.result()["isError"], false, "{}", done.text);
    }
    // In the legacy era nothing repeats arguments.
    let legacy = Legacy::open(fleet.endpoint()).await;
    let done = legacy.call("mirrored", both).await;
    assert_eq!(done.result()["isError"], false);
}

#[tokio::test]
async fn a_result_that_breaks_its_tools_promise_is_an_error_that_names_the_place() {
    let fleet = Fleet::with_tools(PROMISING, &[], &[]).await;
    let client = Modern::with(fleet.endpoint(), json!({}));
    let call = async |output: &str| {
        let answer = client.call("promising", json!({ "output": output })).await;
        answer.result().clone()
    };
    let kept = call(r#"{"n":1}"#).await;
    assert_eq!(kept["structuredContent"], json!({ "n": 1 }));
    assert_eq!(kept["isError"], false);
    for (output, part) in [
        (r#"{"n":"one"}"#, "structuredContent/n"),
        ("plain text", "no structuredContent"),
    ] {
        let broken = call(output).await;
        let text = broken["content"][0]["text"].as_str().unwrap();
        assert!(
            text.starts_with("the tool's result does not fit its output schema: ")
                && text.contains(part),
            "{text}"
        );
        assert_eq!(broken["isError"], true);
        assert!(broken["structuredContent"].is_null());
    }
}
