//! Clients that take back a plain call: with `notifications/cancelled`, by way of any replica, or by leaving.

use std::time::Duration;

use serde_json::{Value, json};
use taskferry_client::{Method, StatusCode};
use taskferry_testing::{eventually, let_begin};
use tempfile::TempDir;

use crate::client::Legacy;
use crate::crowd::Client;
use crate::fleet::Fleet;
use crate::jobs::lose_records;
use crate::stream::{Stream, resume};

const SOON: Duration = Duration::from_secs(20);

async fn fleet() -> Fleet {
    Fleet::start_with(&["--stream-after", "100ms"], &[]).await
}

/// The params of a long call, whose command says in a folder that it runs.
fn nap(folder: &TempDir) -> Value {
    json!({ "name": "nap", "arguments": { "seconds": 60, "folder": folder.path() } })
}

/// Everything up to the end of a stream, which has no answer.
async fn ends_without_an_answer(stream: &mut Stream) {
    while let Some(message) = stream.next_or_end().await {
        assert!(message["method"].is_string(), "an answer: {message:#}");
    }
}

/// A long call whose command runs; its stream and its folder.
async fn napping(session: &Legacy, id: u64) -> (Stream, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut params = nap(&folder);
    params["_meta"] = json!({ "progressToken": id });
    let stream = Stream::post(session, id, "tools/call", params).await;
    let started = folder.path().join("1");
    eventually(SOON, "the command runs", async || started.exists()).await;
    (stream, folder)
}

#[tokio::test]
async fn a_legacy_client_cancels_a_plain_call_on_any_replica() {
    let fleet = fleet().await;
    for revision in ["2025-11-25", "2025-06-18"] {
        let here = Legacy::open_as(&fleet.replicas[0].endpoint, revision).await;
        let elsewhere = here.at(&fleet.replicas[1].endpoint);
        let (mut stream, _folder) = napping(&here, 42).await;
        stream.next().await;
        let last = stream.last_id();
        elsewhere.cancel(42).await;
        ends_without_an_answer(&mut stream).await;
        // Some clients come back for the answer, again and again, until they are told to stop.
        for session in [&here, &elsewhere] {
            let mut response = resume(session, &last).await;
            assert_eq!(response.status(), StatusCode::NO_CONTENT, "{revision}");
            assert_eq!(response.text().await.unwrap(), "");
        }
    }
}

#[tokio::test]
async fn a_stream_that_was_resumed_ends_when_its_call_is_cancelled() {
    let fleet = fleet().await;
    let here = Legacy::open(&fleet.replicas[0].endpoint).await;
    let elsewhere = here.at(&fleet.replicas[1].endpoint);
    let (mut stream, _folder) = napping(&here, 7).await;
    stream.next().await;
    let last = stream.last_id();
    drop(stream);
    let mut resumed = Stream::resume(&elsewhere, &last).await;
    resumed.first_event().await;
    here.cancel(7).await;
    ends_without_an_answer(&mut resumed).await;
}

#[tokio::test]
async fn a_call_that_is_cancelled_before_it_is_a_stream_ends_as_an_empty_one() {
    let fleet = Fleet::start_with(&["--stream-after", "60s"], &[]).await;
    let here = Legacy::open(&fleet.replicas[0].endpoint).await;
    let folder = tempfile::tempdir().unwrap();
    let started = folder.path().join("1");
    let cancels = async {
        eventually(SOON, "the command runs", async || started.exists()).await;
        here.at(&fleet.replicas[1].endpoint).cancel(1).await;
    };
    let (answer, ()) = tokio::join!(here.request("tools/call", nap(&folder)), cancels);
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.streamed && answer.text.is_empty(), "{}", answer.text);
}

