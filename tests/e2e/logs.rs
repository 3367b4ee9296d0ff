//! Log lines reach the client that asked for them, and nobody else.

use serde_json::{Value, json};

use crate::askable;
use crate::client::{Legacy, Modern};
use crate::fleet::Fleet;

pub(crate) const CHATTY: &str = r#"
[[tool]]
name = "chatty"
description = "Writes log lines of several levels while it works"
command = ["sh", "$HERE/chatty.sh"]
input_schema = '{"type":"object","additionalProperties":false}'
"#;

fn levels(messages: &[Value]) -> Vec<&str> {
    let logs = messages
        .iter()
        .filter(|message| message["method"] == "notifications/message");
    logs.map(|message| {
        assert_eq!(message["params"]["logger"], "chatty");
        message["params"]["level"].as_str().unwrap()
    })
    .collect()
}

#[tokio::test]
async fn a_session_hears_lines_from_the_level_it_set() {
    let fleet = Fleet::with_tools(CHATTY, &[], &[]).await;
    let here = Legacy::open(&fleet.replicas[0].endpoint).await;
    assert_eq!(here.opened["capabilities"]["logging"], json!({}));
    let silent = here.call("chatty", json!({})).await;
    assert!(silent.before.is_empty(), "{:?}", silent.before);
    let elsewhere = here.at(&fleet.replicas[1].endpoint);
    let set = elsewhere
        .request("logging/setLevel", json!({ "level": "info" }))
        .await;
    assert_eq!(*set.result(), json!({}));
    let told = here.call("chatty", json!({})).await;
    assert_eq!(levels(&told.before), ["info", "error"]);
    assert_eq!(told.before[0]["params"]["data"], "a line of info");
    assert_eq!(told.result()["content"][0]["text"], "done");
    let refused = here
        .request("logging/setLevel", json!({ "level": "loud" }))
        .await;
    assert_eq!(refused.code(), -32602);
}

#[tokio::test]
async fn a_modern_request_hears_lines_from_the_level_it_names() {
    let fleet = Fleet::with_tools(CHATTY, &[], &[]).await;
    let client = Modern::with(fleet.endpoint(), json!({}));
    let silent = client.call("chatty", json!({})).await;
    assert!(silent.before.is_empty(), "{:?}", silent.before);
    let call = |level: &str| {
        let meta = json!({ "io.modelcontextprotocol/logLevel": level });
        json!({ "name": "chatty", "arguments": {}, "_meta": meta })
    };
    let told = client.request("tools/call", call("debug")).await;
    assert_eq!(levels(&told.before), ["debug", "info", "error"]);
    assert_eq!(
        client.request("tools/call", call("loud")).await.code(),
        -32602
    );
}

#[tokio::test]
async fn a_modern_call_made_again_with_answers_hears_no_line_twice() {
    let fleet = Fleet::with_tools(askable::MANIFEST, &[], &[]).await;
    let client = Modern::with(fleet.endpoint(), json!({ "elicitation": {} }));
    let question =
        json!({ "message": "?", "requestedSchema": { "type": "object", "properties": {} } });
    let mut params = json!({
        "name": "asks_anything",
        "arguments": { "what": "elicitation", "params": question.to_string() },
        "_meta": { "io.modelcontextprotocol/logLevel": "debug" },
    });
    let asked = client.request("tools/call", params.clone()).await;
    assert_eq!(asked.before.len(), 1, "{}", asked.text);
    assert_eq!(asked.before[0]["params"]["data"], "before the question");
    params["requestState"] = asked.result()["requestState"].clone();
    params["inputResponses"] = json!({ "it": { "action": "accept", "content": {} } });
    let done = client.request("tools/call", params).await;
    assert_eq!(done.result()["resultType"], "complete");
    assert!(done.before.is_empty(), "{}", done.text);
}
