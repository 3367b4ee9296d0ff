//! Clients that answer questions by tasks of their own (2025-11-25): whichever replica has the connection, and whichever
//! gets the responses.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taskferry_testing::stays;

use crate::client::Legacy;
use crate::fleet::Fleet;
use crate::jobs::expire;
use crate::questions::{answer, asking, asking_fleet, fixture_fleet};
use crate::stream::Stream;

/// What the client says of its tasks, unless a test says otherwise.
const INTERVAL_MS: u64 = 100;

/// A client that is a receiver of tasks.
struct Receiver {
    here: Legacy,
    /// Where its responses go.
    elsewhere: Legacy,
}

impl Receiver {
    async fn open(fleet: &Fleet) -> Self {
        let requests =
            json!({ "elicitation": { "create": {} }, "sampling": { "createMessage": {} } });
        let capabilities = json!({
            "elicitation": {}, "sampling": {}, "tasks": { "cancel": {}, "requests": requests },
        });
        let here = Legacy::open_with(&fleet.replicas[0].endpoint, "2025-11-25", capabilities).await;
        let elsewhere = here.at(&fleet.replicas[1].endpoint);
        Self { here, elsewhere }
    }

    /// Responds to a request of ours.
    async fn respond(&self, request: &Value, result: Value) {
        answer(&self.elsewhere, request, json!({ "result": result })).await;
    }

    /// Says that it made a task for a question.
    async fn make(&self, question: &Value) {
        self.respond(question, json!({ "task": task("working") }))
            .await;
    }

    /// Begins a task of ours that asks.
    async fn begin(&self) -> String {
        self.here.start("summarize_orders", asking(), 60_000).await
    }

    /// Begins one, and waits for its question on a blocked tasks/result.
    async fn asked(&self) -> (String, Stream, Value) {
        let id = self.begin().await;
        let mut stream = Stream::post(&self.here, 9, "tasks/result", json!({ "taskId": id })).await;
        let question = stream.until("elicitation/create").await;
        (id, stream, question)
    }

    /// Begins one that asks on the session's own stream, and makes a task for its question.
    async fn made(&self, own: &mut Stream) -> String {
        let id = self.begin().await;
        let question = own.until("elicitation/create").await;
        self.make(&question).await;
        id
    }
}

/// The client's task.
fn task(status: &str) -> Value {
    json!({
        "taskId": "their-task", "status": status, "createdAt": "2026-01-01T00:00:00Z",
        "lastUpdatedAt": "2026-01-01T00:00:00Z", "ttl": 60_000, "pollInterval": INTERVAL_MS,
    })
}

fn accepted() -> Value {
    json!({ "action": "accept", "content": {} })
}

#[tokio::test]
async fn a_question_becomes_a_task_of_the_clients_which_is_polled_at_its_pace_and_fetched() {
    let fleet = asking_fleet().await;
    let client = Receiver::open(&fleet).await;
    let (id, mut stream, question) = client.asked().await;
    let ttl = question["params"]["task"]["ttl"].as_u64().unwrap();
    assert!((1..=60_000).contains(&ttl), "the question lives no longer");
    let related = &question["params"]["_meta"]["io.modelcontextprotocol/related-task"];
    assert_eq!(related["taskId"], id);
    client.make(&question).await;

    let mut asked_at = Instant::now();
    for round in 1..=3 {
        let poll = stream.until("tasks/get").await;
        assert_eq!(poll["params"], json!({ "taskId": "their-task" }));
        assert!(
            round == 1 || asked_at.elapsed() >= Duration::from_millis(INTERVAL_MS),
            "asked again after {:?}",
            asked_at.elapsed()
        );
        assert_eq!(client.here.task(&id).await["status"], "input_required");
        asked_at = Instant::now();
        let status = if round < 3 { "working" } else { "completed" };
        client.respond(&poll, task(status)).await;
    }
    let fetch = stream.until("tasks/result").await;
    assert_eq!(fetch["params"], json!({ "taskId": "their-task" }));
    client.respond(&fetch, accepted()).await;
    let result = stream.next().await;
    assert_eq!(
        (&result["id"], &result["result"]["isError"]),
        (&json!(9), &json!(false)),
        "{result:#}"
    );
    assert_eq!(client.here.task(&id).await["status"], "completed");
}

