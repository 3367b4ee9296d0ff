//! Tools that are commands, as handlers.

mod desk;

use std::time::Duration;

use taskferry_contract::{
    Backoff, InvalidId, Progress, QueueName, ToolDefinition, ToolName, TtlBounds,
};
use tokio::sync::mpsc;

use crate::context::JobContext;
use crate::exec::{
    Environment, ExecCommand, ExecEvent, Invocation, Outcome, Runner, StartError, Talk,
};
use crate::handler::{Failure, Handler, HandlerFuture, HandlerResult, ToolError, ToolOutput};
use crate::manifest::ExecTool;
use desk::Asked;

/// Events that wait for this worker; a command that is faster coalesces them.
const EVENTS: usize = 64;
/// How much longer than its grace a command may take to be gone: it is reaped, and its pipes are read.
const AFTERMATH: Duration = Duration::from_secs(7);

/// How long after a command that a stop signal ended the worker may learn of its own: whoever stops all processes of a
/// service signals one after the other.
const SIGNALS_MEET: Duration = Duration::from_secs(1);

/// Runs a command for each attempt.
#[derive(Debug, Clone)]
pub(crate) struct ExecHandler {
    runner: Runner,
    command: ExecCommand,
    /// Whether there can be answers: it asks, or its callers are asked first.
    has_answers: bool,
}

impl ExecHandler {
    pub(crate) fn new(tool: &ExecTool, inherited: &Environment) -> Self {
        Self {
            runner: Runner::new(inherited.clone()),
            command: tool.command.clone(),
            has_answers: tool.command.asks || !tool.ask_first.is_empty(),
        }
    }

    async fn attempt(self, job: JobContext) -> HandlerResult {
        let (sender, mut events) = mpsc::channel(EVENTS);
        let (task_id, origin) = (job.task_id().to_string(), job.origin_task_id().to_string());
        let left = job.deadline().duration_since(std::time::SystemTime::now());
        let answers = self.has_answers.then(|| desk::answers(&job));
        let invocation = Invocation {
            task_id: &task_id,
            origin_task_id: &origin,
            attempt: job.attempt(),
            tool: job.tool().as_str(),
            owner: job.owner().as_str(),
            arguments: job.raw_arguments(),
            timeout: left.unwrap_or_default(),
            answers: answers.as_deref(),
        };
        let (questions, desk) = self.command.asks.then(desk::open).unzip();
        let talk = Talk {
            events: sender,
            questions,
        };
        let run = self
            .runner
            .run(&self.command, invocation, talk, job.cancelled());
        let pass_on = async {
            while let Some(event) = events.recv().await {
                report(&job, event);
            }
        };
        let ask = async {
            match desk {
                Some(desk) => desk.serve(&job).await,
                None => Asked::default(),
            }
        };
        let (outcome, (), asked) = tokio::join!(run, pass_on, ask);
        match outcome {
            Ok(Outcome::Interrupted { .. }) if job.worker_stops_within(SIGNALS_MEET).await => {
                Err(ToolError::stopped())
            }
            Ok(Outcome::Interrupted { otherwise }) => concluded(*otherwise, asked),
            Ok(outcome) => concluded(outcome, asked),
            Err(error) => Err(not_started(&error)),
        }
    }
}

/// What an outcome does to the job.
fn concluded(outcome: Outcome, asked: Asked) -> HandlerResult {
    match outcome {
        Outcome::Park => Err(ToolError(Failure::Park {
            otherwise: asked.otherwise(),
        })),
        Outcome::Completed(result) => Ok(ToolOutput(result)),
        Outcome::Retry { message, result } => Err(ToolError(Failure::Retry {
            message,
            last: result,
        })),
        Outcome::Interrupted { .. } | Outcome::Cancelled => Err(ToolError::stopped()),
    }
}

