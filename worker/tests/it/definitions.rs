//! Two versions of one tool on one queue: a job runs where the definition is that its call was checked against.

use serde_json::value::RawValue;
use taskferry_contract::{
    DefinitionDigest, QuestionRef, Status, Submission, TaskId, ToolDefinition, WaitsFor, WorkerInfo,
};
use taskferry_testing::eventually;
use taskferry_worker::{Builder, HandlerResult, JobContext, ToolError, ToolOutput};

use crate::rig::{Rig, SOON, owner, run, text, tool};

/// A version of one tool; its arguments and a text of its own.
fn version(property: &str) -> ToolDefinition {
    let schema = format!(r#"{{"type":"object","properties":{{"{property}":{{}}}}}}"#);
    ToolDefinition {
        input_schema: RawValue::from_string(schema).unwrap(),
        // Once begun it is not begun again: to be given back is no beginning.
        attempts: 1,
        crash_limit: 1,
        ..tool("report")
    }
}

/// A worker that has this version, and says so.
fn worker(rig: &Rig, definition: &ToolDefinition, says: &'static str) -> Builder {
    let handler = move |_job: JobContext| async move { Ok(ToolOutput::text(says)) };
    rig.builder().tool(definition.clone(), handler)
}

async fn submit(rig: &Rig, definition: &ToolDefinition) -> TaskId {
    let (owner, digest) = (owner(), DefinitionDigest::of(definition));
    let submission = Submission {
        definition: Some(&digest),
        ..rig.submission(definition, &owner)
    };
    rig.submit_as(submission).await
}

async fn until_held(rig: &Rig, definition: &ToolDefinition) {
    let digest = DefinitionDigest::of(definition);
    eventually(SOON, "a worker has it", async || {
        rig.store.is_held(&definition.name, &digest).await.unwrap()
    })
    .await;
}

#[tokio::test]
async fn every_job_runs_on_a_worker_that_has_its_definition() {
    let rig = Rig::new().await;
    let (old, new) = (version("a"), version("b"));
    let workers = [
        run(worker(&rig, &old, "old")),
        run(worker(&rig, &new, "new")),
    ];
    until_held(&rig, &old).await;
    until_held(&rig, &new).await;
    let mut jobs = Vec::new();
    for _ in 0..10 {
        jobs.push((submit(&rig, &old).await, "old"));
        jobs.push((submit(&rig, &new).await, "new"));
    }
    for (id, expected) in jobs {
        let task = rig.end_of(id).await;
        assert_eq!(task.status, Status::Completed, "{task:?}");
        assert_eq!(text(&task), expected);
    }
    assert!(rig.dead_letters().await.is_empty());
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test]
async fn a_job_that_names_no_definition_runs_anywhere() {
    let rig = Rig::new().await;
    let worker = run(worker(&rig, &version("a"), "any"));
    let id = rig.submit(&version("b"), "{}").await;
    assert_eq!(text(&rig.end_of(id).await), "any");
    let (owner, other) = (owner(), "9-abc".parse().unwrap());
    let tool = version("b");
    let id = rig
        .submit_as(Submission {
            definition: Some(&other),
            ..rig.submission(&tool, &owner)
        })
        .await;
    let told = "a digest by another rule says nothing";
    assert_eq!(text(&rig.end_of(id).await), "any", "{told}");
    worker.stop().await;
}

#[tokio::test]
async fn a_job_whose_definition_nobody_has_says_so_until_somebody_has_it() {
    let rig = Rig::new().await;
    let (old, new) = (version("a"), version("b"));
    let first = run(worker(&rig, &new, "new"));
    until_held(&rig, &new).await;
    let id = submit(&rig, &old).await;
    let told = |task: &taskferry_contract::TaskView| {
        let message = task.message.as_deref().unwrap_or_default();
        let digest = DefinitionDigest::of(&old);
        message.starts_with("no running worker has the definition of report")
            && message.contains(digest.as_str())
    };
    let task = rig.when(id, "it says that nobody has it", told).await;
    assert_eq!(task.status, Status::Queued);
    let second = run(worker(&rig, &old, "old"));
    let task = rig.end_of(id).await;
    assert_eq!(text(&task), "old");
    assert_eq!(task.message, None);
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_job_whose_tool_only_another_worker_has_is_never_away_for_long() {
    let rig = Rig::new().await;
    let definition = version("a");
    let digest = DefinitionDigest::of(&definition);
    // A worker that never takes the job: its beat is all there is of it.
    let other = WorkerInfo {
        id: "elsewhere".parse().unwrap(),
        host: "host-a".to_owned(),
        pid: 7,
        version: "0.1.0".to_owned(),
        slots: 1,
        busy: 1,
        tools: "report".to_owned(),
        doing: "full".to_owned(),
        queues: "default".to_owned(),
        digests: String::new(),
    };
    let held = [(definition.name.clone(), digest)];
    rig.store.beat(&other, &held).await.unwrap();
    let without = run(rig.builder().tool(tool("count"), async |_job: JobContext| {
        Ok(ToolOutput::text("count"))
    }));
    let id = submit(&rig, &definition).await;
    let due = |task: &taskferry_contract::TaskView| {
        let waits = task.waits.filter(|waits| waits.what == WaitsFor::Time)?;
        waits.due_ms.filter(|_| task.attempt >= 12)
    };
    let what = "it was given back a dozen times";
    let task = rig.when(id, what, |task| due(task).is_some()).await;
    let now_ms = i64::try_from(rig.store.now_ms().await.unwrap()).unwrap();
    let away = due(&task).unwrap() - now_ms;
    assert!(away <= 2_000, "{away} ms");
    without.stop().await;
    let with = run(worker(&rig, &definition, "it"));
    assert_eq!(text(&rig.end_of(id).await), "it");
    with.stop().await;
}

#[tokio::test]
async fn a_parked_job_finds_its_definition_again_once_it_is_answered() {
    async fn asks(job: JobContext) -> HandlerResult {
        let schema = serde_json::json!({ "type": "object", "properties": {} });
        let question = taskferry_worker::AskRequest::elicitation("now?", schema);
        job.ask("now", question).await?;
        match job.raw_arguments().get() {
            "{}" => Ok(ToolOutput::text("old")),
            other => Err(ToolError::tool(other)),
        }
    }
    let rig = Rig::new().await;
    let (old, new) = (version("a"), version("b"));
    let parks = rig.builder().park_after(std::time::Duration::ZERO);
    let first = run(parks.tool(old.clone(), asks));
    until_held(&rig, &old).await;
    let id = submit(&rig, &old).await;
    rig.when(id, "it is parked", |task| {
        task.status == Status::InputRequired
    })
    .await;
    let second = run(worker(&rig, &new, "new"));
    until_held(&rig, &new).await;
    let yes = r#"{"action":"accept","content":{}}"#;
    let answered = rig
        .store
        .answer_input(
            QuestionRef {
                task: id,
                owner: &owner(),
                key: "now",
            },
            yes,
        )
        .await;
    answered.unwrap();
    assert_eq!(text(&rig.end_of(id).await), "old");
    first.stop().await;
    second.stop().await;
}
