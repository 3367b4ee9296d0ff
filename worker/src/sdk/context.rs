//! What a handler knows of its job, and what it can report.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use taskferry_contract::{
    AttemptNumber, LogLevel, Owner, ProgressReport, Refused, TaskId, ToolName, misfit,
};
use tokio_util::sync::CancellationToken;

use super::error::ToolError;
use crate::core::Core;
use crate::core::attempt::RunningAttempt;

/// The log target of the lines that tools log. It is within `tool`, the target of all that tools write.
const LOG: &str = "tool::log";

/// One attempt of one job, as its handler sees it. Cheap to clone.
#[derive(Clone)]
pub struct JobContext {
    pub(super) attempt: Arc<RunningAttempt>,
    pub(super) core: Arc<Core>,
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext")
            .field("task_id", &self.attempt.job.id)
            .field("attempt", &self.attempt.job.attempt)
            .finish_non_exhaustive()
    }
}

impl JobContext {
    pub(crate) fn new(attempt: Arc<RunningAttempt>, core: Arc<Core>) -> Self {
        Self { attempt, core }
    }

    /// The arguments, which fit the tool's input schema.
    ///
    /// # Errors
    ///
    /// A tool error that says what does not fit `T`.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T, ToolError> {
        serde_json::from_str(self.attempt.arguments.get()).map_err(|error| {
            ToolError::tool(format!("the arguments do not fit: {}", misfit(&error)))
        })
    }

    /// The arguments as the caller wrote them, a JSON object.
    #[must_use]
    pub fn raw_arguments(&self) -> &RawValue {
        &self.attempt.arguments
    }

    /// The task's id: the same in every attempt. The job of a dead letter that was retried has another one; see
    /// [`JobContext::origin_task_id`].
    #[must_use]
    pub fn task_id(&self) -> TaskId {
        self.attempt.job.id
    }

    /// The first task of this job: [`JobContext::task_id`], unless an operator retried a dead letter, which makes a new task.
    /// The same in every attempt, and through any number of such retries, so what a tool does once, whoever has it run
    /// again, it does under this key.
    #[must_use]
    pub fn origin_task_id(&self) -> TaskId {
        self.attempt.job.origin
    }

    /// The number of this attempt, from 1.
    #[must_use]
    pub fn attempt(&self) -> u64 {
        let AttemptNumber(number) = self.attempt.job.attempt;
        number
    }

    /// The tool that was called.
    #[must_use]
    pub fn tool(&self) -> &ToolName {
        &self.attempt.job.tool
    }

    /// Whose task it is; anonymous when callers cannot be told apart.
    #[must_use]
    pub fn owner(&self) -> &Owner {
        &self.attempt.job.owner
    }

    /// The W3C `traceparent` of the call, if it had one.
    #[must_use]
    pub fn trace(&self) -> Option<&str> {
        self.attempt.job.trace.as_deref()
    }

    /// The W3C `tracestate` of the call, if it had one.
    #[must_use]
    pub fn trace_state(&self) -> Option<&str> {
        self.attempt.job.trace_state.as_deref()
    }

    /// The W3C `baggage` of the call, if it had some.
    #[must_use]
    pub fn baggage(&self) -> Option<&str> {
        self.attempt.job.baggage.as_deref()
    }

    /// When this attempt times out. Time spent waiting in [`JobContext::ask`] does not count.
    #[must_use]
    pub fn deadline(&self) -> SystemTime {
        SystemTime::now() + self.attempt.clock.left()
    }

    /// Cancelled when the attempt must stop: the caller cancelled the task, it timed out, its lease is lost, or the worker
    /// shuts down. A handler that ignores it is dropped at its next await, [`Handler::stop_grace`] later.
    ///
    /// [`Handler::stop_grace`]: crate::Handler::stop_grace
    #[must_use]
    pub fn cancelled(&self) -> &CancellationToken {
        &self.attempt.cancel
    }

    /// Shows pollers how far the work is. Call it as often as you like: the newest report wins, and at most one per
    /// 40 ms goes out. A `progress` or `total` that is not finite is left out of it.
    pub fn progress<'a>(
        &self,
        progress: f64,
        total: impl Into<Option<f64>>,
        message: impl Into<Option<&'a str>>,
    ) {
        self.report(ProgressReport {
            progress: Some(progress),
            total: total.into(),
            message: message.into().map(str::to_owned),
        });
    }

    /// Sets the task's status message.
    pub fn message(&self, text: impl Into<String>) {
        self.report(ProgressReport {
            message: Some(text.into()),
            ..ProgressReport::default()
        });
    }

    /// Whether the worker is told to stop, now or within this time.
    pub(crate) async fn worker_stops_within(&self, time: Duration) -> bool {
        let stops = self.core.phase.stop.cancelled();
        tokio::time::timeout(time, stops).await.is_ok()
    }

    /// Waits until the worker is told to stop.
    pub(crate) async fn worker_stops(&self) {
        self.core.phase.stop.cancelled().await;
    }

    /// Whether attempts are stopped because the worker ends.
    pub(crate) fn is_halted(&self) -> bool {
        self.core.phase.halt.is_cancelled() || self.core.phase.kill.is_cancelled()
    }

    /// Why the attempt may not write any more, if that is so.
    pub(crate) fn refused(&self) -> Option<Refused> {
        self.attempt.refusal()
    }

    /// Gives the slot back for the rest of the attempt: it waits for what runs elsewhere.
    pub(crate) fn leave_slot(&self) {
        self.attempt.slot.leave();
    }

    pub(crate) fn report(&self, report: ProgressReport) {
        self.attempt.reports.add(report);
    }

    /// Writes a line to the worker's log, with a digest of the task's id and the target `tool::log`, and to the client if it wants lines of this level.
    pub fn log(&self, level: LogLevel, text: impl AsRef<str>) {
        let text = text.as_ref();
        if self
            .attempt
            .job
            .log_level
            .is_some_and(|least| level >= least)
        {
            self.attempt.reports.add_line(level, text);
        }
        let (task, tool, attempt) = (self.task_id().digest(), self.tool(), self.attempt());
        // The line is written as a field: there it is quoted, and cannot pass for other fields.
        macro_rules! write {
            ($level:ident) => {
                tracing::$level!(target: LOG, parent: None, %task, %tool, attempt, line = text, "log")
            };
        }
        match level {
            LogLevel::Debug => write!(debug),
            LogLevel::Info | LogLevel::Notice => write!(info),
            LogLevel::Warning => write!(warn),
            LogLevel::Error | LogLevel::Critical | LogLevel::Alert | LogLevel::Emergency => {
                write!(error);
            }
        }
    }
}
