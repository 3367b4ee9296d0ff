//! Jobs of other systems, as handlers: submitted, followed and cancelled by commands of those systems.

mod follower;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::value::{RawValue, to_raw_value};
use taskferry_contract::{LeftOutside, RawObject, Refused, TaskId};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::{invocation, report};
use crate::exec::{CommandOutcome, CommandTemplate, Environment, Invocation, OutputMode, Runner};
use crate::manifest::{ExecTool, External, ExternalState, JOB};
use crate::result::{ToolResult, end_of};
use crate::sdk::{
    EndsOutside, Failure, Handler, HandlerFuture, HandlerResult, JobContext, OutsideFuture,
    ToolError, ToolOutput,
};
use follower::{AFTERMATH, Around, Follower, Printed};

/// How many jobs of a tool a worker follows without a slot. One more keeps its slot.
const MOST_FOLLOWED: usize = 1000;
/// How many commands run at once for the jobs of a tool that have no slot.
const MOST_COMMANDS: usize = 4;
/// How much of a job's logs becomes its error, characters.
const LOG_CHARS: usize = 8 << 10;

/// Follows a job of another system in each attempt.
#[derive(Clone)]
pub(crate) struct ExternalHandler(Arc<Follower>);

/// What its system says of a job.
enum Seen {
    /// It is in this state; the rest of what was printed.
    In(ExternalState, String),
    /// The system does not know the job.
    Unknown,
    /// The state could not be read, and why.
    Unreadable(String),
}

impl ExternalHandler {
    pub(crate) fn new(tool: &ExecTool, external: &External, inherited: &Environment) -> Self {
        Self(Arc::new(Follower {
            runner: Runner::new(inherited.clone()),
            submit: tool.command.clone(),
            external: external.clone(),
            timeout: tool.policy.timeout,
            followed: Arc::new(Semaphore::new(MOST_FOLLOWED)),
            commands: Semaphore::new(MOST_COMMANDS),
        }))
    }
}

impl Handler for ExternalHandler {
    fn run(&self, job: JobContext) -> HandlerFuture {
        let follower = Arc::clone(&self.0);
        Box::pin(async move { Box::pin(Following::new(&follower, &job)?.run()).await })
    }

    /// Cancelling takes a command.
    fn stop_grace(&self) -> Duration {
        self.0.external.command_timeout + AFTERMATH
    }
}

impl EndsOutside for ExternalHandler {
    fn end<'a>(&'a self, left: &'a LeftOutside) -> OutsideFuture<'a> {
        Box::pin(async move {
            let arguments = left.arguments.as_deref().unwrap_or_default();
            let arguments = named(arguments, left.id).map_err(|error| error.to_string())?;
            let id = left.id.to_string();
            let invocation = Invocation {
                task_id: &id,
                origin_task_id: &id,
                attempt: 0,
                tool: left.tool.as_str(),
                owner: "",
                arguments: &arguments,
                timeout: self.0.timeout,
                deadline: SystemTime::now(),
                trace: [
                    ("TRACEPARENT", None),
                    ("TRACESTATE", None),
                    ("BAGGAGE", None),
                ],
                answers: None,
            };
            self.0.cancel(invocation, &|_event| {}).await
        })
    }
}

/// The arguments of a call, with the name of its job in the other system beside them.
fn named(arguments: &str, id: TaskId) -> serde_json::Result<Box<RawValue>> {
    let mut arguments = RawObject::parse(arguments).unwrap_or_default();
    arguments.set(JOB, &format!("taskferry-{id}"));
    to_raw_value(&arguments)
}

/// One attempt.
struct Following<'a> {
    follower: &'a Follower,
    job: &'a JobContext,
    /// The ids of the task and of its origin.
    ids: [String; 2],
    arguments: Box<RawValue>,
}

