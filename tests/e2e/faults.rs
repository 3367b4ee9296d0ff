//! Expiry, cancellation, and processes that die or freeze.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use taskferry_testing::{eventually, eventually_some, group_lives};

use crate::client::{Legacy, Modern};
use crate::fleet::{Fleet, worker};
use crate::jobs::expire;
use crate::tools::basic;

const FLAKY: &str = r#"
[[tool]]
name = "flaky"
description = "Fails with a retryable error until the attempt that is asked for"
command = ["sh", "$HERE/flaky.sh", "{succeed_at}"]
input_schema = '{"type":"object","properties":{"succeed_at":{"type":"integer"}},"required":["succeed_at"],"additionalProperties":false}'
"#;

const SOON: Duration = Duration::from_secs(20);

/// The process id of the command of an attempt, once it runs.
async fn running(folder: &Path, attempt: u32) -> u32 {
    let what = format!("attempt {attempt} runs");
    let file = folder.join(attempt.to_string());
    eventually_some(SOON, &what, async || {
        std::fs::read_to_string(&file).ok()?.trim().parse().ok()
    })
    .await
}

/// Lets the first attempt of `first_waits` end.
fn end(folder: &Path) {
    std::fs::write(folder.join("end"), "").unwrap();
}

#[tokio::test]
async fn an_expired_task_is_not_found() {
    let fleet = Fleet::start().await;
    let session = Legacy::open(fleet.endpoint()).await;
    // The shortest ttl the tool allows is longer than the wish, and is what the task says.
    let params = json!({ "name": "echo", "arguments": { "text": "x" }, "task": { "ttl": 1 } });
    let created = session.request("tools/call", params).await;
    let task = &created.result()["task"];
    assert_eq!(task["ttl"], 1000);
    let id = task["taskId"].as_str().unwrap();
    let modern = Modern::with_tasks(fleet.endpoint());
    eventually(SOON, "the task is gone", async || {
        session
            .request("tasks/get", json!({ "taskId": id }))
            .await
            .body["error"]["code"]
            == -32602
    })
    .await;
    assert_eq!(session.result_of(id).await.code(), -32602);
    assert_eq!(
        session
            .request("tasks/cancel", json!({ "taskId": id }))
            .await
            .code(),
        -32602
    );
    assert_eq!(
        modern
            .request("tasks/get", json!({ "taskId": id }))
            .await
            .code(),
        -32602
    );
}

#[tokio::test]
async fn a_task_that_expires_while_it_runs_is_stopped_and_never_revived() {
    let fleet = Fleet::start_with(&[], &["--lease", "1s"]).await;
    let session = Legacy::open(fleet.endpoint()).await;
    let folder = tempfile::tempdir().unwrap();
    let id = session
        .start(
            "nap",
            json!({ "seconds": 600, "folder": folder.path() }),
            60_000,
        )
        .await;
    let pid = running(folder.path(), 1).await;
    assert!(group_lives(pid));
    expire(&fleet.redis, &id).await;
    eventually(SOON, "the command is stopped", async || !group_lives(pid)).await;
    assert_eq!(
        session
            .request("tasks/get", json!({ "taskId": id }))
            .await
            .code(),
        -32602
    );
    fleet.drained().await;
    assert_eq!(
        session
            .request("tasks/get", json!({ "taskId": id }))
            .await
            .code(),
        -32602
    );
}

#[tokio::test]
async fn a_queued_task_is_cancelled_before_any_worker_sees_it() {
    let fleet = Fleet::start_with(&[], &["--slots", "1"]).await;
    let session = Legacy::open(fleet.endpoint()).await;
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let mut ids = Vec::new();
    for folder in &folders {
        let arguments = json!({ "folder": folder.path() });
        ids.push(session.start("first_waits", arguments, 60_000).await);
    }
    // Two workers of one slot each: the third waits until one of these ends.
    let cancelled = session
        .request("tasks/cancel", json!({ "taskId": ids[2] }))
        .await;
    assert_eq!(cancelled.result()["status"], "cancelled");
    assert_eq!(cancelled.result()["ttl"], 60_000);
    for folder in &folders {
        end(folder.path());
    }
    for id in &ids[..2] {
        session.until(id, "completed").await;
    }
    assert_eq!(session.task(&ids[2]).await["status"], "cancelled");
    assert!(
        session
            .result_of(&ids[2])
            .await
            .message()
            .contains("cancelled")
    );
    assert!(!folders[2].path().join("1").exists(), "a cancelled job ran");
}

#[tokio::test]
async fn cancelling_a_running_task_kills_its_whole_process_group() {
    let fleet = Fleet::start().await;
    let session = Legacy::open(fleet.endpoint()).await;
    let folder = tempfile::tempdir().unwrap();
    let id = session
        .start(
            "nap",
            json!({ "seconds": 60, "folder": folder.path() }),
            120_000,
        )
        .await;
    let pid = running(folder.path(), 1).await;
    assert!(group_lives(pid));
    let cancelled = session
        .request("tasks/cancel", json!({ "taskId": id }))
        .await;
    assert_eq!(cancelled.result()["status"], "cancelled");
    eventually(SOON, "nothing of the command is left", async || {
        !group_lives(pid)
    })
    .await;
    assert_eq!(session.task(&id).await["status"], "cancelled");
}

