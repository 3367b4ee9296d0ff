//! Any replica answers anything.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use taskferry_client::StatusCode;
use taskferry_testing::{TestServer, eventually, promptly};

use crate::client::{Legacy, Modern};
use crate::fleet::{Fleet, Replica, worker};
use crate::stream::Stream;
use crate::tools::basic;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_task_created_on_one_replica_is_polled_on_the_other() {
    let fleet = Fleet::start().await;
    let [first, second] = [0, 1].map(|n| Modern::with_tasks(&fleet.replicas[n].endpoint));
    let id = first.start("echo", json!({ "text": "over there" })).await;
    let done = second.until(&id, "completed").await;
    assert_eq!(done["result"]["content"][0]["text"], "over there");
}

#[tokio::test]
async fn one_who_waits_on_one_replica_is_woken_at_once_by_the_worker() {
    let fleet = Fleet::start().await;
    let session = Legacy::open(&fleet.replicas[0].endpoint).await;
    let elsewhere = session.at(&fleet.replicas[1].endpoint);
    // Far below the seconds after which a waiter looks by itself.
    let bound = Duration::from_millis(1500);
    promptly(bound, "one who waits is woken", async || {
        let folder = tempfile::tempdir().unwrap();
        let nap = json!({ "seconds": 1, "folder": folder.path() });
        let id = session.start("nap", nap, 60_000).await;
        let waiting = async {
            let answer = elsewhere.result_of(&id).await;
            (answer, Instant::now())
        };
        // The script's last act is to write this line.
        let log = folder.path().join("log");
        let working = async {
            eventually(SOON, "the command is done", async || log.exists()).await;
            Instant::now()
        };
        let ((answer, answered), done) = tokio::join!(waiting, working);
        assert_eq!(answer.result()["isError"], false);
        answered.saturating_duration_since(done)
    })
    .await;
}

#[tokio::test]
async fn many_clients_through_the_balancer_get_each_their_own_result() {
    let fleet = Fleet::start().await;
    let client = Modern::with_tasks(fleet.endpoint());
    let calls = (0..40).map(|n| {
        let client = client.clone();
        async move {
            let text = format!("number {n}");
            let id = client.start("echo", json!({ "text": text })).await;
            let done = client.until(&id, "completed").await;
            assert_eq!(done["result"]["content"][0]["text"], text);
        }
    });
    join_all(calls).await;
}

#[tokio::test]
async fn tools_appear_when_their_worker_starts() {
    // A replica that no bell tells looks every few seconds.
    let bound = Duration::from_secs(1);
    promptly(bound, "the tools are listed", async || {
        let redis = TestServer::start().await.drained_at_end(SOON);
        let replica = Replica::start(&redis.url(), &[]).await;
        let client = Modern::with_tasks(&replica.endpoint);
        let before = client.request("tools/list", json!({})).await;
        assert_eq!(before.result()["tools"], json!([]));
        let _worker = worker(&redis.url(), &basic(), &[]).await;
        let begun = Instant::now();
        replica.lists("generate_report").await;
        begun.elapsed()
    })
    .await;
}

#[tokio::test]
async fn sigterm_lets_an_open_request_end_and_exits_cleanly() {
    let mut fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let session = Legacy::open(&fleet.replicas[0].endpoint).await;
    let arguments = json!({ "seconds": 2, "folder": folder.path() });
    let started = folder.path().join("1");
    let process = &mut fleet.replicas[0].process;
    let winding_down = async {
        eventually(SOON, "the command runs", async || started.exists()).await;
        process.terminate();
        process.wait_for_line(SOON, "winding down").await;
    };
    let (answer, ()) = tokio::join!(session.call("nap", arguments), winding_down);
    assert_eq!(
        (answer.status, &answer.result()["isError"]),
        (StatusCode::OK, &json!(false))
    );
    let status = process.wait_for_exit(SOON).await;
    assert!(status.success(), "{status}");
    // The other one goes on with the same session.
    let elsewhere = session.at(&fleet.replicas[1].endpoint);
    assert_eq!(
        *elsewhere.request("ping", json!({})).await.result(),
        json!({})
    );
}

#[tokio::test]
async fn sigterm_does_not_wait_longer_than_it_was_told() {
    let flags = ["--drain-timeout", "300ms", "--stream-after", "1ms"];
    let mut fleet = Fleet::start_with(&flags, &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let session = Legacy::open(&fleet.replicas[0].endpoint).await;
    let id = session
        .start("first_waits", json!({ "folder": folder.path() }), 600_000)
        .await;
    let waiting = json!({ "taskId": id });
    let waiting = Stream::post(&session, 1, "tasks/result", waiting).await;
    let process = &mut fleet.replicas[0].process;
    process.terminate();
    let (told, status) = tokio::join!(waiting.read_to_end(), process.wait_for_exit(SOON));
    assert!(status.success(), "{status}");
    let mut ids = told.lines().filter_map(|line| line.strip_prefix("id: "));
    let last = ids.next_back().unwrap().to_owned();
    assert!(!told.contains("jsonrpc"), "{told}");
    // Only now can the job end: it was not waited for.
    std::fs::write(folder.path().join("end"), "").unwrap();
    let elsewhere = session.at(&fleet.replicas[1].endpoint);
    let answer = Stream::resume(&elsewhere, &last).await.next().await;
    assert_eq!(answer["result"]["isError"], false, "{answer:#}");
    assert_eq!(elsewhere.result_of(&id).await.result()["isError"], false);
}
