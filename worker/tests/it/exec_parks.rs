//! Commands whose questions are answered later: they are stopped or end by themselves, and run again.

use std::time::Duration;

use serde_json::json;
use taskferry_contract::Status;
use taskferry_testing::eventually;

use taskferry_testing::group_lives;

use crate::rig::{SOON, owner, run, text};
use crate::script::{Script, accepted, error};

/// Writes what it was told at its end, and asks again in each attempt.
const PATIENT: &str = "trap 'echo stopped > stopped; exit 0' TERM
    echo $$ > attempt-$TASKFERRY_ATTEMPT.part; mv attempt-$TASKFERRY_ATTEMPT.part attempt-$TASKFERRY_ATTEMPT
    read -r arguments; echo '::ask a FORM' >&2
    read -r reply || { wait; exit 0; }
    echo \"$reply by $TASKFERRY_ATTEMPT\"";

#[tokio::test]
async fn a_command_that_waits_too_long_is_stopped_and_runs_again_with_its_answer() {
    let script = Script::new(PATIENT).await;
    let worker = run(script.builder().park_after(Duration::from_millis(100)));
    let id = script.submit().await;
    let leader = script.written("attempt-1").await.parse().unwrap();
    script.parked(id).await;
    assert!(!group_lives(leader), "it is gone before its job is parked");
    assert!(script.path("stopped").exists(), "it could tidy up");
    script.answer(id, "a", &accepted()).await;
    let expected = json!({ "key": "a", "result": accepted() });
    assert_eq!(
        text(&script.rig.end_of(id).await),
        format!("{expected} by 2")
    );
    assert_eq!(script.field(id, "asked").await, "1");
    assert_eq!(script.field(id, "retries").await, "0");
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_that_shuts_down_parks_a_command_that_waits() {
    let script = Script::new(PATIENT).await;
    let first = run(script.builder());
    let id = script.submit().await;
    script.open(id, 1).await;
    let leader = script.written("attempt-1").await.parse().unwrap();
    let drained = first.stop().await;
    assert_eq!((drained.released, drained.abandoned), (0, 0));
    assert!(!group_lives(leader));
    script.parked(id).await;
    script.answer(id, "a", &accepted()).await;
    assert_eq!(script.rig.has_status(id, Status::Queued).await.attempt, 1);
    let second = run(script.builder());
    assert!(text(&script.rig.end_of(id).await).ends_with("by 2"));
    second.stop().await;
}

#[tokio::test]
async fn cancelling_ends_a_command_that_waits() {
    let script = Script::new(PATIENT).await;
    let worker = run(script.builder());
    let id = script.submit().await;
    script.open(id, 1).await;
    let leader = script.written("attempt-1").await.parse().unwrap();
    let owner = owner();
    script.rig.store.cancel(id, &owner, "no").await.unwrap();
    eventually(SOON, "it is gone", async || !group_lives(leader)).await;
    assert_eq!(script.written("stopped").await, "stopped");
    assert_eq!(script.rig.view(id).await.status, Status::Cancelled);
    worker.stop().await;
}

#[tokio::test]
async fn exit_76_parks_at_once_and_uses_up_no_attempt() {
    let script = Script::with(
        "asks = true\nattempts = 1",
        "case $TASKFERRY_ANSWERS in
           '{}') printf '::ask a FORM\\n::ask b roots\\n' >&2; exit 76 ;;
           *) echo \"$TASKFERRY_ANSWERS\" ;;
         esac",
    )
    .await;
    let worker = run(script.builder());
    let id = script.submit().await;
    assert_eq!(script.open(id, 2).await, ["a", "b"]);
    script.parked(id).await;
    script.answer(id, "a", &accepted()).await;
    script.parked(id).await;
    let refusal = json!({ "error": { "code": -32000, "message": "nobody is here" } });
    script.answer(id, "b", &refusal).await;
    let task = script.rig.end_of(id).await;
    let refused = json!({ "reason": "client", "code": -32000, "message": "nobody is here" });
    let expected = json!({ "a": { "result": accepted() }, "b": { "error": refused } });
    assert_eq!(text(&task), expected.to_string());
    assert_eq!((task.attempt, task.status), (2, Status::Completed));
    worker.stop().await;
}

#[tokio::test]
async fn exit_76_runs_again_at_once_if_the_answer_came_before_it() {
    let script = Script::with(
        "asks = true\nattempts = 1",
        "[ \"$TASKFERRY_ANSWERS\" = '{}' ] || { echo \"by $TASKFERRY_ATTEMPT\"; exit 0; }
         echo '::ask a FORM' >&2; read -r arguments; read -r reply; exit 76",
    )
    .await;
    let worker = run(script.builder());
    let id = script.submit().await;
    script.open(id, 1).await;
    script.answer(id, "a", &accepted()).await;
    assert_eq!(text(&script.rig.end_of(id).await), "by 2");
    worker.stop().await;
}

#[tokio::test]
async fn exit_76_without_an_open_question_is_a_tool_error() {
    let script = Script::new("exit 76").await;
    let worker = run(script.builder());
    let id = script.submit().await;
    let said = error(&script.rig.end_of(id).await);
    assert!(said.contains("exit code 76"), "{said}");
    worker.stop().await;
}

#[tokio::test]
async fn exit_76_again_and_again_is_a_tool_error() {
    let script = Script::new("echo '::ask a FORM' >&2; exit 76").await;
    let worker = run(script.builder());
    let id = script.submit().await;
    script.parked(id).await;
    script.answer(id, "a", &accepted()).await;
    let task = script.rig.end_of(id).await;
    let said = error(&task);
    assert!(said.contains("nothing that is not answered"), "{said}");
    assert_eq!(task.attempt, 2);
    worker.stop().await;
}
