//! Tools that are commands, as handlers.

mod answers;
pub(crate) mod confined;
mod definition;
mod external;
mod question_relay;

use std::time::Duration;

use taskferry_contract::ProgressReport;
use tokio::sync::mpsc;

use crate::exec::{
    Channels, CommandOutcome, Environment, ExecCommand, ExecEvent, Invocation, Runner, StartError,
};
use crate::manifest::ExecTool;
use crate::sdk::{
    Failure, Handler, HandlerFuture, HandlerResult, JobContext, ToolError, ToolOutput,
};
pub(crate) use definition::definition;
pub(crate) use external::ExternalHandler;
use question_relay::QuestionTally;

/// How many events may wait to be handled. If a command is faster, newer ones replace older ones.
const EVENTS: usize = 64;
/// How much longer than its grace a command may take to be gone: it is reaped, and its pipes are read.
const AFTERMATH: Duration = Duration::from_secs(7);

/// How long after its command a worker may be signalled too. Whoever stops all processes of a service signals one after the
/// other, and a command that was ended so was stopped with its worker.
const SIGNALS_MEET: Duration = Duration::from_secs(1);

/// Runs a command for each attempt.
#[derive(Debug, Clone)]
pub(crate) struct ExecHandler {
    runner: Runner,
    command: ExecCommand,
    /// How long an attempt may run.
    timeout: Duration,
    /// Whether there can be answers: the command asks, or callers are asked before the job.
    has_answers: bool,
}

impl ExecHandler {
    pub(crate) fn new(tool: &ExecTool, inherited: &Environment) -> Self {
        Self {
            runner: Runner::new(inherited.clone()),
            command: tool.command.clone(),
            timeout: tool.policy.timeout,
            has_answers: tool.command.asks || !tool.ask_first.is_empty(),
        }
    }

    async fn attempt(self, job: JobContext) -> HandlerResult {
        let (sender, mut events) = mpsc::channel(EVENTS);
        let (task_id, origin) = (job.task_id().to_string(), job.origin_task_id().to_string());
        let answers = self.has_answers.then(|| answers::for_environment(&job));
        let invocation = Invocation {
            answers: answers.as_deref(),
            ..invocation(&job, [&task_id, &origin], self.timeout)
        };
        let (questions, relay) = self.command.asks.then(question_relay::open).unzip();
        let channels = Channels {
            events: sender,
            questions,
        };
        let run = self
            .runner
            .run(&self.command, invocation, channels, job.cancelled());
        let pass_on = async {
            while let Some(event) = events.recv().await {
                report(&job, event);
            }
        };
        let ask = async {
            match relay {
                Some(relay) => relay.serve(&job).await,
                None => QuestionTally::default(),
            }
        };
        let (outcome, (), asked) = tokio::join!(run, pass_on, ask);
        match outcome {
            Ok(CommandOutcome::Interrupted { .. })
                if job.worker_stops_within(SIGNALS_MEET).await =>
            {
                Err(ToolError::stopped())
            }
            Ok(CommandOutcome::Interrupted { otherwise }) => concluded(*otherwise, asked),
            Ok(outcome) => concluded(outcome, asked),
            Err(error) => Err(not_started(&error)),
        }
    }
}

/// What an outcome does to the job.
fn concluded(outcome: CommandOutcome, asked: QuestionTally) -> HandlerResult {
    match outcome {
        CommandOutcome::Park => Err(ToolError(Failure::Park {
            otherwise: asked.otherwise(),
        })),
        CommandOutcome::Completed(result) => Ok(ToolOutput(result)),
        CommandOutcome::Retry { message, result } => Err(ToolError(Failure::Retry {
            message,
            last: result,
        })),
        CommandOutcome::Interrupted { .. } | CommandOutcome::Cancelled => Err(ToolError::stopped()),
    }
}

fn not_started(error: &StartError) -> ToolError {
    match error {
        StartError::Exhausted { .. } | StartError::EnvFile(_) => ToolError(Failure::NotStarted {
            message: error.to_string(),
        }),
        _ if error.is_transient() => ToolError(Failure::Retry {
            message: error.to_string(),
            last: error.to_result(),
        }),
        // The caller's doing, and told to the caller.
        StartError::Argument(_) => ToolError(Failure::Tool(error.to_result())),
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

/// What a command of this attempt gets, if the client has answered nothing. `ids` are those of the task and its origin, as text.
fn invocation<'a>(job: &'a JobContext, ids: [&'a str; 2], timeout: Duration) -> Invocation<'a> {
    let [task_id, origin_task_id] = ids;
    Invocation {
        task_id,
        origin_task_id,
        attempt: job.attempt(),
        tool: job.tool().as_str(),
        owner: job.owner().as_str(),
        arguments: job.raw_arguments(),
        timeout,
        deadline: job.deadline(),
        trace: trace(job),
        answers: None,
    }
}

/// The trace that the call belongs to, by the names under which programs look for it in their environment.
fn trace(job: &JobContext) -> [(&'static str, Option<&str>); 3] {
    [
        ("TRACEPARENT", job.trace()),
        ("TRACESTATE", job.trace_state()),
        ("BAGGAGE", job.baggage()),
    ]
}

fn report(job: &JobContext, event: ExecEvent) {
    match event {
        ExecEvent::Progress(report) => job.report(ProgressReport {
            progress: Some(report.progress),
            total: report.total,
            message: report.message,
        }),
        ExecEvent::Message(text) => job.message(text),
        ExecEvent::Log { level, text } => job.log(level, text),
    }
}
