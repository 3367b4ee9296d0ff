//! How often leases are renewed, and the bells that bring a change at once: with a long lease no renewal brings it in time.

use std::sync::Arc;
use std::time::Duration;

use taskferry_contract::{AnswerReply, QuestionRef, Status, Submission};
use taskferry_testing::eventually_some;
use taskferry_worker::{AskRequest, Builder, HandlerResult, JobContext, ToolOutput};
use tokio::sync::Notify;

use crate::rig::{Rig, SOON, owner, run, text, tool};

/// A third of it is far longer than a test waits.
const LONG: Duration = Duration::from_secs(600);

async fn until_stopped(job: JobContext) -> HandlerResult {
    job.message("begun");
    job.cancelled().cancelled().await;
    Ok(ToolOutput::text("stopped"))
}

/// A tool that says when it was told to stop.
fn stoppable(builder: Builder) -> (Builder, Arc<Notify>) {
    let stopped = Arc::new(Notify::new());
    let tell = Arc::clone(&stopped);
    let handler = move |job: JobContext| {
        let tell = Arc::clone(&tell);
        async move {
            let result = until_stopped(job).await;
            tell.notify_one();
            result
        }
    };
    (builder.tool(tool("stoppable"), handler), stopped)
}

#[tokio::test]
async fn a_lease_is_renewed_every_third_of_it() {
    let rig = Rig::new().await;
    let lease_ms = 3_000;
    let lease = Duration::from_millis(lease_ms);
    let worker = run(rig
        .builder()
        .lease(lease)
        .tool(tool("until"), until_stopped));
    let id = rig.submit(&tool("until"), "{}").await;
    rig.has_status(id, Status::Working).await;
    let key = rig.store.keys().record(id);
    let until = async || rig.raw::<u64>(&["HGET", &key, "lease_ms"]).await;
    let mut last = until().await;
    let mut gaps = Vec::new();
    // Two renewals may fail before the lease is lost. One gap in time shows how often they are meant to come; a stall of the
    // machine makes gaps longer, never shorter.
    eventually_some(SOON, "renewals come a third of a lease apart", async || {
        let now = until().await;
        if now > last {
            gaps.push(now - last);
            last = now;
        }
        let longest = lease_ms * 2 / 5;
        (gaps.len() >= 3 && gaps.iter().any(|gap| *gap <= longest)).then_some(())
    })
    .await;
    // Nor do they come much oftener, which would be load for nothing.
    assert!(
        gaps.iter().all(|gap| *gap >= lease_ms / 7),
        "{gaps:?} between renewals"
    );
    rig.store.cancel(id, &owner(), "no").await.unwrap();
    worker.stop().await;
}

#[tokio::test]
async fn a_cancel_reaches_the_handler_by_the_bell() {
    let rig = Rig::new().await;
    let (builder, stopped) = stoppable(rig.builder().lease(LONG));
    let worker = run(builder);
    let id = rig.submit(&tool("stoppable"), "{}").await;
    rig.when(id, "it runs", |task| task.message.is_some()).await;
    rig.store.cancel(id, &owner(), "no").await.unwrap();
    let told = tokio::time::timeout(SOON, stopped.notified()).await;
    told.expect("the handler is told");
    worker.stop().await;
}

#[tokio::test]
async fn the_leaving_of_a_plain_calls_caller_reaches_the_handler_by_the_bell() {
    let rig = Rig::new().await;
    let (builder, stopped) = stoppable(rig.builder().lease(LONG));
    let worker = run(builder);
    let (stoppable, owner) = (tool("stoppable"), owner());
    let plain = Submission {
        plain: true,
        keep: Duration::from_secs(60),
        ..rig.submission(&stoppable, &owner)
    };
    let id = rig.submit_as(plain).await;
    rig.when(id, "it runs", |task| task.message.is_some()).await;
    let leaver = taskferry_contract::Leaver {
        sharer: id,
        on_purpose: false,
    };
    let left = rig.store.leave_call(id, &owner, leaver, "left");
    left.await.unwrap();
    let told = tokio::time::timeout(SOON, stopped.notified()).await;
    told.expect("the handler is told");
    worker.stop().await;
}

#[tokio::test]
async fn an_answer_reaches_the_handler_by_the_bell() {
    async fn asks(job: JobContext) -> HandlerResult {
        let answer = job.ask("go", AskRequest::roots()).await?;
        Ok(ToolOutput::text(format!(
            "{} by {}",
            answer["action"],
            job.attempt()
        )))
    }
    let rig = Rig::new().await;
    let worker = run(rig.builder().lease(LONG).tool(tool("asks"), asks));
    let id = rig.submit(&tool("asks"), "{}").await;
    rig.has_status(id, Status::InputRequired).await;
    let owner = owner();
    let stored = rig.store.answer_input(
        QuestionRef {
            task: id,
            owner: &owner,
            key: "go",
        },
        r#"{"action":"accept"}"#,
    );
    assert!(matches!(stored.await.unwrap(), AnswerReply::Stored { .. }));
    assert_eq!(text(&rig.end_of(id).await), "\"accept\" by 1");
    worker.stop().await;
}
