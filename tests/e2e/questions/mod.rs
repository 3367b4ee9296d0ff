//! Questions to the client while a job runs, in both eras, whichever replica has the connection.

mod first;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taskferry_client::{Method, StatusCode};
use taskferry_testing::{Process, command, eventually, promptly};

use crate::client::{Legacy, Modern};
use crate::fleet::{Fleet, in_tree};
use crate::stream::Stream;

/// How long a question may take to reach the client.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The place of the worker that asks among those of its fleet.
pub(crate) const ASKER: usize = 2;

/// A fleet with the Rust worker, whose `summarize_orders` asks first if it is told to.
pub(crate) async fn asking_fleet() -> Fleet {
    asking_fleet_with(&["--stream-after", "300ms"]).await
}

/// The same with flags for its replicas.
pub(crate) async fn asking_fleet_with(replica: &[&str]) -> Fleet {
    let mut fleet = Fleet::start_with(replica, &[]).await;
    add_example(&mut fleet, "rust_worker", "summarize_orders").await;
    fleet
}

/// Adds the worker of an example, and waits until every replica lists `tool` of it.
pub(crate) async fn add_example(fleet: &mut Fleet, name: &str, tool: &str) {
    let mut command = command(&format!("examples/{name}"));
    command
        .args(["--redis-url", &fleet.redis.url()])
        .current_dir(in_tree("examples"));
    let mut worker = Process::start(name, command);
    worker.wait_for_line(SOON, "slots=").await;
    fleet.workers.push(worker);
    fleet.lists(tool).await;
}

pub(crate) fn asking() -> Value {
    json!({ "confirm": true })
}

pub(crate) fn accepted() -> Value {
    json!({ "action": "accept", "content": {} })
}

pub(crate) async fn session(endpoint: &str) -> Legacy {
    Legacy::open_with(endpoint, "2025-11-25", json!({ "elicitation": {} })).await
}

/// The same, of a client that knows tasks.
pub(crate) async fn session_with_tasks(endpoint: &str) -> Legacy {
    let capabilities = json!({ "elicitation": {}, "tasks": {} });
    Legacy::open_with(endpoint, "2025-11-25", capabilities).await
}

/// The params of the asking call, made again with what is `extra`.
fn call(extra: Value) -> Value {
    let mut params = json!({ "name": "summarize_orders", "arguments": asking() });
    let all = params.as_object_mut().unwrap();
    all.extend(extra.as_object().unwrap().clone());
    params
}

pub(crate) async fn answer(session: &Legacy, question: &Value, outcome: Value) {
    let mut body = json!({ "jsonrpc": "2.0", "id": question["id"] });
    body.as_object_mut()
        .unwrap()
        .extend(outcome.as_object().unwrap().clone());
    let taken = session.send(Method::POST, Some(body.to_string())).await;
    assert_eq!(taken.status, StatusCode::ACCEPTED, "{}", taken.text);
}

#[tokio::test]
async fn a_legacy_plain_call_asks_on_its_stream_and_takes_the_answer_on_the_other_replica() {
    let fleet = asking_fleet().await;
    let here = session(&fleet.replicas[0].endpoint).await;
    let params = json!({ "name": "summarize_orders", "arguments": asking() });
    let mut stream = Stream::post(&here, 7, "tools/call", params).await;
    let question = stream.next().await;
    assert_eq!(question["method"], "elicitation/create");
    assert!(
        question["params"]["_meta"].is_null(),
        "a plain call is no task: {question:#}"
    );
    answer(
        &here.at(&fleet.replicas[1].endpoint),
        &question,
        json!({ "result": accepted() }),
    )
    .await;
    let result = stream.until("result").await;
    assert_eq!(
        (&result["id"], &result["result"]["isError"]),
        (&json!(7), &json!(false))
    );
}