#[tokio::test]
async fn a_sampling_of_a_plain_call_becomes_a_task_of_the_clients_too() {
    let fleet = fixture_fleet().await;
    let client = Receiver::open(&fleet).await;
    let params = json!({ "name": "test_sampling", "arguments": { "prompt": "why?" } });
    let mut stream = Stream::post(&client.here, 5, "tools/call", params).await;
    let question = stream.until("sampling/createMessage").await;
    assert!(question["params"]["task"]["ttl"].is_u64(), "{question:#}");
    assert!(question["params"]["_meta"].is_null(), "no task of ours");
    client.make(&question).await;
    let poll = stream.until("tasks/get").await;
    client.respond(&poll, task("completed")).await;
    let fetch = stream.until("tasks/result").await;
    let said = json!({
        "role": "assistant", "content": { "type": "text", "text": "because" }, "model": "m",
    });
    client.respond(&fetch, said).await;
    let result = stream.next().await;
    let text = result["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("because"), "{result:#}");
}

#[tokio::test]
async fn a_client_may_answer_at_once_or_not_have_declared_it() {
    let fleet = asking_fleet().await;
    let client = Receiver::open(&fleet).await;
    let (_, mut stream, question) = client.asked().await;
    client.respond(&question, accepted()).await;
    assert_eq!(stream.next().await["result"]["isError"], false);

    let plain = crate::questions::session(&fleet.replicas[0].endpoint).await;
    let id = plain.start("summarize_orders", asking(), 60_000).await;
    let mut stream = Stream::post(&plain, 9, "tasks/result", json!({ "taskId": id })).await;
    let question = stream.until("elicitation/create").await;
    assert!(question["params"]["task"].is_null(), "{question:#}");
    answer(&plain, &question, json!({ "result": accepted() })).await;
    assert_eq!(stream.next().await["result"]["isError"], false);
}

/// What the tool says when the client's task comes to nothing.
async fn comes_to_nothing(end: impl AsyncFn(&Receiver, &mut Stream)) -> String {
    let fleet = asking_fleet().await;
    let client = Receiver::open(&fleet).await;
    let (_, mut stream, question) = client.asked().await;
    client.make(&question).await;
    end(&client, &mut stream).await;
    let result = stream.until("result").await;
    assert_eq!(result["result"]["isError"], true, "{result:#}");
    let text = &result["result"]["content"][0]["text"];
    text.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_clients_task_that_is_cancelled_fails_or_is_unknown_is_an_error_to_the_tool() {
    let cancelled = comes_to_nothing(async |client, stream| {
        let poll = stream.until("tasks/get").await;
        client.respond(&poll, task("cancelled")).await;
    });
    let failed = comes_to_nothing(async |client, stream| {
        let poll = stream.until("tasks/get").await;
        client.respond(&poll, task("failed")).await;
        let fetch = stream.until("tasks/result").await;
        let error = json!({ "error": { "code": -32603, "message": "the model broke" } });
        answer(&client.elsewhere, &fetch, error).await;
    });
    let failed_with_a_result = comes_to_nothing(async |client, stream| {
        let poll = stream.until("tasks/get").await;
        let mut said = task("failed");
        said["statusMessage"] = json!("nobody came");
        client.respond(&poll, said).await;
        let fetch = stream.until("tasks/result").await;
        client.respond(&fetch, accepted()).await;
    });
    let unknown = comes_to_nothing(async |client, stream| {
        let poll = stream.until("tasks/get").await;
        let error = json!({ "error": { "code": -32602, "message": "no such task" } });
        answer(&client.elsewhere, &poll, error).await;
    });
    let (cancelled, failed, unknown) = tokio::join!(cancelled, failed, unknown);
    let failed_with_a_result = failed_with_a_result.await;
    assert!(
        failed_with_a_result.contains("nobody came"),
        "{failed_with_a_result}"
    );
    assert!(cancelled.contains("is cancelled"), "{cancelled}");
    assert!(failed.contains("the model broke"), "{failed}");
    assert!(unknown.contains("no such task"), "{unknown}");
}

#[tokio::test]
async fn the_polls_go_on_over_another_connection_on_another_replica() {
    let fleet = asking_fleet().await;
    let client = Receiver::open(&fleet).await;
    let (id, mut stream, question) = client.asked().await;
    client.make(&question).await;
    let poll = stream.until("tasks/get").await;
    // The client goes away with a poll that it did not answer.
    drop(stream);
    let again = Stream::post(
        &client.elsewhere,
        10,
        "tasks/result",
        json!({ "taskId": id }),
    );
    let mut stream = again.await;
    let repeated = stream.until("tasks/get").await;
    assert_ne!(repeated["id"], poll["id"]);
    client.respond(&poll, task("completed")).await;
    client.respond(&repeated, task("completed")).await;
    let fetch = stream.until("tasks/result").await;
    client.respond(&fetch, accepted()).await;
    let result = stream.until("result").await;
    assert_eq!(result["result"]["isError"], false, "{result:#}");
}

#[tokio::test]
async fn cancelling_our_task_cancels_the_clients_also_one_that_comes_too_late() {
    let fleet = asking_fleet().await;
    let client = Receiver::open(&fleet).await;
    let mut own = Stream::get(&client.here).await;
    let id = client.made(&mut own).await;
    own.until("tasks/get").await;
    let cancelled = client
        .elsewhere
        .request("tasks/cancel", json!({ "taskId": id }))
        .await;
    assert_eq!(cancelled.result()["status"], "cancelled");
    let cancel = own.until("tasks/cancel").await;
    assert_eq!(cancel["params"], json!({ "taskId": "their-task" }));
    client.respond(&cancel, task("cancelled")).await;

    let id = client.begin().await;
    let question = own.until("elicitation/create").await;
    client
        .elsewhere
        .request("tasks/cancel", json!({ "taskId": id }))
        .await;
    let ended = |told: &Value| told["params"]["status"] == "cancelled";
    while !ended(&own.until("notifications/tasks/status").await) {}
    client.make(&question).await;
    let cancel = own.until("tasks/cancel").await;
    assert!(
        cancel["id"].as_str().unwrap().starts_with(&id),
        "{cancel:#}"
    );
}

#[tokio::test]
async fn an_expired_task_of_ours_cancels_the_clients() {
    let fleet = asking_fleet().await;
    let client = Receiver::open(&fleet).await;
    let (id, mut stream, question) = client.asked().await;
    client.make(&question).await;
    stream.until("tasks/get").await;
    expire(&fleet.redis, &id).await;
    let cancel = stream.until("tasks/cancel").await;
    assert_eq!(cancel["params"], json!({ "taskId": "their-task" }));
    let gone = stream.next().await;
    assert_eq!(gone["error"]["code"], -32602, "{gone:#}");
}

#[tokio::test]
async fn the_typescript_sdk_answers_by_tasks_of_its_own() {
    let fleet = asking_fleet().await;
    crate::foreign_clients::runs("receiver.mjs", &fleet).await;
}

/// What a process took of the CPU so far, in clock ticks (Linux: proc(5), utime and stime).
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test]
async fn a_stream_rests_once_the_clients_task_brought_its_answer() {
    let fleet = asking_fleet().await;
    let client = Receiver::open(&fleet).await;
    let mut own = Stream::get(&client.here).await;
    let id = client.begin().await;
    let question = own.until("elicitation/create").await;
    // While a client's task waits for input, how it stands is asked for beside its result: that is still due when the result
    // is there.
    let due = Duration::from_secs(1);
    let mut waits = task("input_required");
    waits["pollInterval"] = json!(due.as_millis());
    client.respond(&question, json!({ "task": waits })).await;
    let fetch = own.until("tasks/result").await;
    client.respond(&fetch, accepted()).await;
    client.here.until(&id, "completed").await;
    let pid = fleet.replicas[0].process.pid();
    let before = cpu_ticks(pid);
    stays(due * 2, "an idle replica takes no CPU", async || {
        cpu_ticks(pid) - before < 50
    })
    .await;
    drop(own);
}
