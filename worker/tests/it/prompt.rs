//! What is not left to the next look: each bound is shorter than the time after which a loop would look by itself.

use std::time::{Duration, Instant};

use taskferry_contract::{
    AnswerReply, ClaimReply, Delivery, QuestionRef, QueueStream, Status, StreamReader, TaskView,
};
use taskferry_testing::{eventually, promptly};
use taskferry_worker::{AskRequest, HandlerResult, JobContext, ToolError, ToolOutput};

use crate::rig::{LEASE, Rig, SOON, owner, run, text, tool};

/// A fetcher that is not woken blocks for five seconds.
const BEFORE_THE_BLOCK_ENDS: Duration = Duration::from_millis(3_500);

async fn quick(_job: JobContext) -> HandlerResult {
    Ok(ToolOutput::text("quick"))
}

/// Waits until a worker's fetcher blocks; only one worker may run.
async fn until_blocked(rig: &Rig) {
    eventually(SOON, "the worker blocks", async || {
        let clients: String = rig.raw(&["CLIENT", "LIST", "TYPE", "normal"]).await;
        let blocks = |line: &str| line.contains("cmd=xreadgroup") && line.contains(" flags=b ");
        clients.lines().any(blocks)
    })
    .await;
}

#[tokio::test]
async fn an_idle_worker_stops_at_once() {
    let rig = Rig::new().await;
    promptly(BEFORE_THE_BLOCK_ENDS, "it stops", async || {
        let worker = run(rig.builder().tool(tool("quick"), quick));
        until_blocked(&rig).await;
        let stopped = Instant::now();
        worker.stop().await;
        stopped.elapsed()
    })
    .await;
}

#[tokio::test]
async fn the_only_slot_goes_from_a_fetcher_that_waits_to_a_job_that_has_its_answer() {
    async fn asks(job: JobContext) -> HandlerResult {
        job.ask("go", AskRequest::roots()).await?;
        Ok(ToolOutput::text("asked"))
    }
    let rig = Rig::new().await;
    let worker = run(rig.builder().slots(1).tool(tool("asks"), asks));
    promptly(BEFORE_THE_BLOCK_ENDS, "it goes on", async || {
        let id = rig.submit(&tool("asks"), "{}").await;
        rig.has_status(id, Status::InputRequired).await;
        until_blocked(&rig).await;
        let answered = Instant::now();
        let owner = owner();
        let stored = rig
            .store
            .answer_input(
                QuestionRef {
                    task: id,
                    owner: &owner,
                    key: "go",
                },
                "{}",
            )
            .await;
        assert!(matches!(stored.unwrap(), AnswerReply::Stored { .. }));
        assert_eq!(text(&rig.end_of(id).await), "asked");
        answered.elapsed()
    })
    .await;
    worker.stop().await;
}

#[tokio::test]
async fn the_only_slot_goes_from_a_fetcher_that_waits_to_a_job_whose_worker_died() {
    let rig = Rig::new().await;
    let shard = rig.settings.shards.all().next().unwrap();
    let (queue, dead) = (tool("quick").queue, "dead".parse().unwrap());
    let stream = QueueStream {
        shard,
        queue: &queue,
    };
    rig.store.ensure_group(stream).await.unwrap();
    // A lease, a round of the reclaimer, and what is left of the time for which a fetcher blocks.
    promptly(
        LEASE + BEFORE_THE_BLOCK_ENDS,
        "it is taken over",
        async || {
            let id = rig.submit(&tool("quick"), "{}").await;
            let mut connection = rig.store.connections().blocking().await.unwrap();
            let source = StreamReader {
                worker: &dead,
                shard,
                queues: std::slice::from_ref(&queue),
            };
            let read = rig.store.read_new(&mut connection, source, 1, None).await;
            let Some(Delivery::Job(claimed)) = read.unwrap().pop() else {
                panic!("there is no entry");
            };
            let claim = rig.store.claim(&claimed, &dead, LEASE).await.unwrap();
            assert!(matches!(claim, ClaimReply::Started(_)));
            let died = Instant::now();
            let worker = run(rig.builder().slots(1).tool(tool("quick"), quick));
            assert_eq!(text(&rig.end_of(id).await), "quick");
            let took = died.elapsed();
            worker.stop().await;
            took
        },
    )
    .await;
}

#[tokio::test]
async fn a_retry_is_forwarded_when_it_is_due() {
    async fn flaky(job: JobContext) -> HandlerResult {
        match job.attempt() {
            ..=5 => Err(ToolError::retry("not yet")),
            _ => Ok(ToolOutput::text("done")),
        }
    }
    let rig = Rig::new().await;
    let mut flaky_tool = tool("flaky");
    flaky_tool.attempts = 6;
    (flaky_tool.backoff.initial_ms, flaky_tool.backoff.max_ms) = (20, 20);
    let worker = run(rig.builder().tool(flaky_tool.clone(), flaky));
    rig.until_registered("flaky").await;
    // Five times half a second at least, if each waited until a forwarder looks by itself.
    promptly(
        Duration::from_secs(2),
        "all attempts are made",
        async || {
            let begun = Instant::now();
            let id = rig.submit(&flaky_tool, "{}").await;
            let task: TaskView = rig.end_of(id).await;
            assert_eq!((text(&task).as_str(), task.attempt), ("done", 6));
            begun.elapsed()
        },
    )
    .await;
    worker.stop().await;
}