impl<'a> Following<'a> {
    fn new(follower: &'a Follower, job: &'a JobContext) -> Result<Self, ToolError> {
        Ok(Self {
            follower,
            job,
            ids: [job.task_id().to_string(), job.origin_task_id().to_string()],
            arguments: named(job.raw_arguments().get(), job.task_id())?,
        })
    }

    async fn run(&self) -> HandlerResult {
        let place = Arc::clone(&self.follower.followed).try_acquire_owned();
        if place.is_ok() {
            self.job.leave_slot();
        }
        tokio::select! {
            biased;
            () = self.job.cancelled().cancelled() => {}
            // The next worker goes on with the job.
            () = self.job.worker_stops() => return Err(ToolError::stopped()),
            ended = self.follow() => return ended,
        }
        if self.is_unwanted() {
            self.cancel().await;
        }
        Err(ToolError::stopped())
    }

    /// Whether nobody will want the job's result, rather than this attempt's.
    fn is_unwanted(&self) -> bool {
        match self.job.refused() {
            Some(Refused::LeaseLost) => false,
            Some(Refused::Cancelled | Refused::AlreadyTerminal | Refused::Gone) => true,
            None => !self.job.is_halted(),
        }
    }

    async fn follow(&self) -> HandlerResult {
        let external = &self.follower.external;
        // From now on there may be a job, which is to be ended whatever becomes of this worker.
        self.job.begin_outside().await;
        // It may have been submitted by an earlier attempt, or by this one although that was not heard.
        let mut seen = self.look().await?;
        if matches!(seen, Seen::Unknown) {
            self.submit().await?;
            seen = self.look().await?;
        }
        let mut found = Instant::now();
        loop {
            let missing = match seen {
                Seen::In(state, said) => {
                    found = Instant::now();
                    if let Some(ended) = self.judge(state, &said).await? {
                        self.job.end_outside().await;
                        return ended;
                    }
                    None
                }
                Seen::Unknown => Some("its system does not know the job".to_owned()),
                Seen::Unreadable(why) => Some(why),
            };
            if let Some(why) = missing {
                if found.elapsed() >= external.lost_after {
                    return Err(ToolError::retry(why));
                }
                tracing::debug!(why, "the state of an external job is not known");
                self.job.message(why);
            }
            sleep(external.poll.mul_f64(rand::random_range(0.9..=1.0))).await;
            seen = self.look().await?;
        }
    }

    /// Shows how far the job is, or says how it ended.
    async fn judge(
        &self,
        state: ExternalState,
        said: &str,
    ) -> Result<Option<HandlerResult>, ToolError> {
        let external = &self.follower.external;
        match state {
            ExternalState::Waiting | ExternalState::Running => {
                self.job.message(said);
                Ok(None)
            }
            ExternalState::Succeeded => {
                let last = external.result.as_ref().or(external.logs.as_ref());
                let Some(last) = last else {
                    return Ok(Some(Ok(ToolOutput(ToolResult::text(said)))));
                };
                self.result(last).await.map(Some)
            }
            ExternalState::Failed | ExternalState::Cancelled => {
                let logs = match &external.logs {
                    Some(logs) => self.print(logs).await?.text,
                    None => String::new(),
                };
                let logs = end_of(logs.trim_end(), LOG_CHARS).unwrap_or_default();
                let text = format!("{said}\n{logs}");
                let result = ToolResult::error(text.trim_end()).because("the external job failed");
                Ok(Some(Err(ToolError(Failure::Tool(result)))))
            }
        }
    }

    /// The result of a job that succeeded, as its manifest reads output.
    async fn result(&self, template: &CommandTemplate) -> Result<HandlerResult, ToolError> {
        let output = self.follower.submit.output;
        Ok(match self.command(template, output).await? {
            CommandOutcome::Completed(result) => Ok(ToolOutput(result)),
            CommandOutcome::Retry { message, result } => Err(ToolError(Failure::Retry {
                message,
                last: result,
            })),
            CommandOutcome::Interrupted { .. }
            | CommandOutcome::Cancelled
            | CommandOutcome::Park => Err(ToolError::retry(format!(
                "the result of the job could not be read within {:?}",
                self.follower.external.command_timeout
            ))),
        })
    }

