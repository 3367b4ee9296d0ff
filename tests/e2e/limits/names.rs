//! Objects that have a name twice are refused before anything reads them.

use serde_json::json;
use taskferry_client::{Method, StatusCode};
use taskferry_testing::TestServer;

use super::{meta, written};
use crate::client::{Answer, Legacy};
use crate::fleet::Replica;
use crate::tools::register;

fn assert_refused(answer: &Answer, name: &str, place: &str) {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
    assert_eq!(answer.code(), -32600, "{}", answer.text);
    assert_eq!(answer.body["id"], 7, "{}", answer.text);
    let told = format!("the object at {place} has the name \"{name}\" twice");
    assert_eq!(answer.message(), told);
}

#[tokio::test]
async fn a_name_that_is_there_twice_reaches_no_tool_in_either_era() {
    let server = TestServer::start().await;
    let replica = Replica::start(&server.url(), &[]).await;
    let number = json!({ "type": "object", "properties": { "s": { "type": "integer" } } });
    register(&server, "number", &number).await;
    replica.lists("number").await;
    let session = Legacy::open(&replica.endpoint).await;
    let call = ("tools/call", "number");
    for (params, name, place) in [
        (
            r#""name":"number","arguments":{"s":"; rm -rf /","s":1}"#,
            "s",
            "/params/arguments",
        ),
        (
            r#""name":"number","arguments":{"s":1,"more":[{"a":{"\u0062":1,"b":2}}]}"#,
            "b",
            "/params/arguments/more/0/a",
        ),
        (
            r#""name":"number","arguments":{"s":1},"arguments":{"s":2}"#,
            "arguments",
            "/params",
        ),
        (
            r#""name":"number","inputResponses":{"k":{"a":1},"k":{"a":2}}"#,
            "k",
            "/params/inputResponses",
        ),
    ] {
        let modern = format!("{params},{}", meta(""));
        let answer = written(&replica.endpoint, call, "7", &modern).await;
        assert_refused(&answer, name, place);
        let legacy =
            format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{{params}}}}}"#);
        let answer = session.send_anything(Method::POST, Some(legacy)).await;
        assert_refused(&answer, name, place);
    }
    let doubled = meta(r#","io.modelcontextprotocol/clientCapabilities":{"roots":{}}"#);
    let answer = written(&replica.endpoint, ("tools/list", ""), "7", &doubled).await;
    let name = "io.modelcontextprotocol/clientCapabilities";
    assert_refused(&answer, name, "/params/_meta");
    // An answer to a question, and a large body, which is looked at on another thread.
    let answer = r#"{"jsonrpc":"2.0","id":"q/k","result":{"action":"accept","action":"decline"}}"#;
    let refused = session
        .send_anything(Method::POST, Some(answer.to_owned()))
        .await;
    assert_eq!(refused.code(), -32600, "{}", refused.text);
    let large = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"ping","params":{{"t":"{}","a":1,"a":2}}}}"#,
        "x".repeat(1 << 20)
    );
    let refused = session.send_anything(Method::POST, Some(large)).await;
    assert_refused(&refused, "a", "/params");
}
