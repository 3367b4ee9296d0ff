//! Streams that broke: the client goes on after the last event it got, on any replica.

use serde_json::{Value, json};
use taskferry_client::{Method, StatusCode};
use tempfile::TempDir;

use crate::client::Legacy;
use crate::fleet::Fleet;
use crate::jobs::{job_has, lose_records, paced, take_steps};
use crate::questions::{ASKER, accepted, answer, asking, asking_fleet, session};
use crate::stream::{Stream, resume};

async fn fleet() -> Fleet {
    Fleet::start_with(&["--stream-after", "100ms"], &[]).await
}

/// A call of the paced tool that hears of all it tells.
async fn call(session: &Legacy, folder: &TempDir) -> Stream {
    session
        .request("logging/setLevel", json!({ "level": "info" }))
        .await
        .result();
    let meta = json!({ "progressToken": "p" });
    let params = json!({ "name": "paced", "arguments": paced(folder.path()), "_meta": meta });
    Stream::post(session, 77, "tools/call", params).await
}

/// Everything up to the answer: the steps told by progress, those told by log lines, the answer.
async fn rest(stream: &mut Stream) -> (Vec<Value>, Vec<Value>, Value) {
    let (mut progress, mut lines) = (Vec::new(), Vec::new());
    loop {
        let mut message = stream.next().await;
        match message["method"].as_str() {
            Some("notifications/progress") => progress.push(message["params"]["progress"].take()),
            Some("notifications/message") => lines.push(message["params"]["data"].take()),
            _ => return (progress, lines, message),
        }
    }
}

#[tokio::test]
async fn a_call_goes_on_where_it_broke_on_the_other_replica() {
    let fleet = fleet().await;
    let here = Legacy::open(&fleet.replicas[0].endpoint).await;
    let folder = tempfile::tempdir().unwrap();
    let mut stream = call(&here, &folder).await;
    let primer = stream.first_event().await;
    assert!(primer.starts_with("id: "), "{primer}");
    assert!(primer.ends_with("\nretry: 1000\ndata: "), "{primer}");
    take_steps(folder.path(), 1..=1);
    let first = [stream.next().await, stream.next().await];
    assert!(first.iter().all(|message| message["method"] != json!(null)));
    let last = stream.last_id();
    drop(stream);
    take_steps(folder.path(), 1..=2);
    job_has(&fleet, "progress", "2").await;

    let elsewhere = here.at(&fleet.replicas[1].endpoint);
    let mut stream = Stream::resume(&elsewhere, &last).await;
    let missed = [stream.next().await, stream.next().await];
    assert!(
        missed
            .iter()
            .any(|told| told["params"]["progress"] == json!(2.0))
    );
    assert!(missed.iter().any(|told| told["params"]["data"] == "step 2"));
    let again = stream.last_id();
    assert_ne!(again, last);
    drop(stream);

    let mut stream = Stream::resume(&here, &again).await;
    take_steps(folder.path(), 1..=3);
    job_has(&fleet, "progress", "3").await;
    take_steps(folder.path(), 1..=4);
    let (progress, lines, end) = rest(&mut stream).await;
    assert_eq!((progress, lines), (vec![json!(3.0)], vec![json!("step 3")]));
    assert_eq!(end["id"], 77);
    assert_eq!(end["result"]["content"][0]["text"], "done");
    assert_eq!(stream.next_or_end().await, None);
}

#[tokio::test]
async fn a_job_that_ended_meanwhile_answers_at_once_for_as_long_as_its_record_stays() {
    let fleet = fleet().await;
    for revision in ["2025-11-25", "2025-06-18"] {
        let here = Legacy::open_as(&fleet.replicas[0].endpoint, revision).await;
        let elsewhere = here.at(&fleet.replicas[1].endpoint);
        let folder = tempfile::tempdir().unwrap();
        let mut stream = call(&here, &folder).await;
        take_steps(folder.path(), 1..=1);
        stream.next().await;
        let primes = stream.first_event().await.contains("retry: ");
        assert_eq!(primes, revision == "2025-11-25");
        let last = stream.last_id();
        drop(stream);
        take_steps(folder.path(), 1..=4);
        job_has(&fleet, "status", "completed").await;
        for session in [&elsewhere, &here] {
            let (_, lines, end) = rest(&mut Stream::resume(session, &last).await).await;
            assert_eq!(lines.last(), Some(&json!("step 3")));
            assert_eq!(end["id"], 77);
            assert_eq!(end["result"]["content"][0]["text"], "done");
        }
        lose_records(&fleet).await;
        let gone = Stream::resume(&here, &last).await.next().await;
        assert_eq!(
            (&gone["id"], &gone["error"]["code"]),
            (&json!(77), &json!(-32602))
        );
    }
}

#[tokio::test]
async fn a_blocked_tasks_result_is_resumed_beside_the_sessions_own_stream() {
    let fleet = fleet().await;
    let here = Legacy::open_with_tasks(&fleet.replicas[0].endpoint).await;
    let elsewhere = here.at(&fleet.replicas[1].endpoint);
    let folder = tempfile::tempdir().unwrap();
    let id = here.start("paced", paced(folder.path()), 60_000).await;
    let mut own = Stream::get(&here).await;
    let mut waiting = Stream::post(&here, 5, "tasks/result", json!({ "taskId": id })).await;
    waiting.first_event().await;
    let last = waiting.last_id();
    drop(waiting);
    let mut waiting = Stream::resume(&elsewhere, &last).await;
    take_steps(folder.path(), 1..=4);
    let end = waiting.next().await;
    assert_eq!(end["id"], 5);
    let meta = &end["result"]["_meta"]["io.modelcontextprotocol/related-task"];
    assert_eq!(meta["taskId"], id);
    let mut told = json!({});
    while told["params"]["status"] != "completed" {
        told = own.until("notifications/tasks/status").await;
    }
}