    async fn submit(&self) -> Result<(), ToolError> {
        let template = &self.follower.submit.template;
        let printed = match self.command(template, OutputMode::Text).await? {
            CommandOutcome::Completed(result) => Printed::of(&result),
            CommandOutcome::Retry { message, result } => {
                return self
                    .unless_known(Failure::Retry {
                        message,
                        last: result,
                    })
                    .await;
            }
            CommandOutcome::Interrupted { .. }
            | CommandOutcome::Cancelled
            | CommandOutcome::Park => {
                let late = ToolError::retry("the job could not be submitted in time");
                return self.unless_known(late.0).await;
            }
        };
        if !printed.is_error {
            self.job.message("submitted");
            return Ok(());
        }
        let text = format!("the job could not be submitted: {}", printed.text);
        let result = ToolResult::error(text.trim_end()).because("the job could not be submitted");
        self.unless_known(Failure::Tool(result)).await
    }

    /// A submission that failed because the job is there already did not fail.
    async fn unless_known(&self, failure: Failure) -> Result<(), ToolError> {
        match self.look().await? {
            Seen::In(..) => Ok(()),
            Seen::Unknown => {
                self.job.end_outside().await;
                Err(ToolError(failure))
            }
            Seen::Unreadable(_) => Err(ToolError(failure)),
        }
    }

    async fn look(&self) -> Result<Seen, ToolError> {
        let printed = self.print(&self.follower.external.status).await?;
        if printed.is_error {
            let why = format!("the job's state cannot be read: {}", printed.text);
            return Ok(Seen::Unreadable(why));
        }
        let lines = printed.text.lines().map(str::trim);
        let Some(line) = lines.into_iter().find(|line| !line.is_empty()) else {
            return Ok(Seen::Unknown);
        };
        let word = line.split_whitespace().next().unwrap_or_default();
        Ok(match self.follower.external.state(word) {
            Some(state) => Seen::In(state, line.to_owned()),
            None => Seen::Unreadable(format!(
                "status printed the state {word:?}, which is not known: name it in states"
            )),
        })
    }

    /// Ends the job in its system, since nobody wants it any more.
    async fn cancel(&self) {
        let said = |event| report(self.job, event);
        match self.follower.cancel(self.invocation(), &said).await {
            Ok(()) => self.job.end_outside().await,
            Err(why) => {
                let task = self.job.task_id().digest();
                tracing::warn!(%task, why, "an external job could not be cancelled; it is tried again, by whichever worker");
            }
        }
    }

    /// The text that a command prints.
    async fn print(&self, template: &CommandTemplate) -> Result<Printed, ToolError> {
        Ok(match self.command(template, OutputMode::Text).await? {
            CommandOutcome::Completed(result) => Printed::of(&result),
            CommandOutcome::Retry { message, .. } => Printed::error(message),
            CommandOutcome::Interrupted { .. }
            | CommandOutcome::Cancelled
            | CommandOutcome::Park => Printed::error(format!(
                "it took more than {:?}",
                self.follower.external.command_timeout
            )),
        })
    }

    async fn command(
        &self,
        template: &CommandTemplate,
        output: OutputMode,
    ) -> Result<CommandOutcome, ToolError> {
        let around = Around {
            cancel: self.job.cancelled(),
            deadline: self.job.deadline(),
            on_event: &|event| report(self.job, event),
        };
        self.follower
            .run(template, output, self.invocation(), around)
            .await
    }

    fn invocation(&self) -> Invocation<'_> {
        let [id, origin] = &self.ids;
        Invocation {
            arguments: &self.arguments,
            ..invocation(self.job, [id, origin], self.follower.timeout)
        }
    }
}
