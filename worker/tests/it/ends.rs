//! Cancellation and shutdown.

use std::time::Duration;

use taskferry_contract::Status;
use taskferry_testing::eventually;
use taskferry_worker::{HandlerResult, JobContext, ToolOutput};

use crate::outcomes::environment;
use taskferry_testing::group_lives;

use crate::rig::{Rig, SOON, Scripts, owner, run, text, tool};

async fn until_told(job: JobContext) -> HandlerResult {
    job.message("waiting");
    job.cancelled().cancelled().await;
    Ok(ToolOutput::text("stopped in good order"))
}

#[tokio::test]
async fn a_task_that_is_cancelled_while_it_is_queued_never_runs() {
    let rig = Rig::new().await;
    let id = rig.submit(&tool("until"), "{}").await;
    rig.store.cancel(id, &owner(), "no").await.unwrap();
    let worker = run(rig.builder().tool(tool("until"), until_told));
    let after = rig.submit(&tool("until"), "{}").await;
    rig.has_status(after, Status::Working).await;
    let task = rig.view(id).await;
    assert_eq!((task.status, task.attempt), (Status::Cancelled, 0));
    rig.store.cancel(after, &owner(), "no").await.unwrap();
    worker.stop().await;
}

#[tokio::test]
async fn cancelling_a_running_command_ends_its_process_group() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    let worker = run(rig
        .builder()
        .exec_manifest(&scripts.manifest(), &environment()));
    let id = rig.submit(&tool("nap"), "{}").await;
    let (leader, _) = scripts.running(1).await;
    assert!(group_lives(leader));
    rig.store.cancel(id, &owner(), "no need").await.unwrap();
    eventually(SOON, "the process group is gone", async || {
        !group_lives(leader)
    })
    .await;
    let task = rig.view(id).await;
    assert_eq!((task.status, task.result), (Status::Cancelled, None));
    assert_eq!(task.message.as_deref(), Some("no need"));
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_that_stops_lets_its_jobs_finish() {
    let rig = Rig::new().await;
    let go = std::sync::Arc::new(tokio::sync::Notify::new());
    let goes_on = std::sync::Arc::clone(&go);
    let handler = move |job: JobContext| {
        let goes_on = std::sync::Arc::clone(&goes_on);
        async move {
            job.message("begun");
            goes_on.notified().await;
            Ok(ToolOutput::text("finished"))
        }
    };
    let worker = run(rig.builder().tool(tool("waits"), handler));
    let id = rig.submit(&tool("waits"), "{}").await;
    // A worker that stops before the handler began, though the job is claimed, gives the job back.
    rig.when(id, "its handler has begun", |task| task.message.is_some())
        .await;
    worker.begin_stop();
    let after = rig.submit(&tool("waits"), "{}").await;
    go.notify_one();
    assert_eq!(text(&rig.end_of(id).await), "finished");
    assert_eq!(worker.stop().await.abandoned, 0);
    // What came after the stop was not fetched, or was given back.
    assert_eq!(rig.view(after).await.status, Status::Queued);
    let workers: Vec<String> = rig.raw(&["ZRANGE", "tf:{fleet}:workers", "0", "-1"]).await;
    assert!(workers.is_empty(), "{workers:?}");
    rig.store.cancel(after, &owner(), "no").await.unwrap();
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_released_for_others() {
    async fn forever(_job: JobContext) -> HandlerResult {
        std::future::pending().await
    }
    let rig = Rig::new().await;
    let worker = rig.builder().drain_timeout(Duration::from_millis(100));
    let worker = run(worker.tool(tool("stuck"), forever));
    let id = rig.submit(&tool("stuck"), "{}").await;
    rig.has_status(id, Status::Working).await;
    let drained = worker.stop().await;
    assert_eq!((drained.released, drained.abandoned), (1, 0));
    assert_eq!(rig.view(id).await.status, Status::Queued);
    let second = run(rig.builder().tool(tool("stuck"), async |_job: JobContext| {
        Ok(ToolOutput::text("by another"))
    }));
    let task = rig.end_of(id).await;
    assert_eq!((text(&task).as_str(), task.attempt), ("by another", 2));
    second.stop().await;
}

#[tokio::test]
async fn what_may_run_once_is_not_released_but_failed() {
    async fn forever(_job: JobContext) -> HandlerResult {
        std::future::pending().await
    }
    let rig = Rig::new().await;
    let mut once = tool("once");
    (once.attempts, once.crash_limit) = (1, 1);
    let worker = rig.builder().drain_timeout(Duration::from_millis(100));
    let worker = run(worker.tool(once.clone(), forever));
    let id = rig.submit(&once, "{}").await;
    rig.has_status(id, Status::Working).await;
    let drained = worker.stop().await;
    assert_eq!((drained.released, drained.abandoned), (0, 0));
    let task = rig.view(id).await;
    assert_eq!((task.status, task.attempt), (Status::Failed, 1));
    let told = "the worker was stopped during attempt 1: the job is not run again, and its work may be partly done";
    assert_eq!(task.message.as_deref(), Some(told));
    assert_eq!(rig.dead_letters().await, [told]);
}

#[tokio::test]
async fn what_may_run_once_is_given_back_if_it_was_not_begun() {
    let rig = Rig::new().await;
    let mut once = tool("once");
    (once.attempts, once.crash_limit) = (1, 1);
    // A worker that does not know the tool gives the job back; that is no run.
    let other = run(rig.builder().tool(tool("other"), until_told));
    let id = rig.submit(&once, "{}").await;
    rig.when(id, "it is given back", |task| task.waits.is_some())
        .await;
    assert_eq!(other.stop().await.abandoned, 0);
    let able = run(rig
        .builder()
        .tool(once, async |_job: JobContext| Ok(ToolOutput::text("once"))));
    assert_eq!(text(&rig.end_of(id).await), "once");
    able.stop().await;
}

#[tokio::test]
async fn a_handler_that_ends_within_its_grace_is_finished() {
    let rig = Rig::new().await;
    let worker = rig.builder().drain_timeout(Duration::from_millis(100));
    let worker = run(worker.tool(tool("until"), until_told));
    let id = rig.submit(&tool("until"), "{}").await;
    rig.when(id, "it waits", |task| task.message.is_some())
        .await;
    let drained = worker.stop().await;
    assert_eq!((drained.released, drained.abandoned), (0, 0));
    assert_eq!(text(&rig.view(id).await), "stopped in good order");
}
