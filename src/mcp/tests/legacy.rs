//! A client of revision 2025-11-25.

use serde_json::{Value, json};
use taskferry_testing::eventually;

use super::rig::{Client, Messages, Rig, SOON, answer, names, request};
use crate::mcp::{Facts, RefusalKind, Reply, Stated};

/// A session, by its id.
struct Session<'a> {
    rig: &'a Rig,
    id: String,
}

impl<'a> Session<'a> {
    async fn open(rig: &'a Rig) -> Self {
        let params = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": { "elicitation": {}, "tasks": {} },
            "clientInfo": { "name": "test", "version": "1" },
        });
        let initialize = request("initialize", &params);
        let (answer, body) = answer(rig.send(&Facts::default(), &initialize).await);
        assert_eq!(body["result"]["protocolVersion"], "2025-11-25");
        let id = answer.session.expect("a session is opened").to_string();
        Self { rig, id }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            session: Stated::Once(&self.id),
            ..Facts::default()
        }
    }

    /// Calls a tool as a task, whose id it returns.
    async fn begin(&self, tool: &str, arguments: Value) -> String {
        let call = json!({ "name": tool, "arguments": arguments, "task": {} });
        self.begun(call).await
    }

    async fn result(&self, task: &str) -> Messages {
        let wanted = request("tasks/result", &json!({ "taskId": task }));
        Messages::of(self.rig.send(&self.facts(), &wanted).await)
    }
}

impl Client for Session<'_> {
    const TASK_ID: &'static str = "/result/task/taskId";

    async fn ask(&self, method: &str, params: Value) -> Value {
        let message = request(method, &params);
        answer(self.rig.send(&self.facts(), &message).await).1
    }
}

#[tokio::test]
async fn a_legacy_client_needs_no_http_from_its_first_message_to_its_last() {
    let rig = Rig::start().await;
    let session = Session::open(&rig).await;
    let listed = session.ask("tools/list", json!({})).await;
    assert_eq!(names(&listed), ["confirm", "echo", "last"]);

    let echoed = session.begin("echo", json!({ "n": 7 })).await;
    session.until(&echoed, "completed").await;
    let result = session.result(&echoed).await.next().await;
    assert_eq!(result["result"]["content"][0]["text"], r#"{"n":7}"#);

    let cancelled = session.begin("last", json!({})).await;
    session.until(&cancelled, "working").await;
    let told = session.ask("tasks/cancel", json!({ "taskId": cancelled }));
    assert_eq!(told.await["result"]["status"], "cancelled");

    assert!(matches!(
        rig.end_session(&session.facts()).await,
        Reply::Nothing
    ));
    let late = request("ping", &json!({}));
    let late = rig.send(&session.facts(), &late).await;
    assert_eq!(answer(late).0.refusal, Some(RefusalKind::NoSession));
    rig.end().await;
}

#[tokio::test]
async fn a_legacy_client_is_asked_where_it_waits_and_answers_by_a_message() {
    let rig = Rig::start().await;
    let session = Session::open(&rig).await;
    let task = session.begin("confirm", json!({})).await;
    session.until(&task, "input_required").await;
    let mut waits = session.result(&task).await;
    let question = waits.next().await;
    assert_eq!(question["method"], "elicitation/create");
    let given = json!({ "jsonrpc": "2.0", "id": question["id"], "result": { "action": "accept" } });
    let taken = rig.send(&session.facts(), &given).await;
    assert!(matches!(taken, Reply::Accepted), "{taken:?}");
    let result = waits.next().await;
    assert_eq!(result["result"]["content"][0]["text"], r#""accept""#);
    rig.end().await;
}

#[tokio::test]
async fn a_session_has_a_few_streams_open_and_others_have_theirs() {
    let rig = Rig::start().await;
    let (session, other) = (Session::open(&rig).await, Session::open(&rig).await);
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(rig.open_stream(&session.facts()).await);
    }
    let (refused, body) = answer(rig.opened(&session.facts()).await);
    assert_eq!(refused.refusal, Some(RefusalKind::TooMany));
    let text = body["error"]["message"].as_str().unwrap();
    assert!(text.contains("8 streams open here"), "{text}");
    drop(rig.open_stream(&other.facts()).await);
    streams.pop();
    eventually(SOON, "there is room for another", async || {
        matches!(rig.opened(&session.facts()).await, Reply::Stream { .. })
    })
    .await;
    drop(streams);
    rig.end().await;
}

#[tokio::test]
async fn a_sessions_own_stream_tells_and_asks() {
    let rig = Rig::start().await;
    let session = Session::open(&rig).await;
    let mut stream = rig.open_stream(&session.facts()).await;
    let task = session.begin("confirm", json!({})).await;
    let question = loop {
        let message = stream.next().await;
        if message["method"] == "elicitation/create" {
            break message;
        }
        assert_eq!(message["method"], "notifications/tasks/status");
    };
    let given =
        json!({ "jsonrpc": "2.0", "id": question["id"], "result": { "action": "decline" } });
    rig.send(&session.facts(), &given).await;
    session.until(&task, "completed").await;
    drop(stream);
    rig.end().await;
}