#[tokio::test]
async fn a_task_asks_once_on_the_sessions_own_stream_and_tells_how_it_goes() {
    let fleet = asking_fleet().await;
    let here = session_with_tasks(&fleet.replicas[0].endpoint).await;
    let elsewhere = here.at(&fleet.replicas[1].endpoint);
    let mut own = Stream::get(&here).await;
    let mut redis = fleet.redis.raw().await;
    let key = format!("tf:{{s:{}}}:session:stream", here.session);
    eventually(SOON, "the stream is known to every replica", async || {
        taskferry_testing::redis::cmd("EXISTS")
            .arg(&key)
            .query_async(&mut redis)
            .await
            .unwrap()
    })
    .await;
    let id = elsewhere.start("summarize_orders", asking(), 60_000).await;
    // An answer that came before this is a stream would make it none.
    let mut waiting = Stream::post(&elsewhere, 9, "tasks/result", json!({ "taskId": id })).await;
    let mut asked = json!({});
    while asked["params"]["status"] != "input_required" {
        asked = own.until("notifications/tasks/status").await;
        assert_eq!(asked["params"]["taskId"], id);
    }
    let question = own.until("elicitation/create").await;
    assert_eq!(
        question["params"]["_meta"]["io.modelcontextprotocol/related-task"]["taskId"],
        id
    );
    answer(&elsewhere, &question, json!({ "result": accepted() })).await;
    let result = waiting.next().await;
    assert_eq!(
        result["id"], 9,
        "the question went out on the other stream only: {result:#}"
    );
    assert_eq!(result["result"]["isError"], false);
    let told = own.until("notifications/tasks/status").await;
    assert!(["working", "completed"].contains(&told["params"]["status"].as_str().unwrap()));
}

#[tokio::test]
async fn without_a_stream_of_its_own_a_session_is_asked_on_a_blocked_tasks_result() {
    let fleet = asking_fleet().await;
    let here = session(&fleet.replicas[0].endpoint).await;
    let elsewhere = here.at(&fleet.replicas[1].endpoint);
    let id = here.start("summarize_orders", asking(), 60_000).await;
    let params = json!({ "taskId": id });
    let mut waiting = Stream::post(&elsewhere, 3, "tasks/result", params.clone()).await;
    let question = waiting.next().await;
    assert_eq!(question["method"], "elicitation/create");
    // The client goes away without answering: the question goes to the next that waits.
    drop(waiting);
    let mut again = Stream::post(&here, 4, "tasks/result", params).await;
    let repeated = again.next().await;
    assert_eq!(repeated["id"], question["id"]);
    answer(
        &here,
        &repeated,
        json!({ "result": { "action": "decline" } }),
    )
    .await;
    let result = again.until("result").await;
    assert_eq!(
        result["result"]["isError"], true,
        "the tool was told that the person declined"
    );
    assert_eq!(here.task(&id).await["status"], "failed");
}

/// Which connection a client leaves with a question unanswered.
#[derive(Debug, Clone, Copy)]
enum Left {
    TasksResult,
    OwnStream,
    PlainCall,
}

/// How long after the client left it is asked again, over its next connection, which another replica has.
async fn asked_again_after(fleet: &Fleet, left: Left) -> Duration {
    let here = session(&fleet.replicas[0].endpoint).await;
    let elsewhere = here.at(&fleet.replicas[1].endpoint);
    let call = json!({ "name": "summarize_orders", "arguments": asking() });
    let (mut first, task) = match left {
        Left::PlainCall => (Stream::post(&here, 3, "tools/call", call).await, None),
        Left::TasksResult => {
            let id = here.start("summarize_orders", asking(), 60_000).await;
            let params = json!({ "taskId": id });
            let waiting = Stream::post(&here, 3, "tasks/result", params).await;
            (waiting, Some(id))
        }
        Left::OwnStream => {
            let own = Stream::get(&here).await;
            let id = here.start("summarize_orders", asking(), 60_000).await;
            (own, Some(id))
        }
    };
    let question = first.until("elicitation/create").await;
    let last = task.is_none().then(|| first.last_id());
    drop(first);
    let left = Instant::now();
    let mut next = match (last, task) {
        (Some(last), _) => Stream::resume(&elsewhere, &last).await,
        (None, id) => {
            let params = json!({ "taskId": id });
            Stream::post(&elsewhere, 3, "tasks/result", params).await
        }
    };
    let repeated = next.until("elicitation/create").await;
    let took = left.elapsed();
    assert_eq!(repeated["id"], question["id"]);
    answer(&here, &repeated, json!({ "result": accepted() })).await;
    let result = next.until("result").await;
    assert_eq!(result["result"]["isError"], false, "{result:#}");
    took
}