fn not_started(error: &StartError) -> ToolError {
    match error {
        StartError::Exhausted { .. } => ToolError(Failure::NotStarted {
            message: error.to_string(),
        }),
        _ if error.is_transient() => ToolError(Failure::Retry {
            message: error.to_string(),
            last: error.to_result(),
        }),
        _ => {
            tracing::error!(%error, "a command did not start");
            ToolError(Failure::Tool(error.to_result()))
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

    fn park_grace(&self) -> Duration {
        self.stop_grace()
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
        immediate_response: tool.immediate_response.clone(),
        description: Some(tool.description.clone()),
        output_schema: tool.output_schema.clone(),
        annotations: tool.annotations.clone(),
        icons: tool.icons.clone(),
        required_capabilities: tool.required_capabilities.clone(),
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
        poll_interval_max_ms: millis(policy.poll_interval_max),
        share_identical: policy.share,
        attempts: policy.attempts,
        crash_limit: policy.crash_limit,
        backoff: Backoff {
            initial_ms: millis(policy.backoff_initial),
            max_ms: millis(policy.backoff_max),
        },
        keep_ms: millis(policy.keep),
        ask_first: tool.ask_first.clone(),
        concurrency: policy.concurrency,
        ..ToolDefinition::new(name, tool.input_schema.clone())
    })
}

/// A manifest's durations are at most a year.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;
    use taskferry_contract::TaskSupport;

    #[test]
    fn a_tool_is_registered_as_its_manifest_says() {
        let text = r#"
            [[tool]]
            name = "report"
            title = "Report"
            description = "Makes it"
            command = ["true"]
            queue = "slow"
            rank = -3
            task_support = "required"
            timeout = "5m"
            ttl = "2h"
            ttl_min = "1m"
            ttl_max = "3h"
            poll_interval = "500ms"
            poll_interval_max = "4s"
            share = true
            immediate_response = "It is being made"
            attempts = 5
            crash_limit = 2
            backoff_initial = "2s"
            backoff_max = "9s"
            concurrency = 7
            input_schema = '{ "type":"object" }'
            annotations = { readOnlyHint = true }
            required_capabilities = { sampling = {} }
        "#;
        let manifest = Manifest::parse(text, std::path::Path::new("/")).unwrap();
        let tool = definition(&manifest.tools[0]).unwrap();
        assert_eq!(
            (tool.name.as_str(), tool.queue.as_str()),
            ("report", "slow")
        );
        assert_eq!(tool.title.as_deref(), Some("Report"));
        assert_eq!(tool.description.as_deref(), Some("Makes it"));
        assert_eq!(tool.input_schema.get(), r#"{ "type":"object" }"#);
        assert_eq!(tool.annotations.unwrap().get(), r#"{"readOnlyHint":true}"#);
        assert_eq!(
            tool.required_capabilities.unwrap().get(),
            r#"{"sampling":{}}"#
        );
        assert_eq!((tool.rank, tool.task_support), (-3, TaskSupport::Required));
        assert_eq!((tool.timeout_ms, tool.poll_interval_ms), (300_000, 500));
        assert_eq!(tool.poll_interval_max_ms, 4_000);
        assert!(tool.share_identical);
        assert_eq!(tool.immediate_response.as_deref(), Some("It is being made"));
        let ttl = tool.ttl;
        assert_eq!(
            (ttl.default_ms, ttl.min_ms, ttl.max_ms),
            (7_200_000, 60_000, 10_800_000)
        );
        assert_eq!(
            (tool.attempts, tool.crash_limit, tool.concurrency),
            (5, 2, Some(7))
        );
        assert_eq!(
            (tool.backoff.initial_ms, tool.backoff.max_ms),
            (2_000, 9_000)
        );
    }

    #[test]
    fn what_a_manifest_leaves_out_is_what_a_definition_leaves_out() {
        let text = "[[tool]]\nname = 'a'\ndescription = 'b'\ncommand = ['true']";
        let manifest = Manifest::parse(text, std::path::Path::new("/")).unwrap();
        let mut tool = definition(&manifest.tools[0]).unwrap();
        tool.description = None;
        let plain = ToolDefinition::new(tool.name.clone(), tool.input_schema.clone());
        let json = |tool: &ToolDefinition| serde_json::to_value(tool).unwrap();
        assert_eq!(json(&tool), json(&plain));
    }
}
