//! Judges how a handler ended: what is written of it, and why.

use std::time::Duration;

use taskferry_contract::{Outcome, Refused};

use super::Tool;
use super::settlement::{Settlement, completed};
use super::supervise::HandlerEnd;
use crate::core::Core;
use crate::core::attempt::RunningAttempt;
use crate::core::pause::jittered;
use crate::result::{ToolResult, output_schema};
use crate::sdk::{Failure, ToolError};

/// Why the log says that a job was given back.
pub(super) const STOPS: &str = "the worker is told to stop";

/// The shortest delay of a job that could not be started because this machine was short of something.
const SHORT_OF_SOMETHING: Duration = Duration::from_secs(1);

/// What the end of a handler means for its job.
pub(crate) enum Conclusion {
    /// The settlement is to be written; its result is within the worker's bound. The reason is in words that the log may
    /// show.
    Settle {
        settlement: Settlement,
        reason: Option<String>,
    },
    /// The job is to wait for the answers to its questions. If no question is open, it ends with `otherwise`, if that is there.
    Park { otherwise: Option<ToolResult> },
    /// The job is parked already.
    Parked,
    /// Nothing is written: the task was cancelled, or another attempt holds the job.
    Refused(Refused),
}

/// Judges how a handler ended, and holds its result to what the tool and the worker promise.
pub(crate) async fn judge(
    core: &Core,
    tool: &Tool,
    attempt: &RunningAttempt,
    end: HandlerEnd,
) -> Conclusion {
    let (settlement, reason) = match end {
        HandlerEnd::Handler(Ok(output)) => {
            let result = output_schema::hold(&core.offload, &tool.checks, output.0).await;
            let reason = result.cause.clone();
            (Settlement::Finish(completed(result)), reason)
        }
        HandlerEnd::Handler(Err(ToolError(Failure::Park { otherwise }))) => {
            return Conclusion::Park { otherwise };
        }
        HandlerEnd::Handler(Err(ToolError(failure))) => {
            let reason = failure.cause();
            (failed(tool, attempt, failure), reason)
        }
        HandlerEnd::Panicked => {
            let text = "the handler panicked".to_owned();
            let last = ToolResult::error(&text);
            (retry(tool, attempt, text.clone(), last), Some(text))
        }
        HandlerEnd::TimedOut => {
            let limit = Duration::from_millis(attempt.job.timeout_ms);
            let result = ToolResult::timed_out(limit);
            let reason = result.cause.clone();
            (Settlement::Finish(completed(result)), reason)
        }
        HandlerEnd::Halted => (stopped(attempt), Some(STOPS.to_owned())),
        HandlerEnd::Refused(refused) => return Conclusion::Refused(refused),
        HandlerEnd::Parked => return Conclusion::Parked,
    };
    let (settlement, too_large) = settlement.bounded(core.max_result);
    Conclusion::Settle {
        settlement,
        reason: too_large.or(reason),
    }
}

/// What becomes of a job whose handler was stopped because its worker ends: it goes back to be run by another, unless it
/// may be run only once.
fn stopped(attempt: &RunningAttempt) -> Settlement {
    if attempt.job.max_attempts > 1 || attempt.job.max_crashes > 1 {
        return release_now();
    }
    let message = format!(
        "the worker was stopped during attempt {}: the job is not run again, and its work may be partly done",
        attempt.job.attempt
    );
    Settlement::Retry {
        delay: Duration::ZERO,
        last: Outcome::Failed {
            error: serde_json::json!({ "code": -32603, "message": message }).to_string(),
            message: message.clone(),
        },
        message,
    }
}

pub(super) fn release_now() -> Settlement {
    Settlement::Release {
        delay: Duration::ZERO,
        message: None,
    }
}

fn failed(tool: &Tool, attempt: &RunningAttempt, failure: Failure) -> Settlement {
    match failure {
        Failure::Tool(result) => Settlement::Finish(completed(result)),
        Failure::Retry { message, last } => retry(tool, attempt, message, last),
        Failure::Rpc { code, message } => Settlement::Finish(Outcome::Failed {
            error: serde_json::json!({ "code": code, "message": message }).to_string(),
            message,
        }),
        Failure::Park { .. } => release_now(),
        Failure::Stopped => stopped(attempt),
        Failure::NotStarted { message } => not_started(tool, attempt, message),
    }
}

/// Gives back a job that could not be started, for a worker that has what its start needs. The delay grows as for a retry.
fn not_started(tool: &Tool, attempt: &RunningAttempt, message: String) -> Settlement {
    let attempts = attempt.job.attempt.0.saturating_sub(1);
    let delay = tool.definition.backoff.delay_ms(attempts, rand::random());
    let delay = Duration::from_millis(delay).max(jittered(SHORT_OF_SOMETHING));
    tracing::warn!(
        ?delay,
        "{message}; nothing of the job ran, and it is given back"
    );
    Settlement::Release {
        delay,
        message: Some(message),
    }
}

fn retry(tool: &Tool, attempt: &RunningAttempt, message: String, last: ToolResult) -> Settlement {
    let backoff = tool.definition.backoff;
    let delay = backoff.delay_ms(attempt.job.retries, rand::random());
    Settlement::Retry {
        delay: Duration::from_millis(delay),
        message,
        last: completed(last),
    }
}
