//! A client of revision 2026-07-28.

use serde_json::{Value, json};

use super::rig::{Client, Messages, Rig, answer, names, request};
use crate::mcp::{Facts, RefusalKind};

/// What a client of this era says, which takes tasks or does not.
struct Modern<'a> {
    rig: &'a Rig,
    extensions: Value,
}

impl<'a> Modern<'a> {
    fn with_tasks(rig: &'a Rig) -> Self {
        let extensions = json!({ "io.modelcontextprotocol/tasks": {} });
        Self { rig, extensions }
    }

    fn without_tasks(rig: &'a Rig) -> Self {
        let extensions = json!({});
        Self { rig, extensions }
    }

    /// A transport that says nothing beside the body is enough.
    async fn send(&self, method: &str, mut params: Value) -> Messages {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {
                "elicitation": {}, "extensions": self.extensions,
            },
        });
        let message = request(method, &params);
        Messages::of(self.rig.send(&Facts::default(), &message).await)
    }

    async fn begin(&self, tool: &str, arguments: Value) -> String {
        self.begun(json!({ "name": tool, "arguments": arguments }))
            .await
    }
}

impl Client for Modern<'_> {
    const TASK_ID: &'static str = "/result/taskId";

    async fn ask(&self, method: &str, params: Value) -> Value {
        self.send(method, params).await.next().await
    }
}

#[tokio::test]
async fn a_modern_client_needs_no_http_from_its_first_message_to_its_last() {
    let rig = Rig::start().await;
    let client = Modern::with_tasks(&rig);
    let found = client.ask("server/discover", json!({})).await;
    assert_eq!(found["result"]["supportedVersions"][0], "2026-07-28");
    let listed = client.ask("tools/list", json!({})).await;
    assert_eq!(names(&listed), ["confirm", "echo", "last"]);

    let echoed = client.begin("echo", json!({ "n": 7 })).await;
    let ended = client.until(&echoed, "completed").await;
    let text = &ended["result"]["result"]["content"][0]["text"];
    assert_eq!(text, r#"{"n":7}"#);

    let asks = client.begin("confirm", json!({})).await;
    let asked = client.until(&asks, "input_required").await;
    let question = &asked["result"]["inputRequests"]["confirm"];
    assert_eq!(question["method"], "elicitation/create");
    let answers =
        json!({ "taskId": asks, "inputResponses": { "confirm": { "action": "accept" } } });
    client.ask("tasks/update", answers).await;
    let ended = client.until(&asks, "completed").await;
    let text = &ended["result"]["result"]["content"][0]["text"];
    assert_eq!(text, r#""accept""#);

    let cancelled = client.begin("last", json!({})).await;
    client
        .ask("tasks/cancel", json!({ "taskId": cancelled }))
        .await;
    client.until(&cancelled, "cancelled").await;
    rig.end().await;
}

#[tokio::test]
async fn a_call_ends_with_its_question_and_goes_on_with_the_answer() {
    let rig = Rig::start().await;
    let client = Modern::without_tasks(&rig);
    let call = json!({ "name": "confirm", "arguments": {} });
    let asked = client.ask("tools/call", call.clone()).await;
    assert_eq!(asked["result"]["resultType"], "input_required");
    let mut again = call;
    again["requestState"] = asked["result"]["requestState"].clone();
    again["inputResponses"] = json!({ "confirm": { "action": "accept" } });
    let ended = client.ask("tools/call", again).await;
    assert_eq!(ended["result"]["content"][0]["text"], r#""accept""#);
    rig.end().await;
}

#[tokio::test]
async fn a_call_whose_client_no_longer_listens_is_cancelled() {
    let rig = Rig::start().await;
    let client = Modern::without_tasks(&rig);
    let call = json!({ "name": "last", "arguments": {} });
    let waits = client.send("tools/call", call).await;
    drop(waits);
    // Nothing is left of it.
    rig.end().await;
}

#[tokio::test]
async fn refusals_have_a_kind_and_no_number() {
    let rig = Rig::start().await;
    let message = |meta: Value| request("no/such", &json!({ "_meta": meta }));
    let version = "io.modelcontextprotocol/protocolVersion";
    let bare = message(json!({ version: "2026-07-28" }));
    let refused = rig.send(&Facts::default(), &bare).await;
    assert_eq!(answer(refused).0.refusal, Some(RefusalKind::Malformed));
    let capabilities = "io.modelcontextprotocol/clientCapabilities";
    let whole = message(json!({ version: "2026-07-28", capabilities: {} }));
    let refused = rig.send(&Facts::default(), &whole).await;
    assert_eq!(answer(refused).0.refusal, Some(RefusalKind::UnknownMethod));
    rig.end().await;
}