#[tokio::test]
async fn a_killed_workers_job_is_finished_by_another_within_its_lease_and_a_second() {
    let lease = Duration::from_secs(3);
    let mut fleet = Fleet::start_with(&[], &["--lease", "3s"]).await;
    // Only the worker that will die is there when the job comes.
    let mut survivor = fleet.workers.pop().unwrap();
    survivor.terminate();
    survivor.wait_for_exit(SOON).await;
    let session = Legacy::open(fleet.endpoint()).await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = json!({ "folder": folder.path() });
    let id = session.start("first_waits", arguments, 60_000).await;
    running(folder.path(), 1).await;
    let _survivor = worker(&fleet.redis.url(), &basic(), &["--lease", "3s"]).await;
    fleet.workers[0].kill9();
    let killed = Instant::now();
    running(folder.path(), 2).await;
    let taken_over = killed.elapsed();
    println!("kill -9 to the next attempt, with a lease of {lease:?}: {taken_over:?}");
    // The aim is a second, which bench measures; the rest is for a busy machine.
    assert!(
        taken_over < lease + Duration::from_secs(10),
        "taken over after {taken_over:?}"
    );
    session.until(&id, "completed").await;
    let result = session.result_of(&id).await;
    assert_eq!(
        result.result()["content"][0]["text"],
        format!("attempt 2 of {id}")
    );
}

#[tokio::test]
async fn a_frozen_workers_result_is_refused_when_it_thaws() {
    // Long enough for the second worker to keep its own attempt whatever else the machine does.
    let lease = ["--lease", "3s"];
    let mut fleet = Fleet::start_with(&[], &lease).await;
    let mut survivor = fleet.workers.pop().unwrap();
    survivor.terminate();
    survivor.wait_for_exit(SOON).await;
    let session = Legacy::open(fleet.endpoint()).await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = json!({ "folder": folder.path() });
    let id = session.start("first_waits", arguments, 60_000).await;
    let pid = running(folder.path(), 1).await;
    fleet.workers[0].pause();
    let _survivor = worker(&fleet.redis.url(), &basic(), &lease).await;
    let result = session.result_of(&id).await;
    assert_eq!(
        result.result()["content"][0]["text"],
        format!("attempt 2 of {id}")
    );
    let before = session.task(&id).await;
    // Its command ends while it is frozen, so the stale result is ready the moment it thaws.
    end(folder.path());
    eventually(SOON, "its command ends", async || !group_lives(pid)).await;
    fleet.workers[0].resume();
    fleet.workers[0].terminate();
    fleet.workers[0].wait_for_exit(SOON).await;
    assert_eq!(session.task(&id).await, before);
    let result = session.result_of(&id).await;
    assert_eq!(
        result.result()["content"][0]["text"],
        format!("attempt 2 of {id}")
    );
}

#[tokio::test]
async fn a_stopped_worker_gives_its_job_back_at_once() {
    let mut fleet = Fleet::start_with(&[], &["--lease", "60s", "--drain-timeout", "100ms"]).await;
    let mut spare = fleet.workers.pop().unwrap();
    spare.terminate();
    spare.wait_for_exit(SOON).await;
    let session = Legacy::open(fleet.endpoint()).await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = json!({ "folder": folder.path() });
    let id = session.start("first_waits", arguments, 60_000).await;
    let pid = running(folder.path(), 1).await;
    let _other = worker(&fleet.redis.url(), &basic(), &[]).await;
    fleet.workers[0].terminate();
    // Long before the lease of a minute would have run out.
    running(folder.path(), 2).await;
    assert!(!group_lives(pid), "the command outlived its worker");
    let status = fleet.workers[0].wait_for_exit(SOON).await;
    assert!(status.success(), "{status}");
    session.until(&id, "completed").await;
}

#[tokio::test]
async fn a_retryable_error_is_tried_again_and_a_lasting_one_is_told() {
    let fleet = Fleet::with_tools(FLAKY, &[], &[]).await;
    let session = Legacy::open(fleet.endpoint()).await;
    let id = session
        .start("flaky", json!({ "succeed_at": 2 }), 60_000)
        .await;
    session.until(&id, "completed").await;
    assert_eq!(
        session.result_of(&id).await.result()["content"][0]["text"],
        "attempt 2"
    );
    let id = session
        .start("flaky", json!({ "succeed_at": 99 }), 60_000)
        .await;
    let failed = session.until(&id, "failed").await;
    assert!(
        failed["statusMessage"]
            .as_str()
            .unwrap()
            .contains("try again"),
        "{failed:#}"
    );
    assert_eq!(session.result_of(&id).await.result()["isError"], true);
    let mut redis = fleet.redis.raw().await;
    let dead: i64 = taskferry_testing::redis::cmd("XLEN")
        .arg("tf:{0}:dead")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(dead, 1);
}