#[tokio::test]
async fn a_cancel_of_an_id_that_was_never_used_kills_no_later_call() {
    let fleet = fleet().await;
    let here = Legacy::open(&fleet.replicas[0].endpoint).await;
    let elsewhere = here.at(&fleet.replicas[1].endpoint);
    for cancels in [&here, &elsewhere] {
        cancels.cancel(1).await;
        let called = here.call("echo", json!({ "text": "x" })).await;
        assert_eq!(called.result()["content"][0]["text"], "x");
        cancels.cancel(1).await;
        let id = here.start("echo", json!({ "text": "x" }), 60_000).await;
        let waited = here.result_of(&id).await;
        assert_eq!(waited.result()["content"][0]["text"], "x");
    }
}

#[tokio::test]
async fn a_call_under_the_id_of_a_cancelled_one_is_a_call_of_its_own() {
    let fleet = fleet().await;
    let here = Legacy::open(&fleet.replicas[0].endpoint).await;
    let elsewhere = here.at(&fleet.replicas[1].endpoint);
    let (mut first, _folder) = napping(&here, 5).await;
    elsewhere.cancel(5).await;
    let (mut second, _folder) = napping(&elsewhere, 5).await;
    ends_without_an_answer(&mut first).await;
    here.cancel(5).await;
    ends_without_an_answer(&mut second).await;
    let params = json!({ "name": "echo", "arguments": { "text": "x" } });
    let third = json!({ "jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": params });
    let answer = here.send(Method::POST, Some(third.to_string())).await;
    assert_eq!(answer.result()["content"][0]["text"], "x");
}

#[tokio::test]
async fn an_id_may_be_written_otherwise_when_it_is_cancelled() {
    let fleet = fleet().await;
    let here = Legacy::open(fleet.endpoint()).await;
    let (mut stream, _folder) = napping(&here, 3).await;
    let body = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3.0}}"#;
    let taken = here.send(Method::POST, Some(body.to_owned())).await;
    assert_eq!(taken.status, StatusCode::ACCEPTED);
    ends_without_an_answer(&mut stream).await;
}

#[tokio::test]
async fn a_wait_for_a_task_that_is_cancelled_ends_for_good_and_the_task_goes_on() {
    let fleet = fleet().await;
    let here = Legacy::open(&fleet.replicas[0].endpoint).await;
    let elsewhere = here.at(&fleet.replicas[1].endpoint);
    let folder = tempfile::tempdir().unwrap();
    let id = here
        .start("paced", json!({ "folder": folder.path() }), 60_000)
        .await;
    let mut waiting = Stream::post(&here, 9, "tasks/result", json!({ "taskId": id })).await;
    waiting.first_event().await;
    let last = waiting.last_id();
    elsewhere.cancel(9).await;
    ends_without_an_answer(&mut waiting).await;
    let response = resume(&elsewhere, &last).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(here.task(&id).await["status"], "working");
    here.request("tasks/cancel", json!({ "taskId": id }))
        .await
        .result();
}

#[tokio::test]
async fn whoever_comes_back_after_the_answer_is_told_to_stop() {
    let fleet = fleet().await;
    let here = Legacy::open(fleet.endpoint()).await;
    let (mut stream, _folder) = napping(&here, 3).await;
    stream.next().await;
    let before = stream.last_id();
    lose_records(&fleet).await;
    let answer = stream.next().await;
    assert_eq!(answer["error"]["code"], -32603, "{answer:#}");
    // Some take an error for no answer.
    let response = resume(&here, &stream.last_id()).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let mut again = Stream::resume(&here, &before).await;
    assert_eq!(again.next().await["error"]["code"], -32602);
    let response = resume(&here, &again.last_id()).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    fleet.leaves_anything();
}

/// A call is in Redis for a moment before its replica waits for it: whoever leaves then must be missed too.
#[tokio::test]
async fn a_client_that_leaves_while_its_call_is_being_queued_is_missed() {
    let fleet = fleet().await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = &nap(&folder)["arguments"];
    for n in 0..400 {
        let endpoint = &fleet.replicas[n % 2].endpoint;
        let client = Client::call(endpoint, "nap", arguments.clone()).await;
        let_begin(Duration::from_micros(rand::random_range(0..4000))).await;
        drop(client);
    }
}