#[tokio::test]
async fn the_sessions_own_stream_tells_nothing_of_a_plain_call() {
    let fleet = fleet().await;
    let here = Legacy::open_with_tasks(&fleet.replicas[0].endpoint).await;
    let mut own = Stream::get(&here).await;
    let folder = tempfile::tempdir().unwrap();
    let mut stream = call(&here, &folder).await;
    take_steps(folder.path(), 1..=4);
    rest(&mut stream).await;
    let task = here.start("echo", json!({ "text": "x" }), 60_000).await;
    let told = own.next().await;
    assert_eq!(told["params"]["taskId"], task, "{told:#}");
}

#[tokio::test]
async fn a_question_that_nobody_was_there_for_is_put_on_the_resumed_stream() {
    let mut fleet = asking_fleet().await;
    let here = session(&fleet.replicas[0].endpoint).await;
    let elsewhere = here.at(&fleet.replicas[1].endpoint);
    fleet.workers[ASKER].pause();
    let params = json!({ "name": "summarize_orders", "arguments": asking() });
    let mut stream = Stream::post(&here, 8, "tools/call", params).await;
    stream.first_event().await;
    let last = stream.last_id();
    drop(stream);
    fleet.workers[ASKER].resume();
    job_has(&fleet, "status", "input_required").await;
    let mut stream = Stream::resume(&elsewhere, &last).await;
    let question = stream.next().await;
    assert_eq!(question["method"], "elicitation/create");
    // It breaks again, with the question unanswered.
    let last = stream.last_id();
    drop(stream);
    let mut stream = Stream::resume(&here, &last).await;
    let repeated = stream.next().await;
    assert_eq!(repeated["id"], question["id"]);
    answer(&here, &repeated, json!({ "result": accepted() })).await;
    let end = stream.until("result").await;
    assert_eq!(
        (&end["id"], &end["result"]["isError"]),
        (&json!(8), &json!(false))
    );
}

#[tokio::test]
async fn a_stream_that_goes_on_elsewhere_ends_and_asks_nothing() {
    let mut fleet = asking_fleet().await;
    let here = session(&fleet.replicas[0].endpoint).await;
    let elsewhere = here.at(&fleet.replicas[1].endpoint);
    fleet.workers[ASKER].pause();
    let params = json!({ "name": "summarize_orders", "arguments": asking() });
    let mut stream = Stream::post(&here, 8, "tools/call", params).await;
    stream.first_event().await;
    let mut resumed = Stream::resume(&elsewhere, &stream.last_id()).await;
    resumed.first_event().await;
    fleet.workers[ASKER].resume();
    let question = resumed.next().await;
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(stream.next_or_end().await, None, "no second question");
    answer(&here, &question, json!({ "result": accepted() })).await;
    assert_eq!(resumed.until("result").await["id"], 8);
}

#[tokio::test]
async fn only_an_event_of_the_same_session_is_gone_on_from() {
    let fleet = fleet().await;
    let here = Legacy::open(&fleet.replicas[0].endpoint).await;
    let other = Legacy::open(&fleet.replicas[0].endpoint).await;
    let folder = tempfile::tempdir().unwrap();
    let mut stream = call(&here, &folder).await;
    stream.first_event().await;
    let last = stream.last_id();
    let changed = format!("x{}", &last[1..]);
    let refused = [
        (&other, last.as_str()),
        (&here, &changed),
        (&here, "1"),
        (&here, "made.up"),
    ];
    for (session, id) in refused {
        let mut response = resume(session, id).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{id}");
        let text = response.text().await.unwrap();
        assert!(text.contains("Last-Event-ID"), "{text}");
    }
    here.send(Method::DELETE, None).await;
    let ended = resume(&here, &last).await;
    assert_eq!(ended.status(), StatusCode::NOT_FOUND);
    take_steps(folder.path(), 1..=4);
    let (_, _, end) = rest(&mut stream).await;
    assert_eq!(end["id"], 77);
}

#[tokio::test]
async fn a_resumed_call_of_one_who_knows_no_tasks_is_answered_by_a_handle_too() {
    let flags = ["--stream-after", "100ms", "--handle-after", "3s"];
    let fleet = Fleet::start_with(&flags, &[]).await;
    let here = Legacy::open(&fleet.replicas[0].endpoint).await;
    let elsewhere = here.at(&fleet.replicas[1].endpoint);
    let folder = tempfile::tempdir().unwrap();
    let mut stream = call(&here, &folder).await;
    stream.first_event().await;
    let last = stream.last_id();
    drop(stream);
    let mut stream = Stream::resume(&elsewhere, &last).await;
    let answer = stream.until("result").await;
    assert_eq!(answer["id"], 77);
    let id = &answer["result"]["structuredContent"]["task_id"];
    assert!(id.is_string(), "{answer:#}");
    take_steps(folder.path(), 1..=4);
    let waits = json!({ "task_id": id, "wait_seconds": 30 });
    let ended = here.call("task_status", waits).await;
    assert_eq!(ended.result()["structuredContent"]["status"], "completed");
}
