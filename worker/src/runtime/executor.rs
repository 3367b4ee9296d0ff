//! Runs one job: claims it, runs its handler, and writes how it ended.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use taskferry_contract::{Delivery, HeldAttempt, Job, ParkReply};
use tracing::Instrument as _;

use super::ended::{AttemptEnd, ended};
use super::judge::{Conclusion, STOPS, judge, release_now};
use super::settle::{self, GiveBack, settle};
use super::settlement::{Settlement, completed};
use super::supervise::{HandlerEnd, supervise};
use super::{Runtime, Tool, cannot_run, claim, ended, heartbeat, reporter};
use crate::core::Core;
use crate::core::attempt::{Beginning, RunningAttempt, expires};
use crate::core::in_flight::EntryInFlight;
use crate::core::slots::{Permit, StartPermit};
use crate::result::ToolResult;
use crate::sdk::ToolError;

/// Begins the work on each delivery. Those for which there is no permit wait for a worker slot before they are claimed.
pub(crate) fn take_up(
    runtime: &Arc<Runtime>,
    deliveries: Vec<Delivery>,
    mut permits: Option<StartPermit>,
) {
    for delivery in deliveries {
        let own = Arc::clone(runtime);
        match delivery {
            Delivery::Job(claimed) => {
                let Some(taken) = runtime.core.in_flight.take(claimed) else {
                    continue;
                };
                let permit = permits.as_mut().and_then(|permits| permits.split(1));
                let span = tracing::info_span!("job", task = %taken.claimed.id.digest(), attempt = tracing::field::Empty, tool = tracing::field::Empty);
                let job = async move { execute(&own, taken, permit).await };
                runtime.core.jobs.spawn(job.instrument(span));
            }
            Delivery::Unreadable(found) => {
                let bury = async move { claim::bury(&own.core, &found).await };
                runtime.core.jobs.spawn(bury);
            }
        }
    }
}

async fn execute(runtime: &Arc<Runtime>, taken: EntryInFlight, permit: Option<StartPermit>) {
    let permit = match permit {
        Some(permit) => Some(permit),
        None => tokio::select! {
            permit = runtime.core.slots.acquire_start_now(&taken.claimed.queue) => Some(permit),
            () = runtime.core.phase.stop.cancelled() => None,
        },
    };
    let Some(job) = claim::claim(&runtime.core, &taken.claimed).await else {
        return;
    };
    tracing::Span::current()
        .record("attempt", job.attempt.0)
        .record("tool", tracing::field::display(&job.tool));
    let hold = HeldAttempt {
        claimed: taken.claimed.clone(),
        attempt: job.attempt,
        worker: runtime.core.worker.clone(),
    };
    match permit {
        Some(permit) if !runtime.core.is_stopping() => {
            let (permit, _begun) = permit.begin(&runtime.core.quota);
            Box::pin(attempt(runtime, hold, *job, &taken, permit)).await;
        }
        _ => give_back(&runtime.core, &hold, &job).await,
    }
}

/// Gives back what was delivered although the worker begins nothing any more.
async fn give_back(core: &Core, hold: &HeldAttempt, job: &Job) {
    let back = GiveBack {
        delay: Duration::ZERO,
        message: None,
        ran: false,
    };
    let end = settle::release(core, hold, expires(job), back).await;
    ended::not_run(job, end, STOPS, false);
    core.ended.count(end.is_stored());
}

async fn attempt(
    runtime: &Arc<Runtime>,
    hold: HeldAttempt,
    job: Job,
    taken: &EntryInFlight,
    permit: Permit,
) {
    let core = &runtime.core;
    let Some(tool) = runtime.tools.get(&job.tool) else {
        return cannot_run::unknown_tool(core, &hold, &job).await;
    };
    if let Some(checked) = cannot_run::other_definition(tool, &job) {
        return cannot_run::not_as_checked(core, &hold, &job, checked).await;
    }
    ended::begun(&job);
    let arguments = RawValue::from_string(job.arguments.as_str().to_owned());
    let (arguments, readable) = match arguments {
        Ok(arguments) => (arguments, Ok(())),
        Err(error) => (RawValue::NULL.to_owned(), Err(error)),
    };
    let attempt = Arc::new(RunningAttempt::new(Beginning {
        hold,
        job,
        arguments,
        bell: Arc::clone(&taken.bell),
        permit,
        relay: Arc::new(core.store.clone()),
    }));
    let work = async {
        let end = match readable {
            Ok(()) => Box::pin(supervise(core, tool, &attempt)).await,
            Err(error) => HandlerEnd::Handler(Err(ToolError::tool(format!(
                "the arguments cannot be read: {error}"
            )))),
        };
        conclude(core, tool, &attempt, end).await;
    };
    // The lease is kept until the end is written: a finish that is repeated needs it too.
    tokio::select! {
        biased;
        () = work => {}
        () = keep(heartbeat::keep(&attempt, core)) => {}
    }
    attempt.slot.give_back();
}

/// Runs a loop and never ends: what runs beside it decides when both end.
async fn keep(role: impl Future<Output = ()>) {
    role.await;
    std::future::pending::<()>().await;
}

async fn conclude(core: &Core, tool: &Tool, attempt: &RunningAttempt, end: HandlerEnd) {
    let ran = attempt.began.elapsed();
    let (settlement, reason) = match judge(core, tool, attempt, end).await {
        Conclusion::Settle { settlement, reason } => (settlement, reason),
        Conclusion::Park { otherwise } => {
            let (end, reason) = park(core, attempt, otherwise).await;
            return ended(attempt, ran, end, reason.as_deref());
        }
        Conclusion::Parked => return ended(attempt, ran, AttemptEnd::Parked, None),
        Conclusion::Refused(refused) => {
            return ended(attempt, ran, AttemptEnd::Refused(refused), None);
        }
    };
    if !matches!(settlement, Settlement::Release { .. }) {
        reporter::flush(attempt).await;
    }
    let end = settle(core, attempt, &settlement).await;
    ended(attempt, ran, end, reason.as_deref());
    let given_back = matches!(settlement, Settlement::Release { .. }) && core.is_stopping();
    if given_back || !end.is_stored() {
        core.ended.count(end.is_stored());
    }
}

/// Parks the job. If no question is open, it ends with `otherwise`, or is run again at once.
async fn park(
    core: &Core,
    attempt: &RunningAttempt,
    otherwise: Option<ToolResult>,
) -> (AttemptEnd, Option<String>) {
    reporter::flush(attempt).await;
    match settle::park(core, attempt).await {
        Some(ParkReply::Parked) => (AttemptEnd::Parked, None),
        Some(ParkReply::Refused(refused)) => (AttemptEnd::Refused(refused), None),
        Some(ParkReply::Answered) => {
            let again = otherwise.is_none();
            let reason = match &otherwise {
                Some(result) => result.cause.clone(),
                None => Some("its questions are answered".to_owned()),
            };
            let finish = |result| Settlement::Finish(completed(result));
            let settlement = otherwise.map_or_else(release_now, finish);
            let end = settle(core, attempt, &settlement).await;
            if !end.is_stored() || (again && core.is_stopping()) {
                core.ended.count(end.is_stored());
            }
            (end, reason)
        }
        None => {
            core.ended.count(false);
            (AttemptEnd::Left, None)
        }
    }
}
