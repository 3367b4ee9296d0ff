//! Questions to the client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use taskferry_contract::{AnswerReply, Owner, QuestionRef, Status, Submission, TaskId};
use taskferry_worker::{
    AskError, AskRequest, Builder, HandlerResult, JobContext, ToolError, ToolOutput,
};
use tokio::sync::Notify;

use crate::rig::{Rig, owner, run, text, tool};

async fn confirms(job: JobContext) -> HandlerResult {
    let question = AskRequest::elicitation("Go on?", json!({ "type": "object" }));
    let answer = job.ask("confirm", question).await?;
    Ok(ToolOutput::text(format!(
        "{} by {}",
        answer["action"],
        job.attempt()
    )))
}

async fn quick(_job: JobContext) -> HandlerResult {
    Ok(ToolOutput::text("quick"))
}

fn builder(rig: &Rig) -> Builder {
    rig.builder()
        .slots(1)
        .tool(tool("confirms"), confirms)
        .tool(tool("quick"), quick)
}

async fn answer(rig: &Rig, id: TaskId, key: &str) {
    let owner = owner();
    let stored = rig.store.answer_input(
        QuestionRef {
            task: id,
            owner: &owner,
            key,
        },
        r#"{"action":"accept"}"#,
    );
    assert!(matches!(stored.await.unwrap(), AnswerReply::Stored { .. }));
}

#[tokio::test]
async fn a_handler_that_waits_for_an_answer_leaves_its_slot_to_others() {
    let rig = Rig::new().await;
    let worker = run(builder(&rig));
    let id = rig.submit(&tool("confirms"), "{}").await;
    rig.has_status(id, Status::InputRequired).await;
    let questions = rig.store.questions(id).await.unwrap();
    assert_eq!(questions[0].key, "confirm");
    let request: serde_json::Value = serde_json::from_str(&questions[0].request).unwrap();
    assert_eq!(request["method"], "elicitation/create");
    assert_eq!(request["params"]["message"], "Go on?");
    // The only slot is free for this one.
    let other = rig.submit(&tool("quick"), "{}").await;
    assert_eq!(text(&rig.end_of(other).await), "quick");
    assert_eq!(rig.view(id).await.status, Status::InputRequired);
    answer(&rig, id, "confirm").await;
    let task = rig.end_of(id).await;
    assert_eq!((text(&task).as_str(), task.attempt), ("\"accept\" by 1", 1));
    worker.stop().await;
}

