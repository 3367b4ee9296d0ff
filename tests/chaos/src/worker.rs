//! `chaos-worker`: the tools of a chaos run that are written in Rust. What every attempt did goes to `attempts.jsonl` in
//! the current directory, a line at a time and before the result is handed on, so that it is there after a `kill -9`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use taskferry_worker::cli::Program;
use taskferry_worker::contract::{Backoff, ToolDefinition, TtlBounds};
use taskferry_worker::{AskRequest, HandlerResult, JobContext, ToolError, ToolOutput};

const SCHEMA: &str =
    r#"{"type": "object", "required": ["label"], "properties": {"label": {"type": "string"}}}"#;
/// Between two progress messages.
const STEP: Duration = Duration::from_millis(60);
/// How long a question is waited for until the job is parked.
const PARK_AFTER: Duration = Duration::from_secs(1);

/// What one job is to do.
#[derive(Deserialize)]
struct Script {
    /// The producer's name for the job.
    label: String,
    /// How long each attempt works.
    #[serde(default)]
    work_ms: u64,
    /// Attempts below this number kill their worker halfway.
    #[serde(default)]
    crash_below: u64,
    /// Attempts below this number end in an error that another may not have.
    #[serde(default)]
    retry_below: u64,
    /// Whether the client is asked first.
    #[serde(default)]
    ask: bool,
    /// How it ends if not well: `tool` or `rpc`.
    #[serde(default)]
    fail: Option<String>,
}

async fn work(job: JobContext) -> HandlerResult {
    let script: Script = job.arguments()?;
    let (task, attempt) = (job.task_id().to_string(), job.attempt());
    note(&job, &script, "start")?;
    if script.ask {
        let nothing = json!({ "type": "object", "properties": {} });
        job.ask("go", AskRequest::elicitation("Go on?", nothing))
            .await?;
    }
    let steps = script.work_ms / 60 + 1;
    for step in 0..steps {
        if attempt < script.crash_below && step >= steps / 2 {
            note(&job, &script, "crash")?;
            std::process::abort();
        }
        job.message(format!("attempt {attempt} step {step}"));
        tokio::time::sleep(STEP).await;
    }
    if attempt < script.retry_below {
        note(&job, &script, "retry")?;
        return Err(ToolError::retry(format!("attempt {attempt} wants another")));
    }
    note(&job, &script, "end")?;
    let outcome = json!({ "task": task, "attempt": attempt, "label": script.label });
    match script.fail.as_deref() {
        Some("tool") => Err(ToolError::tool(outcome.to_string())),
        Some(_) => Err(ToolError::rpc(-32050, outcome.to_string())),
        None => ToolOutput::json(&outcome),
    }
}

/// Adds a line; one write, so that lines of several processes do not mix.
fn note(job: &JobContext, script: &Script, event: &str) -> Result<(), ToolError> {
    let line = json!({
        "event": event, "task": job.task_id().to_string(), "attempt": job.attempt(), "label": script.label,
        "worker": format!("pid {}", std::process::id()),
    });
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open("attempts.jsonl")?;
    file.write_all(format!("{line}\n").as_bytes())?;
    Ok(())
}

/// A tool whose jobs are begun at most once.
fn once() -> ToolDefinition {
    let mut tool = tool("once", 1);
    tool.attempts = 1;
    tool
}

/// A tool of whose jobs only some may run at once.
fn narrow() -> ToolDefinition {
    let mut tool = tool("narrow", 100);
    // As `plan::NARROW` has it.
    tool.concurrency = Some(2);
    tool
}

fn tool(name: &str, crash_limit: u32) -> ToolDefinition {
    let schema = RawValue::from_string(SCHEMA.to_owned()).expect("the schema is JSON");
    let mut tool = ToolDefinition::new(name.parse().expect("the name fits the rule"), schema);
    tool.attempts = 20;
    tool.crash_limit = crash_limit;
    tool.backoff = Backoff {
        initial_ms: 100,
        max_ms: 500,
    };
    tool.ttl = TtlBounds {
        default_ms: 600_000,
        ..TtlBounds::default()
    };
    tool.poll_interval_ms = 100;
    tool
}

#[tokio::main]
async fn main() -> ExitCode {
    Program::new(env!("CARGO_BIN_NAME"), env!("CARGO_PKG_VERSION"))
        .run(|worker| {
            worker
                .park_after(PARK_AFTER)
                .tool(tool("work", 100), work)
                .tool(tool("crasher", 3), work)
                .tool(once(), work)
                .tool(narrow(), work)
        })
        .await
}
