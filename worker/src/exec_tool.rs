//! Tools that are commands, as handlers.

use std::time::Duration;

use taskferry_contract::{
    Backoff, InvalidId, Progress, QueueName, ToolDefinition, ToolName, TtlBounds,
};
use tokio::sync::mpsc;

use crate::context::JobContext;
use crate::exec::{Environment, ExecCommand, ExecEvent, Invocation, Outcome, Runner};
use crate::handler::{Failure, Handler, HandlerFuture, HandlerResult, ToolError, ToolOutput};
use crate::manifest::ExecTool;

/// Events that wait for this worker; a command that is faster coalesces them.
const EVENTS: usize = 64;
/// How much longer than its grace a command may take to be gone: it is reaped, and its pipes are read.
const AFTERMATH: Duration = Duration::from_secs(7);

/// Runs a command for each attempt.
#[derive(Debug, Clone)]
pub(crate) struct ExecHandler {
    runner: Runner,
    command: ExecCommand,
}

impl ExecHandler {
    pub(crate) fn new(tool: &ExecTool, inherited: &Environment) -> Self {
        Self {
            runner: Runner::new(inherited.clone()),
            command: tool.command.clone(),
        }
    }

    async fn attempt(self, job: JobContext) -> HandlerResult {
        let (sender, mut events) = mpsc::channel(EVENTS);
        let task_id = job.task_id().to_string();
        let left = job.deadline().duration_since(std::time::SystemTime::now());
        let invocation = Invocation {
            task_id: &task_id,
            attempt: job.attempt(),
            tool: job.tool().as_str(),
            owner: job.owner().as_str(),
            arguments: job.raw_arguments(),
            timeout: left.unwrap_or_default(),
        };
        let run = self
            .runner
            .run(&self.command, invocation, sender, job.cancelled());
        let pass_on = async {
            while let Some(event) = events.recv().await {
                report(&job, event);
            }
        };
        let (outcome, ()) = tokio::join!(run, pass_on);
        match outcome {
            Ok(Outcome::Completed(result)) => Ok(ToolOutput(result)),
            Ok(Outcome::Retry { message, result }) => Err(ToolError(Failure::Retry {
                message,
                last: result,
            })),
            Ok(Outcome::Cancelled) => Err(ToolError::stopped()),
            Err(error) if error.is_transient() => Err(ToolError(Failure::Retry {
                message: error.to_string(),
                last: error.to_result(),
            })),
            Err(error) => {
                tracing::error!(%error, "a command did not start");
                Err(ToolError(Failure::Tool(error.to_result())))
            }
        }
    }
}

impl Handler for ExecHandler {
    fn run(&self, job: JobContext) -> HandlerFuture {
        Box::pin(self.clone().attempt(job))
    }

    fn stop_grace(&self) -> Duration {
        self.command.stop_grace + AFTERMATH
    }
}

fn report(job: &JobContext, event: ExecEvent) {
    match event {
        ExecEvent::Progress(report) => job.report(Progress {
            progress: Some(report.progress),
            total: report.total,
            message: report.message,
        }),
        ExecEvent::Message(text) => job.message(text),
        ExecEvent::Log { level, text } => job.log(level, text),
    }
}

/// What a manifest says of a tool, as it is registered.
pub(crate) fn definition(tool: &ExecTool) -> Result<ToolDefinition, InvalidId> {
    let policy = &tool.policy;
    let name: ToolName = tool.name.parse()?;
    let queue: QueueName = policy.queue.parse()?;
    Ok(ToolDefinition {
        title: tool.title.clone(),
        description: Some(tool.description.clone()),
        output_schema: tool.output_schema.clone(),
        annotations: tool.annotations.clone(),
        task_support: policy.task_support,
        rank: policy.rank,
        queue,
        timeout_ms: millis(policy.timeout),
        ttl: TtlBounds {
            default_ms: millis(policy.ttl),
            min_ms: millis(policy.ttl_min),
            max_ms: millis(policy.ttl_max),
        },
        poll_interval_ms: millis(policy.poll_interval),
        attempts: policy.attempts,
        crash_limit: policy.crash_limit,
        backoff: Backoff {
            initial_ms: millis(policy.backoff_initial),
            max_ms: millis(policy.backoff_max),
        },
        concurrency: policy.concurrency,
        ..ToolDefinition::new(name, tool.input_schema.clone())
    })
}

/// A manifest's durations are at most a year.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
