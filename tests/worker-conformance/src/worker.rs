//! `conformance-worker`: a worker in Rust with the tools of docs/WORKER-CONFORMANCE.md.

use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use taskferry_worker::cli::Program;
use taskferry_worker::contract::{LogLevel, ToolDefinition};
use taskferry_worker::{AskRequest, HandlerResult, JobContext, ToolError, ToolOutput};

/// The definitions of its tools, but for their queue.
const TOOLS: &str = include_str!("../tools.json");
/// The queue of the kit.
const QUEUE: &str = "conformance";
/// Between two steps of `progress`.
const STEP: Duration = Duration::from_millis(300);

#[derive(Deserialize)]
struct Text {
    text: String,
}

#[derive(Deserialize)]
struct Seconds {
    #[serde(default)]
    seconds: f64,
}

#[derive(Deserialize)]
struct Times {
    times: u64,
}

#[derive(Deserialize)]
struct Letters {
    letters: usize,
}

async fn echo(job: JobContext) -> HandlerResult {
    let Text { text } = job.arguments()?;
    Ok(ToolOutput::text(text))
}

async fn sleep(job: JobContext) -> HandlerResult {
    block(&job).await?;
    Ok(ToolOutput::text(format!("attempt {}", job.attempt())))
}

/// Blocks a thread for as long as the arguments say.
async fn block(job: &JobContext) -> Result<(), ToolError> {
    let length = seconds(job)?;
    let work = move || std::thread::park_timeout(length);
    Ok(tokio::task::spawn_blocking(work).await?)
}

fn seconds(job: &JobContext) -> Result<Duration, ToolError> {
    let Seconds { seconds } = job.arguments()?;
    Ok(Duration::try_from_secs_f64(seconds)?)
}

async fn wait(job: JobContext) -> HandlerResult {
    tokio::time::sleep(seconds(&job)?).await;
    Ok(ToolOutput::text("waited"))
}

async fn late(_job: JobContext) -> HandlerResult {
    tokio::time::sleep(Duration::from_secs(30)).await;
    Ok(ToolOutput::text("too late"))
}

async fn progress(job: JobContext) -> HandlerResult {
    for (number, name) in [(1.0, "one"), (2.0, "two"), (3.0, "three")] {
        job.progress(number, 3.0, name);
        tokio::time::sleep(STEP).await;
    }
    Ok(ToolOutput::text("done"))
}

async fn log(job: JobContext) -> HandlerResult {
    job.log(LogLevel::Info, "a line of the tool");
    tokio::time::sleep(STEP).await;
    Ok(ToolOutput::text("logged"))
}

async fn ask(job: JobContext) -> HandlerResult {
    let form = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
    let answer = job
        .ask("name", AskRequest::elicitation("Your name?", form))
        .await?;
    block(&job).await?;
    let name = answer.pointer("/content/name");
    match name.and_then(serde_json::Value::as_str) {
        Some(name) => Ok(ToolOutput::text(format!("Hello, {name}"))),
        None => Err(ToolError::tool("nobody said a name")),
    }
}

async fn fail(job: JobContext) -> HandlerResult {
    let Text { text } = job.arguments()?;
    Err(ToolError::tool(text))
}

async fn retry(job: JobContext) -> HandlerResult {
    let Times { times } = job.arguments()?;
    let attempt = job.attempt();
    if attempt <= times {
        return Err(ToolError::retry(format!("attempt {attempt} failed")));
    }
    Ok(ToolOutput::text(format!("attempt {attempt}")))
}

async fn big(job: JobContext) -> HandlerResult {
    let Letters { letters } = job.arguments()?;
    Ok(ToolOutput::text("x".repeat(letters)))
}

async fn empty(_job: JobContext) -> HandlerResult {
    let nothing = serde_json::value::to_raw_value(&json!({ "content": [] }))?;
    ToolOutput::result(&nothing)
}

async fn context(job: JobContext) -> HandlerResult {
    let told = json!({
        "task_id": job.task_id().to_string(), "origin_task_id": job.origin_task_id().to_string(),
        "attempt": job.attempt(), "owner": job.owner().as_str(), "traceparent": job.trace(),
    });
    Ok(ToolOutput::text(told.to_string()))
}

fn tool(name: &str) -> ToolDefinition {
    let all: Vec<ToolDefinition> = serde_json::from_str(TOOLS).expect("the definitions are JSON");
    let mut named = all.into_iter().filter(|tool| tool.name.as_str() == name);
    let mut tool = named.next().expect("the tool has a definition");
    tool.queue = QUEUE.parse().expect("the queue has a name");
    tool
}

#[tokio::main]
async fn main() -> ExitCode {
    Program::new(env!("CARGO_BIN_NAME"), env!("CARGO_PKG_VERSION"))
        .run(|worker| {
            worker
                .tool(tool("echo"), echo)
                .tool(tool("sleep"), sleep)
                .tool(tool("wait"), wait)
                .tool(tool("late"), late)
                .tool(tool("progress"), progress)
                .tool(tool("log"), log)
                .tool(tool("ask"), ask)
                .tool(tool("fail"), fail)
                .tool(tool("retry"), retry)
                .tool(tool("big"), big)
                .tool(tool("empty"), empty)
                .tool(tool("context"), context)
        })
        .await
}
