//! Runs one job: claims it, runs its handler, and writes how it ended.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use taskferry_contract::{Delivery, Hold, Job, Outcome, ParkReply, Refused, Shard};
use tracing::Instrument as _;

use super::attempt::{Attempt, expires};
use super::backoff::jittered;
use super::ended::{End, ended};
use super::in_flight::Taken;
use super::settle::{self, Back, Settlement, completed, settle};
use super::slots::Permit;
use super::supervise::{Ending, supervise};
use super::{Runtime, Tool, claim, ended, heartbeat, misfit, progress};
use crate::exec::{ToolResult, timed_out};
use crate::handler::{Failure, ToolError};
use crate::output_schema;

/// Why the log says that a job was given back.
const STOPS: &str = "the worker is told to stop";

/// A job that could not be started waits so long at least, whatever the backoff of its tool.
const SHORT_OF_SOMETHING: Duration = Duration::from_secs(1);

/// Takes deliveries up, each on its own. Those beyond `permits` wait for a slot before they are claimed.
pub(crate) fn take_up(
    runtime: &Arc<Runtime>,
    shard: Shard,
    deliveries: Vec<Delivery>,
    mut permits: Option<Permit>,
) {
    for delivery in deliveries {
        let own = Arc::clone(runtime);
        match delivery {
            Delivery::Job(claimed) => {
                let Some(taken) = runtime.in_flight.take(claimed) else {
                    continue;
                };
                let permit = permits.as_mut().and_then(|permits| permits.split(1));
                let span = tracing::info_span!("job", task = %taken.claimed.id, attempt = tracing::field::Empty, tool = tracing::field::Empty);
                let job = async move { execute(&own, taken, permit).await };
                runtime.jobs.spawn(job.instrument(span));
            }
            Delivery::Unreadable {
                queue,
                entry,
                id,
                tool,
            } => {
                runtime.jobs.spawn(async move {
                    claim::bury(&own, (shard, &queue), &entry, (&id, &tool)).await;
                });
            }
        }
    }
}

async fn execute(runtime: &Arc<Runtime>, taken: Taken, permit: Option<Permit>) {
    let permit = match permit {
        Some(permit) => Some(permit),
        None => tokio::select! {
            permit = runtime.slots.acquire_now() => Some(permit),
            () = runtime.phase.stop.cancelled() => None,
        },
    };
    let Some(job) = claim::claim(runtime, &taken.claimed).await else {
        return;
    };
    tracing::Span::current()
        .record("attempt", job.attempt.0)
        .record("tool", tracing::field::display(&job.tool));
    let hold = Hold {
        claimed: taken.claimed.clone(),
        attempt: job.attempt,
        worker: runtime.worker.clone(),
    };
    match permit {
        Some(permit) if !runtime.is_stopping() => {
            Box::pin(attempt(runtime, hold, *job, &taken, permit)).await;
        }
        _ => give_back(runtime, &hold, &job).await,
    }
}

/// Gives back what was delivered although the worker begins nothing any more.
async fn give_back(runtime: &Runtime, hold: &Hold, job: &Job) {
    let back = Back {
        delay: Duration::ZERO,
        message: None,
        ran: false,
    };
    let end = settle::release(runtime, hold, expires(job), back).await;
    ended::not_run(job, end, STOPS, false);
    count(runtime, end.is_stored());
}

fn count(runtime: &Runtime, given: bool) {
    if given {
        runtime.ended.count_released();
    } else {
        runtime.ended.count_abandoned();
    }
}

async fn attempt(runtime: &Arc<Runtime>, hold: Hold, job: Job, taken: &Taken, permit: Permit) {
    let Some(tool) = runtime.tools.get(&job.tool) else {
        return misfit::unknown_tool(runtime, &hold, &job).await;
    };
    if let Some(checked) = misfit::other_definition(tool, &job) {
        return misfit::not_as_checked(runtime, &hold, &job, checked).await;
    }
    let arguments = RawValue::from_string(job.arguments.clone());
    let bell = Arc::clone(&taken.bell);
    let (arguments, readable) = match arguments {
        Ok(arguments) => (arguments, Ok(())),
        Err(error) => (RawValue::NULL.to_owned(), Err(error)),
    };
    let attempt = Arc::new(Attempt::new(hold, job, arguments, bell, permit));
    let work = async {
        let ending = match readable {
            Ok(()) => Box::pin(supervise(runtime, tool, &attempt)).await,
            Err(error) => Ending::Handler(Err(ToolError::tool(format!(
                "the arguments cannot be read: {error}"
            )))),
        };
        conclude(runtime, tool, &attempt, ending).await;
    };
    // The lease is kept until the end is written: a finish that is repeated needs it too.
    tokio::select! {
        biased;
        () = work => {}
        () = keep(heartbeat::keep(&attempt, runtime)) => {}
    }
    attempt.seat.leave();
}

/// Drives a loop beside something else, which decides when both end.
async fn keep(role: impl Future<Output = ()>) {
    role.await;
    std::future::pending::<()>().await;
}

