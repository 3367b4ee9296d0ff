//! Clients that know no tasks: a call that takes too long is answered by a handle, and our own tools go on from there.

mod ends;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use taskferry_testing::{eventually, let_begin, promptly};
use tempfile::TempDir;

use crate::client::{Answer, Legacy, Modern};
use crate::fleet::{Fleet, worker};
use crate::jobs::{paced, take_steps};
use crate::questions::{accepted, asking, asking_fleet_with, session};
use crate::tools::SHADOW;

const SLOW_NUMBER: &str = r#"
[[tool]]
name = "slow_number"
description = "Ends when the file folder/4 is there"
command = ["sh", "$HERE/paced.sh", "{folder}"]
input_schema = '{"type":"object","properties":{"folder":{"type":"string"}},"required":["folder"],"additionalProperties":false}'
output_schema = '{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}'
"#;

const OURS: [&str; 3] = ["task_status", "task_result", "task_cancel"];
const SOON: Duration = Duration::from_secs(20);
const HANDLES_SOON: [&str; 2] = ["--handle-after", "300ms"];
/// Within which a call that waits for a job usually waits.
const BEGINS: Duration = Duration::from_millis(300);

/// A client of either era.
enum Client {
    Legacy(Legacy),
    Modern(Modern),
}

impl Client {
    /// One of each kind that knows no tasks.
    async fn without_tasks(endpoint: &str) -> Vec<Self> {
        vec![
            Self::Legacy(Legacy::open(endpoint).await),
            Self::Legacy(Legacy::open_as(endpoint, "2025-03-26").await),
            Self::Modern(Modern::with(endpoint, json!({}))),
        ]
    }

    async fn request(&self, method: &str, params: Value) -> Answer {
        match self {
            Self::Legacy(session) => session.request(method, params).await,
            Self::Modern(client) => client.request(method, params).await,
        }
    }

    async fn call(&self, tool: &str, arguments: Value) -> Answer {
        self.request(
            "tools/call",
            json!({ "name": tool, "arguments": arguments }),
        )
        .await
    }

    async fn tools(&self) -> Vec<String> {
        let answer = self.request("tools/list", json!({})).await;
        let tools = answer.result()["tools"].as_array().unwrap();
        let names = tools.iter().map(|tool| tool["name"].as_str().unwrap());
        names.map(ToOwned::to_owned).collect()
    }

    /// Calls a tool that does not end soon; the id in the handle.
    async fn handle_of(&self, tool: &str, arguments: Value) -> String {
        let answer = self.call(tool, arguments).await;
        let result = answer.result();
        assert_eq!(result["isError"], false, "{result:#}");
        let id = result["structuredContent"]["task_id"].as_str().unwrap();
        assert_eq!(result["structuredContent"]["status"], "working");
        let text = result["content"][0]["text"].as_str().unwrap();
        for part in OURS.iter().chain(&[id, "\"wait_seconds\": 30"]) {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        id.to_owned()
    }

    async fn status(&self, id: &str, wait_seconds: u32) -> String {
        let arguments = json!({ "task_id": id, "wait_seconds": wait_seconds });
        let answer = self.call("task_status", arguments).await;
        let facts = &answer.result()["structuredContent"];
        assert_eq!(facts["task_id"], id);
        facts["status"].as_str().unwrap().to_owned()
    }

    /// Waits for a job that ends meanwhile; how long after its end that was told.
    async fn told_of_the_end(&self, id: &str, paced: &Paced) -> Duration {
        let ending = async {
            let_begin(BEGINS).await;
            paced.end();
            Instant::now()
        };
        let waiting = async { (self.status(id, 30).await, Instant::now()) };
        let (ended, (status, told)) = tokio::join!(ending, waiting);
        assert_eq!(status, "completed");
        told.saturating_duration_since(ended)
    }
}

async fn fleet() -> Fleet {
    Fleet::start_with(&HANDLES_SOON, &[]).await
}

/// A job that goes on when it is told to.
struct Paced(TempDir);

impl Paced {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn arguments(&self) -> Value {
        paced(self.0.path())
    }

    fn step(&self, step: u32) {
        take_steps(self.0.path(), [step]);
    }