#[tokio::test]
async fn a_question_whose_client_left_is_put_to_its_next_connection_at_once() {
    let fleet = asking_fleet().await;
    // The right to send is held for 15 s, and renewed every few of them, unless it is given back.
    let bound = Duration::from_secs(8);
    for left in [Left::TasksResult, Left::OwnStream, Left::PlainCall] {
        let what = format!("{left:?}: the question is given back");
        promptly(bound, &what, async || asked_again_after(&fleet, left).await).await;
    }
}

#[tokio::test]
async fn an_error_in_place_of_an_answer_reaches_the_tool() {
    let fleet = asking_fleet().await;
    let here = session(fleet.endpoint()).await;
    let params = json!({ "name": "summarize_orders", "arguments": asking() });
    let mut stream = Stream::post(&here, 1, "tools/call", params).await;
    let question = stream.next().await;
    let error = json!({ "error": { "code": -32000, "message": "nobody is here" } });
    answer(&here, &question, error).await;
    let result = stream.until("result").await;
    let text = result["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("nobody is here"), "{text}");
}

#[tokio::test]
async fn a_client_that_cannot_be_asked_is_not_asked() {
    let fleet = asking_fleet().await;
    let here = Legacy::open(fleet.endpoint()).await;
    let result = here.call("summarize_orders", asking()).await;
    let text = result.result()["content"][0]["text"].as_str().unwrap();
    assert!(
        text.contains("does not declare the capability elicitation"),
        "{text}"
    );
}

#[tokio::test]
async fn a_modern_plain_call_returns_its_questions_and_goes_on_with_the_answers() {
    let fleet = asking_fleet().await;
    let client = Modern::with(&fleet.replicas[0].endpoint, json!({ "elicitation": {} }));
    let elsewhere = Modern {
        endpoint: fleet.replicas[1].endpoint.clone(),
        ..client.clone()
    };
    let asked = client
        .request("tools/call", call(json!({})))
        .await
        .result()
        .clone();
    assert_eq!(asked["resultType"], "input_required");
    let (key, request) = asked["inputRequests"]
        .as_object()
        .unwrap()
        .iter()
        .next()
        .unwrap();
    assert_eq!(request["method"], "elicitation/create");
    let state = asked["requestState"].as_str().unwrap();

    let wrong = json!({ "requestState": state, "inputResponses": { "other": accepted() } });
    let again = elsewhere
        .request("tools/call", call(wrong))
        .await
        .result()
        .clone();
    assert_eq!(
        again["resultType"], "input_required",
        "what is missing is asked again"
    );
    assert_ne!(again["requestState"], asked["requestState"]);

    let changed = format!("{}x", &state[..state.len() - 1]);
    for (state, arguments) in [
        (changed.as_str(), asking()),
        ("made.up", asking()),
        (state, json!({})),
    ] {
        let mut params =
            call(json!({ "requestState": state, "inputResponses": { key: accepted() } }));
        params["arguments"] = arguments;
        let refused = client.request("tools/call", params).await;
        assert_eq!(refused.code(), -32602, "{}", refused.text);
    }
    let no_object = json!({ "requestState": state, "inputResponses": { key: "yes" } });
    assert_eq!(
        client.request("tools/call", call(no_object)).await.code(),
        -32602
    );

    let answered = json!({ "requestState": state, "inputResponses": { key: accepted() } });
    let done = elsewhere.request("tools/call", call(answered)).await;
    assert_eq!(done.result()["resultType"], "complete");
    assert_eq!(done.result()["isError"], false);
}

/// A fleet with the fixture worker, whose `test_tool_with_task` has its question asked before the job is queued.
pub(crate) async fn fixture_fleet() -> Fleet {
    let mut fleet = Fleet::start_with(&["--stream-after", "300ms"], &[]).await;
    add_example(&mut fleet, "fixture_worker", "test_tool_with_task").await;
    fleet
}
