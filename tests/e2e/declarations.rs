//! What clients declare: null is absent, and no client is sent what its revision or its declaration does not have.

use serde_json::{Value, json};
use taskferry_client::{Method, TASKS};

use crate::client::{Legacy, http};
use crate::fleet::Fleet;
use crate::jobs::{paced, take_steps};
use crate::questions::{accepted, answer, asking, asking_fleet};
use crate::stream::Stream;
use crate::tools::register;

const HANDLE: &str = "task_status";
const OF_TASKS: [&str; 2] = ["notifications/tasks/status", "notifications/progress"];

async fn fleet() -> Fleet {
    Fleet::start_with(&["--handle-after", "300ms"], &[]).await
}

fn names(tools: &Value) -> Vec<&str> {
    let tools = tools["tools"].as_array().unwrap().iter();
    tools.map(|tool| tool["name"].as_str().unwrap()).collect()
}

/// A modern request of a client that may declare anything.
async fn modern(fleet: &Fleet, method: &str, capabilities: &Value, more: Value) -> Value {
    let mut params = more;
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let name = params["name"].as_str().unwrap_or_default();
    let headers = [
        ("content-type", "application/json"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", method),
        ("mcp-name", name),
    ];
    let answer = http(
        Method::POST,
        fleet.endpoint(),
        &headers,
        Some(body.to_string()),
    );
    answer.await.body
}

#[tokio::test]
async fn a_null_declares_no_tasks_in_either_era() {
    let fleet = fleet().await;
    let folder = tempfile::tempdir().unwrap();
    let nap = json!({ "name": "paced", "arguments": paced(folder.path()) });
    for nothing in [json!(null), json!(false)] {
        let legacy = json!({ "tasks": nothing });
        let session = Legacy::open_with_any(fleet.endpoint(), "2025-11-25", legacy).await;
        let listed = session.request("tools/list", json!({})).await;
        assert!(names(listed.result()).contains(&HANDLE), "{nothing}");
        let handed = session.request("tools/call", nap.clone()).await;
        let facts = &handed.result()["structuredContent"];
        assert_eq!(facts["status"], "working", "{}", handed.text);

        let declared = json!({ "extensions": { TASKS: nothing } });
        let listed = modern(&fleet, "tools/list", &declared, json!({})).await;
        assert!(names(&listed["result"]).contains(&HANDLE), "{listed:#}");
        let handed = modern(&fleet, "tools/call", &declared, nap.clone()).await;
        let facts = &handed["result"]["structuredContent"];
        assert_eq!(facts["status"], "working", "{handed:#}");
    }
    take_steps(folder.path(), 1..=4);
}

#[tokio::test]
async fn a_null_declares_no_questions() {
    let fleet = asking_fleet().await;
    let call = json!({ "name": "summarize_orders", "arguments": asking() });
    for nothing in [
        json!({ "elicitation": null }),
        json!({ "elicitation": { "url": {}, "form": null } }),
    ] {
        let session = Legacy::open_with_any(fleet.endpoint(), "2025-11-25", nothing.clone()).await;
        let answered = session.request("tools/call", call.clone()).await;
        assert!(answered.before.is_empty(), "{}", answered.text);
        assert!(
            answered.text.contains("elicitation"),
            "{nothing}: {}",
            answered.text
        );
        let answered = modern(&fleet, "tools/call", &nothing, call.clone()).await;
        assert_ne!(
            answered["result"]["resultType"], "input_required",
            "{answered:#}"
        );
    }
}

#[tokio::test]
async fn a_session_is_asked_only_what_its_revision_has() {
    let fleet = asking_fleet().await;
    let call = json!({ "name": "summarize_orders", "arguments": asking() });
    // A client may declare what its revision never heard of.
    let open = async |revision| {
        let declared = json!({ "elicitation": {} });
        Legacy::open_with_any(fleet.endpoint(), revision, declared).await
    };
    let oldest = open("2025-03-26").await;
    let answered = oldest.request("tools/call", call.clone()).await;
    assert!(answered.before.is_empty(), "{}", answered.text);
    assert!(
        answered.text.contains("does not declare"),
        "{}",
        answered.text
    );
    let session = open("2025-06-18").await;
    let mut stream = Stream::post(&session, 4, "tools/call", call).await;
    let question = stream.until("elicitation/create").await;
    answer(&session, &question, json!({ "result": accepted() })).await;
    stream.until("result").await;
}

/// What a session's own stream told of a call that was handed out, until the tools change after its end.
async fn told_of_a_handle(fleet: &Fleet, session: &Legacy, tool: &str) -> Vec<Value> {
    let mut own = Stream::get(session).await;
    let folder = tempfile::tempdir().unwrap();
    let meta = json!({ "progressToken": "p" });
    let call = json!({ "name": "paced", "arguments": paced(folder.path()), "_meta": meta });
    let handed = session.request("tools/call", call).await;
    let id = &handed.result()["structuredContent"]["task_id"];
    take_steps(folder.path(), 1..=4);
    let arguments = json!({ "task_id": id, "wait_seconds": 30 });
    let ended = session.call("task_status", arguments).await;
    assert!(ended.text.contains("completed"), "{}", ended.text);
    told_until_tools_change(fleet, &mut own, tool).await
}

/// What a session's own stream tells before a change of the tools that is made now.
async fn told_until_tools_change(fleet: &Fleet, own: &mut Stream, tool: &str) -> Vec<Value> {
    register(&fleet.redis, tool, &json!({ "type": "object" })).await;
    let mut told = Vec::new();
    loop {
        let message = own.next().await;
        if message["method"] == "notifications/tools/list_changed" {
            return told;
        }
        told.push(message);
    }
}

#[tokio::test]
async fn a_session_that_knows_no_tasks_is_told_of_none() {
    let fleet = fleet().await;
    for (number, (revision, capabilities)) in [
        ("2025-03-26", json!({})),
        ("2025-06-18", json!({ "tasks": {} })),
        ("2025-11-25", json!({})),
        ("2025-11-25", json!({ "tasks": null })),
    ]
    .into_iter()
    .enumerate()
    {
        let session = Legacy::open_with_any(fleet.endpoint(), revision, capabilities).await;
        let told = told_of_a_handle(&fleet, &session, &format!("late_{number}")).await;
        let of_tasks =
            |message: &&Value| OF_TASKS.iter().any(|method| message["method"] == *method);
        assert_eq!(told.iter().find(of_tasks), None, "{revision}");
    }
}

#[tokio::test]
async fn a_client_that_declares_no_tasks_may_have_one_and_polls_it() {
    let fleet = fleet().await;
    let session = Legacy::open(fleet.endpoint()).await;
    let mut own = Stream::get(&session).await;
    let id = session.start("echo", json!({ "text": "x" }), 60_000).await;
    session.until(&id, "completed").await;
    let knowing = Legacy::open_with_tasks(fleet.endpoint()).await;
    let mut other = Stream::get(&knowing).await;
    let id = knowing.start("echo", json!({ "text": "x" }), 60_000).await;
    let mut told = json!({});
    while told["params"]["status"] != "completed" {
        told = other.until("notifications/tasks/status").await;
    }
    assert_eq!(told["params"]["taskId"], id);
    let nothing = told_until_tools_change(&fleet, &mut own, "late").await;
    assert_eq!(nothing, Vec::<Value>::new());
}