/// What the end of a handler means for its job.
pub(crate) enum Conclusion {
    /// This is to be written, and whether its result is within the worker's bound is seen to. Why it ended so, in words that
    /// the log may show.
    Settle {
        settlement: Settlement,
        reason: Option<String>,
    },
    /// The job waits for the answers to its questions. If none is open and there is something `otherwise`, it ends with that.
    Park { otherwise: Option<ToolResult> },
    /// The job is parked already.
    Parked,
    /// Nothing of it counts.
    Refused(Refused),
}

/// Judges how a handler ended, and holds its result to what the tool and the worker promise.
pub(crate) async fn judge(
    runtime: &Runtime,
    tool: &Tool,
    attempt: &Attempt,
    ending: Ending,
) -> Conclusion {
    let (settlement, reason) = match ending {
        Ending::Handler(Ok(output)) => {
            let result = output_schema::hold(&runtime.offload, &tool.checks, output.0).await;
            let reason = result.cause.clone();
            (Settlement::Finish(completed(result)), reason)
        }
        Ending::Handler(Err(ToolError(Failure::Park { otherwise }))) => {
            return Conclusion::Park { otherwise };
        }
        Ending::Handler(Err(ToolError(failure))) => {
            let reason = failure.cause();
            (failed(tool, attempt, failure), reason)
        }
        Ending::Panicked => {
            let text = "the handler panicked".to_owned();
            let last = ToolResult::error(&text);
            (retry(tool, attempt, text.clone(), last), Some(text))
        }
        Ending::TimedOut => {
            let limit = Duration::from_millis(attempt.job.timeout_ms);
            let text = timed_out(limit);
            let result = ToolResult::error(&text);
            (Settlement::Finish(completed(result)), Some(text))
        }
        Ending::Halted => (stopped(attempt), Some(STOPS.to_owned())),
        Ending::Refused(refused) => return Conclusion::Refused(refused),
        Ending::Parked => return Conclusion::Parked,
    };
    let (settlement, too_large) = settlement.bounded(runtime.max_result);
    Conclusion::Settle {
        settlement,
        reason: too_large.or(reason),
    }
}

async fn conclude(runtime: &Runtime, tool: &Tool, attempt: &Attempt, ending: Ending) {
    let ran = attempt.began.elapsed();
    let (settlement, reason) = match judge(runtime, tool, attempt, ending).await {
        Conclusion::Settle { settlement, reason } => (settlement, reason),
        Conclusion::Park { otherwise } => {
            let (end, reason) = park(runtime, attempt, otherwise).await;
            return ended(attempt, ran, end, reason.as_deref());
        }
        Conclusion::Parked => return ended(attempt, ran, End::Parked, None),
        Conclusion::Refused(refused) => return ended(attempt, ran, End::Refused(refused), None),
    };
    if !matches!(settlement, Settlement::Release { .. }) {
        progress::flush(attempt, runtime).await;
    }
    let end = settle(runtime, attempt, &settlement).await;
    ended(attempt, ran, end, reason.as_deref());
    let given_back = matches!(settlement, Settlement::Release { .. }) && runtime.is_stopping();
    if given_back || !end.is_stored() {
        count(runtime, end.is_stored());
    }
}

/// What becomes of a job whose handler was stopped because its worker ends: it goes back to be run by another, unless it
/// may be run only once.
fn stopped(attempt: &Attempt) -> Settlement {
    if attempt.job.max_attempts > 1 || attempt.job.max_crashes > 1 {
        return release_now();
    }
    let message = format!(
        "the worker was stopped during attempt {}: the job is not run again, and its work may be done in part",
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

/// Parks the job. If no question is open, it ends with `otherwise`, or is run again at once.
async fn park(
    runtime: &Runtime,
    attempt: &Attempt,
    otherwise: Option<ToolResult>,
) -> (End, Option<String>) {
    progress::flush(attempt, runtime).await;
    match settle::park(runtime, attempt).await {
        Some(ParkReply::Parked) => (End::Parked, None),
        Some(ParkReply::Refused(refused)) => (End::Refused(refused), None),
        Some(ParkReply::Answered) => {
            let again = otherwise.is_none();
            let reason = match &otherwise {
                Some(result) => result.cause.clone(),
                None => Some("its questions are answered".to_owned()),
            };
            let finish = |result| Settlement::Finish(completed(result));
            let settlement = otherwise.map_or_else(release_now, finish);
            let end = settle(runtime, attempt, &settlement).await;
            if !end.is_stored() || (again && runtime.is_stopping()) {
                count(runtime, end.is_stored());
            }
            (end, reason)
        }
        None => {
            count(runtime, false);
            (End::Left, None)
        }
    }
}

fn release_now() -> Settlement {
    Settlement::Release {
        delay: Duration::ZERO,
        message: None,
    }
}

fn failed(tool: &Tool, attempt: &Attempt, failure: Failure) -> Settlement {
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

/// Gives back a job of which nothing ran, for whoever has what its start needs; later and later, as for a retry.
fn not_started(tool: &Tool, attempt: &Attempt, message: String) -> Settlement {
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

fn retry(tool: &Tool, attempt: &Attempt, message: String, last: ToolResult) -> Settlement {
    let backoff = tool.definition.backoff;
    let delay = backoff.delay_ms(attempt.job.retries, rand::random());
    Settlement::Retry {
        delay: Duration::from_millis(delay),
        message,
        last: completed(last),
    }
}
