//! How jobs end, and what pollers see meanwhile.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use taskferry_contract::{Status, TaskView, ToolDefinition};
use taskferry_worker::exec::Environment;
use taskferry_worker::{HandlerResult, JobContext, ToolError, ToolOutput};
use tokio::sync::Notify;

use crate::rig::{Rig, Scripts, owner, run, text, tool};

#[tokio::test]
async fn a_job_ends_with_the_bytes_its_handler_returned() {
    const RESULT: &str = r#"{ "content":[{"type":"text","text":"ä 1.50"}],  "isError":false}"#;
    async fn answer(_job: JobContext) -> HandlerResult {
        ToolOutput::result(&RawValue::from_string(RESULT.to_owned()).unwrap())
    }
    let rig = Rig::new().await;
    let worker = run(rig.builder().tool(tool("answer"), answer));
    let id = rig.submit(&tool("answer"), "{}").await;
    let task = rig.end_of(id).await;
    assert_eq!(task.status, Status::Completed);
    assert_eq!(task.result.as_deref(), Some(RESULT));
    assert!(!task.is_error);
    worker.stop().await;
}

#[tokio::test]
async fn a_handler_knows_its_job() {
    #[derive(Deserialize)]
    struct Arguments {
        month: String,
    }
    async fn answer(job: JobContext) -> HandlerResult {
        let arguments: Arguments = job.arguments()?;
        let left = job.deadline().duration_since(std::time::SystemTime::now());
        ToolOutput::json(&json!({
            "month": arguments.month, "raw": job.raw_arguments().get(), "attempt": job.attempt(),
            "task": job.task_id().to_string(), "origin": job.origin_task_id().to_string(), "owner": job.owner().as_str(), "tool": job.tool().as_str(),
            "in_time": (50..=60).contains(&left?.as_secs()),
        }))
    }
    let rig = Rig::new().await;
    let worker = run(rig.builder().tool(tool("answer"), answer));
    let id = rig.submit(&tool("answer"), r#"{ "month":"May"}"#).await;
    let task = rig.end_of(id).await;
    let result: serde_json::Value = serde_json::from_str(&task.result.unwrap()).unwrap();
    let expected = json!({
        "month": "May", "raw": r#"{ "month":"May"}"#, "attempt": 1, "task": id.to_string(), "origin": id.to_string(),
        "owner": "key:alice", "tool": "answer", "in_time": true,
    });
    assert_eq!(result["structuredContent"], expected);
    let id = rig.submit(&tool("answer"), r#"{"month":5}"#).await;
    let task = rig.end_of(id).await;
    assert!(task.is_error);
    assert!(
        text(&task).starts_with("the arguments do not fit"),
        "{task:?}"
    );
    worker.stop().await;
}

#[tokio::test]
async fn a_tool_error_is_a_result_and_an_rpc_error_is_none() {
    async fn fail(_job: JobContext) -> HandlerResult {
        Err(ToolError::tool("no such month"))
    }
    async fn refuse(_job: JobContext) -> HandlerResult {
        Err(ToolError::rpc(-32602, "month is missing"))
    }
    let rig = Rig::new().await;
    let worker = run(rig
        .builder()
        .tool(tool("fail"), fail)
        .tool(tool("refuse"), refuse));
    let id = rig.submit(&tool("fail"), "{}").await;
    let task = rig.end_of(id).await;
    assert_eq!((task.status, task.is_error), (Status::Completed, true));
    assert_eq!(task.message.as_deref(), Some("no such month"));
    assert_eq!(text(&task), "no such month");
    let id = rig.submit(&tool("refuse"), "{}").await;
    let task = rig.end_of(id).await;
    assert_eq!(task.status, Status::Failed);
    let error: serde_json::Value = serde_json::from_str(&task.error.unwrap()).unwrap();
    assert_eq!(
        error,
        json!({ "code": -32602, "message": "month is missing" })
    );
    worker.stop().await;
}

#[tokio::test]
async fn a_handlers_result_is_held_to_the_output_schema() {
    async fn answer(job: JobContext) -> HandlerResult {
        ToolOutput::json(&job.arguments::<serde_json::Value>()?)
    }
    async fn fail(_job: JobContext) -> HandlerResult {
        Err(ToolError::tool("no such month"))
    }
    let promising = |name: &str, schema: &str| ToolDefinition {
        output_schema: Some(RawValue::from_string(schema.to_owned()).unwrap()),
        ..tool(name)
    };
    let schema = r#"{"type":"object","properties":{"n":{"type":"integer"}}}"#;
    let (answers, fails) = (promising("answer", schema), promising("fail", schema));
    let rig = Rig::new().await;
    let worker = run(rig
        .builder()
        .tool(answers.clone(), answer)
        .tool(fails.clone(), fail));
    let task = rig.end_of(rig.submit(&answers, r#"{"n":1}"#).await).await;
    assert!(!task.is_error, "{task:?}");
    let task = rig.end_of(rig.submit(&answers, r#"{"n":"x"}"#).await).await;
    assert!(task.is_error);
    assert!(text(&task).contains("output schema: structuredContent/n: "));
    let task = rig.end_of(rig.submit(&fails, "{}").await).await;
    assert_eq!(text(&task), "no such month");
    worker.stop().await;

    let unusable = promising("odd", r#"{"type":7}"#);
    let refused = rig.builder().tool(unusable, answer).build().unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("tool odd cannot be used: output_schema: "),
        "{refused}"
    );
}

async fn flaky(job: JobContext) -> HandlerResult {
    match job.attempt() {
        1 => Err(ToolError::retry("the store is locked")),
        _ => Ok(ToolOutput::text("done")),
    }
}

#[tokio::test]
async fn a_retryable_error_is_attempted_again() {
    let rig = Rig::new().await;
    let worker = run(rig.builder().tool(tool("flaky"), flaky));
    let id = rig.submit(&tool("flaky"), "{}").await;
    let task = rig.end_of(id).await;
    assert_eq!((task.status, task.attempt), (Status::Completed, 2));
    assert_eq!(text(&task), "done");
    worker.stop().await;
}

#[tokio::test]
async fn a_job_out_of_attempts_ends_and_is_a_dead_letter() {
    async fn never(_job: JobContext) -> HandlerResult {
        Err(ToolError::retry("still locked"))
    }
    let rig = Rig::new().await;
    let worker = run(rig.builder().tool(tool("never"), never));
    let id = rig.submit(&tool("never"), "{}").await;
    let task = rig.end_of(id).await;
    assert_eq!(task.attempt, 3);
    assert_eq!((task.status, task.is_error), (Status::Completed, true));
    assert_eq!(text(&task), "still locked");
    assert_eq!(rig.dead_letters().await, ["still locked"]);
    worker.stop().await;
}

#[tokio::test]
async fn retries_wait_longer_each_time_and_as_long_as_their_tool_says() {
    async fn never(_job: JobContext) -> HandlerResult {
        Err(ToolError::retry("not today"))
    }
    let rig = Rig::new().await;
    let with_backoff = |name: &str, initial_ms: u64, max_ms: u64| {
        let mut tool = tool(name);
        tool.attempts = 4;
        (tool.backoff.initial_ms, tool.backoff.max_ms) = (initial_ms, max_ms);
        tool
    };
    let patient = with_backoff("patient", 60_000, 200_000);
    let hasty = with_backoff("hasty", 1, 1);
    let worker = run(rig
        .builder()
        .tool(patient.clone(), never)
        .tool(hasty.clone(), never));
    let id = rig.submit(&patient, "{}").await;
    let mut delays = Vec::new();
    for attempt in 1..=3_u64 {
        let waits = |task: &TaskView| task.attempt == attempt && task.status == Status::Queued;
        rig.when(id, "it waits for its next attempt", waits).await;
        let due: u64 = rig
            .raw(&["ZSCORE", "tf:{0}:due:default", &id.to_string()])
            .await;
        delays.push(due - rig.store.now_ms().await.unwrap());
        // Its time comes now.
        rig.raw::<i64>(&["ZADD", "tf:{0}:due:default", "1", &id.to_string()])
            .await;
    }
    // Jitter takes away up to half; a few seconds may have passed since.
    for (delay, full) in delays.into_iter().zip([60_000, 120_000, 200_000]) {
        let range = full / 2 - 5_000..=full;
        assert!(range.contains(&delay), "{delay} is not in {range:?}");
    }
    assert_eq!(text(&rig.end_of(id).await), "not today");
    let id = rig.submit(&hasty, "{}").await;
    assert_eq!(rig.end_of(id).await.attempt, 4);
    assert_eq!(rig.dead_letters().await.len(), 2);
    worker.stop().await;
}

#[tokio::test]
async fn jobs_that_failed_together_are_not_retried_together() {
    async fn never(_job: JobContext) -> HandlerResult {
        Err(ToolError::retry("not today"))
    }
    let mut flaky = tool("flaky");
    (flaky.backoff.initial_ms, flaky.backoff.max_ms) = (600_000, 600_000);
    let rig = Rig::new().await;
    let worker = run(rig.builder().tool(flaky.clone(), never));
    let unknown = tool("unknown");
    // The time between submit and claim counts, too.
    let slow = 1_000;
    for (tool, full) in [(flaky, 600_000), (unknown, 2_000)] {
        let mut delays = Vec::new();
        for _ in 0..8 {
            let id = rig.submit(&tool, "{}").await;
            let waits = |task: &TaskView| task.attempt == 1 && task.status == Status::Queued;
            let waits = rig.when(id, "it waits for its next attempt", waits).await;
            let due: i64 = rig
                .raw(&["ZSCORE", "tf:{0}:due:default", &id.to_string()])
                .await;
            delays.push(due - waits.updated_ms);
            rig.store.cancel(id, &owner(), "seen").await.unwrap();
        }
        delays.sort_unstable();
        let (least, most) = (delays[0], delays[delays.len() - 1]);
        assert!(full / 2 <= least && most <= full + slow, "{delays:?}");
        // Eight random times of a range lie so close together once in a hundred million.
        assert!(most - least > full / 50, "{delays:?}");
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_panic_is_a_retryable_error_and_nobody_elses_business() {
    async fn panics(job: JobContext) -> HandlerResult {
        assert_ne!(job.attempt(), 1, "the first attempt panics");
        Ok(ToolOutput::text("done"))
    }
    let rig = Rig::new().await;
    let worker = run(rig.builder().slots(1).tool(tool("panics"), panics));
    let id = rig.submit(&tool("panics"), "{}").await;
    rig.when(id, "the panic is told", |task| {
        task.message.as_deref() == Some("the handler panicked") || task.status.is_terminal()
    })
    .await;
    let task = rig.end_of(id).await;
    assert_eq!((text(&task), task.attempt), ("done".to_owned(), 2));
    worker.stop().await;
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_stopped() {
    async fn slow(_job: JobContext) -> HandlerResult {
        std::future::pending().await
    }
    let mut slow_tool = tool("slow");
    slow_tool.timeout_ms = 300;
    let rig = Rig::new().await;
    let worker = run(rig.builder().tool(slow_tool.clone(), slow));
    let id = rig.submit(&slow_tool, "{}").await;
    let task = rig.end_of(id).await;
    assert!(task.is_error);
    assert_eq!(
        (text(&task), task.attempt),
        (
            "timed out after 300ms (the tool's timeout, set in its manifest or definition)"
                .to_owned(),
            1
        )
    );
    worker.stop().await;
}

#[tokio::test]
async fn progress_is_seen_while_the_work_goes_on_and_the_last_report_stays() {
    let seen = Arc::new(Notify::new());
    let goes_on = Arc::clone(&seen);
    let counts = move |job: JobContext| {
        let goes_on = Arc::clone(&goes_on);
        async move {
            for step in 0..1000 {
                job.progress(f64::from(step), 1000.0, format!("step {step}").as_str());
            }
            goes_on.notified().await;
            job.progress(1000.0, 1000.0, "last");
            Ok(ToolOutput::text("counted"))
        }
    };
    let rig = Rig::new().await;
    let worker = run(rig.builder().tool(tool("counts"), counts));
    let id = rig.submit(&tool("counts"), "{}").await;
    let task = rig
        .when(id, "the newest report is seen", |task| {
            task.progress.as_deref() == Some("999")
        })
        .await;
    assert_eq!(task.status, Status::Working);
    assert_eq!(task.message.as_deref(), Some("step 999"));
    seen.notify_one();
    let task = rig.end_of(id).await;
    assert_eq!(task.progress.as_deref(), Some("1000"));
    assert_eq!(task.message.as_deref(), Some("last"));
    worker.stop().await;
}

#[tokio::test]
async fn a_command_of_a_manifest_is_a_tool_like_any_other() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    let worker = run(rig
        .builder()
        .exec_manifest(&scripts.manifest(), &environment()));
    rig.until_registered("echo").await;
    let tools = rig.store.tools().await.unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["echo", "nap"]);
    let id = rig.submit(&tools[0], r#"{"text":"hello $HOME"}"#).await;
    let task = rig.end_of(id).await;
    assert_eq!(text(&task), "hello $HOME");
    assert_eq!(
        (task.progress.as_deref(), task.total.as_deref()),
        (Some("1"), Some("2"))
    );
    worker.stop().await;
}

/// What commands need to find a shell.
pub(crate) fn environment() -> Environment {
    let path = ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into());
    Environment::inherited([path])
}