    fn end(&self) {
        take_steps(self.0.path(), 1..=4);
    }
}

/// A result without what only the writer's era adds.
fn bare(answer: &Answer) -> Value {
    let mut result = answer.result().clone();
    let members = result.as_object_mut().unwrap();
    members.remove("_meta");
    members.remove("resultType");
    result
}

#[tokio::test]
async fn a_long_call_is_handed_out_waited_for_and_fetched() {
    let fleet = fleet().await;
    let knowing = Legacy::open_with_tasks(fleet.endpoint()).await;
    for client in Client::without_tasks(fleet.endpoint()).await {
        let paced = Paced::new();
        let id = client.handle_of("paced", paced.arguments()).await;
        assert_eq!(client.status(&id, 0).await, "working");
        let early = client.call("task_result", json!({ "task_id": id })).await;
        assert_eq!(early.result()["isError"], true);
        assert!(early.text.contains("task_status"), "{}", early.text);

        client.told_of_the_end(&id, &paced).await;

        let fetched = client.call("task_result", json!({ "task_id": id })).await;
        // It may take as long as it likes: one who knows tasks gets no handle.
        let plain = knowing.call("paced", paced.arguments()).await;
        assert_eq!(bare(&fetched), bare(&plain));
        let again = client.call("task_cancel", json!({ "task_id": id })).await;
        assert_eq!(again.result()["structuredContent"]["status"], "completed");
    }
    let client = Client::Modern(Modern::with(fleet.endpoint(), json!({})));
    // Far below the seconds after which a waiter looks by itself, and far below the wait.
    let bound = Duration::from_millis(2500);
    promptly(bound, "the end is told to who waits", async || {
        let paced = Paced::new();
        let id = client.handle_of("paced", paced.arguments()).await;
        client.told_of_the_end(&id, &paced).await
    })
    .await;
}

#[tokio::test]
async fn a_call_that_ends_in_time_is_answered_as_ever() {
    let fleet = Fleet::start().await;
    for client in Client::without_tasks(fleet.endpoint()).await {
        let exact = r#"{"content":[ ],"x":  1.0}"#;
        let answer = client.call("verbatim", json!({ "result": exact })).await;
        assert!(answer.text.contains(r#""content":[ ]"#), "{}", answer.text);
        assert!(answer.result()["structuredContent"].is_null());
    }
}

#[tokio::test]
async fn our_tools_are_shown_to_those_who_know_no_tasks_alone() {
    let fleet = fleet().await;
    for client in Client::without_tasks(fleet.endpoint()).await {
        let tools = client.tools().await;
        assert_eq!(tools[tools.len() - 3..], OURS);
    }
    let knowing = [
        Client::Legacy(Legacy::open_with_tasks(fleet.endpoint()).await),
        Client::Modern(Modern::with_tasks(fleet.endpoint())),
    ];
    for client in knowing {
        let tools = client.tools().await;
        assert!(tools.iter().all(|tool| !OURS.contains(&tool.as_str())));
        let refused = client.call("task_status", json!({ "task_id": "x" })).await;
        assert_eq!(refused.code(), -32602);
    }
}

#[tokio::test]
async fn one_who_knows_tasks_gets_no_handle() {
    let fleet = fleet().await;
    let capabilities = json!({ "tasks": {} });
    let session = Legacy::open_with(fleet.endpoint(), "2025-11-25", capabilities).await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = json!({ "seconds": 1, "folder": folder.path() });
    let answer = session.call("nap", arguments).await;
    assert!(answer.text.contains("attempt 1"), "{}", answer.text);
}

#[tokio::test]
async fn switched_off_it_shows_nothing_and_waits() {
    let fleet = Fleet::start_with(&["--handle-after", "off"], &[]).await;
    let client = Client::Modern(Modern::with(fleet.endpoint(), json!({})));
    let tools = client.tools().await;
    assert!(tools.iter().all(|tool| !OURS.contains(&tool.as_str())));
    let listed = client.request("tools/list", json!({})).await;
    assert_eq!(listed.result()["cacheScope"], "public");
}

#[tokio::test]
async fn the_other_replica_goes_on_and_a_disconnect_harms_nothing() {
    let fleet = fleet().await;
    let [first, second] = [0, 1].map(|n| Modern::with(&fleet.replicas[n].endpoint, json!({})));
    let (first, second) = (Client::Modern(first), Client::Modern(second));
    let paced = Paced::new();
    // The connection of this call ends with its answer.
    let id = first.handle_of("paced", paced.arguments()).await;
    let waiting = second.status(&id, 30);
    let ending = async {
        let_begin(BEGINS).await;
        paced.end();
    };
    let (status, ()) = tokio::join!(waiting, ending);
    assert_eq!(status, "completed");
}

#[tokio::test]
async fn a_workers_tool_of_the_same_name_goes_first() {
    let mut fleet = fleet().await;
    let _shadow = worker(&fleet.redis.url(), SHADOW, &[]).await;
    let client = Client::Modern(Modern::with(&fleet.replicas[0].endpoint, json!({})));
    eventually(SOON, "the worker's tool is listed", async || {
        let tools = client.tools().await;
        let named = |name: &str| tools.iter().filter(|tool| *tool == name).count();
        tools[tools.len() - 2..] == OURS[..2] && named("task_cancel") == 1
    })
    .await;
    let answer = client.call("task_cancel", json!({})).await;
    assert_eq!(
        answer.result()["content"][0]["text"]
            .as_str()
            .unwrap()
            .trim(),
        "not yours"
    );
    let folder = tempfile::tempdir().unwrap();
    let arguments = json!({ "seconds": 1, "folder": folder.path() });
    let waited = client.call("nap", arguments).await;
    assert!(waited.text.contains("attempt 1"), "{}", waited.text);
    let told = fleet.replicas[0]
        .process
        .wait_for_line(SOON, "slow calls are not promoted to tasks")
        .await;
    assert!(told.contains("task_cancel"), "{told}");
}

#[tokio::test]
async fn a_tool_with_an_output_schema_gets_words_only() {
    let fleet = Fleet::with_tools(SLOW_NUMBER, &HANDLES_SOON, &[]).await;
    for client in Client::without_tasks(fleet.endpoint()).await {
        let paced = Paced::new();
        let answer = client.call("slow_number", paced.arguments()).await;
        let result = answer.result();
        assert!(result["structuredContent"].is_null(), "{result:#}");
        // Clients refuse a success without structuredContent, unread; of an error they ask for none.
        assert_eq!(result["isError"], true);
        let text = result["content"][0]["text"].as_str().unwrap();
        let id = text
            .split("\"task_id\": \"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .unwrap();
        let stopped = client.call("task_cancel", json!({ "task_id": id })).await;
        let facts = &stopped.result()["structuredContent"];
        assert_eq!(facts["status"], "cancelled");
    }
}

#[tokio::test]
async fn progress_flows_before_and_after_the_handle() {
    // The command has begun and told its first step by then.
    let fleet = Fleet::start_with(&["--handle-after", "5s"], &[]).await;
    let clients = Client::without_tasks(fleet.endpoint()).await;
    let tell = clients.iter().map(async |client| {
        let paced = Paced::new();
        paced.step(1);
        let called = json!({
            "name": "paced", "arguments": paced.arguments(), "_meta": { "progressToken": "call" },
        });
        let answer = client.request("tools/call", called).await;
        let id = answer.result()["structuredContent"]["task_id"].clone();
        let asked = json!({
            "name": "task_status", "arguments": { "task_id": id, "wait_seconds": 30 },
            "_meta": { "progressToken": "status" },
        });
        let ending = async {
            let_begin(BEGINS).await;
            paced.end();
        };
        let (told, ()) = tokio::join!(client.request("tools/call", asked), ending);
        assert_eq!(told.result()["structuredContent"]["status"], "completed");
        for (answer, token) in [(&answer, "call"), (&told, "status")] {
            let progress = |message: &&Value| {
                message["method"] == "notifications/progress"
                    && message["params"]["progressToken"] == token
            };
            assert!(answer.before.iter().any(|m| progress(&m)), "{answer:#?}");
        }
    });
    join_all(tell).await;
}

/// Naps about as long as the wait: whichever comes first, the outcome is told, and never lost.
#[tokio::test]
async fn a_job_that_ends_while_it_is_handed_out_loses_nothing() {
    let fleet = fleet().await;
    let client = Modern::with(fleet.endpoint(), json!({}));
    let naps = (0..24).map(|n| {
        let client = Client::Modern(client.clone());
        async move {
            let folder = tempfile::tempdir().unwrap();
            let seconds = 0.2 + f64::from(n) / 120.0;
            let arguments = json!({ "seconds": seconds, "folder": folder.path() });
            let mut answer = client.call("nap", arguments).await;
            let id = answer.result()["structuredContent"]["task_id"].clone();
            if let Some(id) = id.as_str() {
                assert_eq!(client.status(id, 30).await, "completed");
                answer = client.call("task_result", json!({ "task_id": id })).await;
            }
            assert!(answer.text.contains("attempt 1"), "{}", answer.text);
        }
    });
    join_all(naps).await;
}

/// A job that asked nobody in time asks whoever waits for it with our tool.
#[tokio::test]
async fn questions_of_a_handed_out_job_go_out_on_task_status() {
    let fleet = asking_fleet_with(&["--handle-after", "300ms"]).await;
    let session = session(fleet.endpoint()).await;
    let call = session.call("summarize_orders", asking()).await;
    let id = &call.result()["structuredContent"]["task_id"];
    let client = Modern::with(fleet.endpoint(), json!({ "elicitation": {} }));
    let wait = json!({ "name": "task_status", "arguments": { "task_id": id, "wait_seconds": 30 } });
    let asked = client.request("tools/call", wait.clone()).await;
    let asked = asked.result();
    assert_eq!(asked["resultType"], "input_required", "{asked:#}");
    let mut answered = wait;
    answered["requestState"] = asked["requestState"].clone();
    answered["inputResponses"] = json!({ "confirm": accepted() });
    let done = client.request("tools/call", answered).await;
    let facts = &done.result()["structuredContent"];
    assert_eq!(facts["status"], "completed", "{}", done.text);
}