#[tokio::test]
async fn questions_put_together_are_open_together_and_answered_in_their_order() {
    async fn asks(job: JobContext) -> HandlerResult {
        let question = || AskRequest::elicitation("Go on?", json!({ "type": "object" }));
        let questions = [("b", question()), ("a", question()), ("c", question())];
        let [b, a, c] = job.ask_all(questions).await?;
        ToolOutput::json(&json!({ "a": a, "b": b, "c": c }))
    }
    let rig = Rig::new().await;
    let worker = run(rig.builder().tool(tool("asks"), asks));
    let (asks, owner) = (tool("asks"), owner());
    let known = [("c".to_owned(), r#"{"n":"c"}"#.to_owned())];
    let submission = Submission {
        answers: &known,
        ..rig.submission(&asks, &owner)
    };
    let id = rig.submit_as(submission).await;
    rig.has_status(id, Status::InputRequired).await;
    let open = rig.store.questions(id).await.unwrap();
    let keys: Vec<&str> = open.iter().map(|question| question.key.as_str()).collect();
    assert_eq!(keys, ["a", "b"], "both at once, but not what is known");
    for key in ["a", "b"] {
        let answer = json!({ "n": key }).to_string();
        let stored = rig
            .store
            .answer_input(
                QuestionRef {
                    task: id,
                    owner: &owner,
                    key,
                },
                &answer,
            )
            .await;
        assert!(matches!(stored.unwrap(), AnswerReply::Stored { .. }));
    }
    let expected = json!({ "a": { "n": "a" }, "b": { "n": "b" }, "c": { "n": "c" } });
    assert_eq!(text(&rig.end_of(id).await), expected.to_string());
    worker.stop().await;
}

#[tokio::test]
async fn of_questions_of_which_one_cannot_be_put_none_is() {
    async fn asks(job: JobContext) -> HandlerResult {
        let sampling = AskRequest::sampling(json!({ "messages": [], "maxTokens": 1 }));
        let questions = [("a", AskRequest::roots()), ("b", sampling)];
        job.ask_all(questions).await?;
        Ok(ToolOutput::text("never"))
    }
    let (rig, owner) = (Rig::new().await, owner());
    let worker = run(rig.builder().tool(tool("asks"), asks));
    let asks = tool("asks");
    let submission = Submission {
        capabilities: Some(r#"{"roots":{}}"#),
        ..rig.submission(&asks, &owner)
    };
    let id = rig.submit_as(submission).await;
    let task = rig.end_of(id).await;
    assert!(text(&task).contains("the capability sampling"), "{task:?}");
    assert!(rig.store.questions(id).await.unwrap().is_empty());
    worker.stop().await;
}

#[tokio::test]
async fn the_lease_is_kept_while_an_answer_is_waited_for() {
    let rig = Rig::new().await;
    let worker = run(builder(&rig));
    let id = rig.submit(&tool("confirms"), "{}").await;
    rig.has_status(id, Status::InputRequired).await;
    let key = rig.store.keys().record(id);
    let start: u64 = rig.raw(&["HGET", &key, "lease_ms"]).await;
    taskferry_testing::eventually(crate::rig::SOON, "three leases pass", async || {
        rig.raw::<u64>(&["HGET", &key, "lease_ms"]).await > start + 3_000
    })
    .await;
    answer(&rig, id, "confirm").await;
    assert_eq!(rig.end_of(id).await.attempt, 1);
    worker.stop().await;
}

#[tokio::test]
async fn a_client_that_cannot_be_asked_is_not_asked() {
    let (rig, owner) = (Rig::new().await, owner());
    let worker = run(builder(&rig));
    let confirms = tool("confirms");
    let submission = Submission {
        capabilities: Some(r#"{"sampling":{}}"#),
        ..rig.submission(&confirms, &owner)
    };
    let id = rig.submit_as(submission).await;
    let task = rig.end_of(id).await;
    assert!(task.is_error);
    assert!(
        text(&task).contains("does not declare the capability elicitation"),
        "{task:?}"
    );
    assert!(rig.store.questions(id).await.unwrap().is_empty());
    worker.stop().await;
}

#[tokio::test]
async fn an_answer_outlives_its_attempt() {
    async fn confirms_then_fails(job: JobContext) -> HandlerResult {
        let answer = job.ask("go", AskRequest::roots()).await?;
        match job.attempt() {
            1 => Err(ToolError::retry("not yet")),
            attempt => Ok(ToolOutput::text(format!(
                "{} by {attempt}",
                answer["action"]
            ))),
        }
    }
    let rig = Rig::new().await;
    let worker = run(rig.builder().tool(tool("twice"), confirms_then_fails));
    let id = rig.submit(&tool("twice"), "{}").await;
    rig.has_status(id, Status::InputRequired).await;
    answer(&rig, id, "go").await;
    let task = rig.end_of(id).await;
    assert_eq!(text(&task), "\"accept\" by 2");
    worker.stop().await;
}

#[tokio::test]
async fn an_answer_can_be_had_as_the_client_wrote_it() {
    async fn says_it_again(job: JobContext) -> HandlerResult {
        let answer = job.ask_raw("go", AskRequest::roots()).await?;
        Ok(ToolOutput::text(answer.get()))
    }
    let rig = Rig::new().await;
    let worker = run(rig.builder().tool(tool("again"), says_it_again));
    let id = rig.submit(&tool("again"), "{}").await;
    rig.has_status(id, Status::InputRequired).await;
    let (owner, written) = (owner(), r#"{ "z": 123456789012345678901, "a": 1.50 }"#);
    let stored = rig
        .store
        .answer_input(
            QuestionRef {
                task: id,
                owner: &owner,
                key: "go",
            },
            written,
        )
        .await;
    assert_eq!(stored.unwrap(), AnswerReply::Stored { open: 0 });
    assert_eq!(text(&rig.end_of(id).await), written);
    worker.stop().await;
}

#[tokio::test]
async fn a_job_whose_answer_is_long_in_coming_is_parked_and_runs_again() {
    let rig = Rig::new().await;
    let worker = run(builder(&rig).park_after(Duration::from_millis(100)));
    let id = rig.submit(&tool("confirms"), "{}").await;
    let key = rig.store.keys().record(id);
    taskferry_testing::eventually(crate::rig::SOON, "nobody holds it", async || {
        let fields: Vec<Option<String>> =
            rig.raw(&["HMGET", &key, "status", "worker", "entry"]).await;
        let fields: Vec<&str> = fields.iter().flatten().map(String::as_str).collect();
        fields == ["input_required", "", ""]
    })
    .await;
    answer(&rig, id, "confirm").await;
    assert_eq!(text(&rig.end_of(id).await), "\"accept\" by 2");
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_that_shuts_down_parks_what_waits_for_an_answer() {
    let rig = Rig::new().await;
    let first = run(builder(&rig));
    let id = rig.submit(&tool("confirms"), "{}").await;
    rig.has_status(id, Status::InputRequired).await;
    let drained = first.stop().await;
    assert_eq!((drained.released, drained.abandoned), (0, 0));
    answer(&rig, id, "confirm").await;
    assert_eq!(rig.has_status(id, Status::Queued).await.attempt, 1);
    let second = run(builder(&rig));
    assert_eq!(text(&rig.end_of(id).await), "\"accept\" by 2");
    second.stop().await;
}

#[tokio::test]
async fn cancelling_a_task_ends_the_wait_for_its_answer() {
    let rig = Rig::new().await;
    let (stopped, told) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let (count, tell) = (Arc::clone(&stopped), Arc::clone(&told));
    let handler = move |job: JobContext| {
        let (count, tell) = (Arc::clone(&count), Arc::clone(&tell));
        async move {
            let outcome = job.ask("confirm", AskRequest::roots()).await;
            assert!(matches!(outcome, Err(AskError::Stopped)));
            count.fetch_add(1, Ordering::Relaxed);
            tell.notify_one();
            Ok(ToolOutput::text("nobody reads this"))
        }
    };
    let worker = run(rig.builder().tool(tool("waits"), handler));
    let id = rig.submit(&tool("waits"), "{}").await;
    rig.has_status(id, Status::InputRequired).await;
    rig.store
        .cancel(id, &Owner::named("key:alice").unwrap(), "no")
        .await
        .unwrap();
    told.notified().await;
    assert_eq!(stopped.load(Ordering::Relaxed), 1);
    assert_eq!(rig.view(id).await.status, Status::Cancelled);
    worker.stop().await;
}

#[tokio::test]
async fn a_job_with_its_answer_goes_where_there_is_a_slot() {
    let rig = Rig::new().await;
    let (blocks, bell) = (tool("blocks"), Arc::new(Notify::new()));
    let until = Arc::clone(&bell);
    let blocking = move |_job: JobContext| {
        let until = Arc::clone(&until);
        async move {
            until.notified().await;
            Ok(ToolOutput::text("blocked"))
        }
    };
    let patient = builder(&rig).park_after(Duration::from_secs(2));
    let busy = run(patient.tool(blocks.clone(), blocking));
    let id = rig.submit(&tool("confirms"), "{}").await;
    rig.has_status(id, Status::InputRequired).await;
    // This one takes the only slot, and keeps it.
    let other = rig.submit(&blocks, "{}").await;
    rig.has_status(other, Status::Working).await;
    answer(&rig, id, "confirm").await;
    let idle = run(builder(&rig));
    assert_eq!(text(&rig.end_of(id).await), "\"accept\" by 2");
    assert_eq!(rig.view(other).await.status, Status::Working);
    bell.notify_one();
    assert_eq!(text(&rig.end_of(other).await), "blocked");
    idle.stop().await;
    busy.stop().await;
}
