//! Runs the handler of an attempt and stops it when it must end.

use std::sync::Arc;
use std::time::Duration;

use taskferry_contract::{ParkReply, Refused};
use tokio::task::JoinError;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::{Tool, reporter};
use crate::core::Core;
use crate::core::attempt::RunningAttempt;
use crate::sdk::{Failure, HandlerResult, JobContext, ToolError};

/// Parking failed because an answer had just come. How long to wait for that answer before parking is tried again.
const ANSWER_COMES: Duration = Duration::from_millis(100);
/// How long to wait until a dropped handler is gone. One that blocks its thread takes longer, and is left behind.
const ABORT: Duration = Duration::from_secs(1);

/// How the run of a handler ended.
pub(crate) enum HandlerEnd {
    /// It ended by itself.
    Handler(HandlerResult),
    /// It panicked.
    Panicked,
    /// Its time was up.
    TimedOut,
    /// The attempt may not write any more: its result does not count.
    Refused(Refused),
    /// The worker shuts down.
    Halted,
    /// It waited for an answer for too long, and its job was parked.
    Parked,
}

/// Why the worker tells a handler to stop.
enum StopReason {
    TimedOut,
    Refused(Refused),
    Halted,
    Parked,
    /// Its job is parked, or given back if its questions are answered, once it has stopped.
    Park,
}

/// Runs the handler until it ends, or must be stopped.
pub(crate) async fn supervise(
    core: &Arc<Core>,
    tool: &Tool,
    attempt: &Arc<RunningAttempt>,
) -> HandlerEnd {
    let context = JobContext::new(Arc::clone(attempt), Arc::clone(core));
    let handler = Arc::clone(&tool.handler);
    let future = async move { handler.run(context).await };
    let mut handler = AbortOnDropHandle::new(core.handlers.spawn(future.in_current_span()));
    let stop = tokio::select! {
        biased;
        refused = attempt.refused() => StopReason::Refused(refused),
        ended = &mut handler => return ended.into(),
        () = core.phase.halt.cancelled() => StopReason::Halted,
        () = core.phase.kill.cancelled() => StopReason::Halted,
        () = attempt.clock.expired() => StopReason::TimedOut,
        stop = park(core, tool, attempt) => stop,
        never = reporter::run(attempt) => match never {},
    };
    attempt.cancel.cancel();
    // A handler that is parked at once waits in `ask`, where it has nothing to clean up.
    let grace = match stop {
        StopReason::Parked => Duration::ZERO,
        StopReason::Park => tool.handler.park_grace(),
        _ => tool.handler.stop_grace(),
    };
    let ended = tokio::select! {
        ended = timeout(grace, &mut handler) => ended.ok(),
        () = core.phase.kill.cancelled() => None,
    };
    if ended.is_none() {
        // It must be gone before another attempt can begin.
        handler.abort();
        let _ended_or_blocked = timeout(ABORT, &mut handler).await;
    }
    match (stop, ended) {
        (StopReason::TimedOut, _) => HandlerEnd::TimedOut,
        (StopReason::Refused(refused), _) => HandlerEnd::Refused(refused),
        (StopReason::Parked, _) => HandlerEnd::Parked,
        // It ended by itself within the grace.
        (StopReason::Halted | StopReason::Park, Some(Ok(Ok(output)))) => {
            HandlerEnd::Handler(Ok(output))
        }
        (StopReason::Park, _) => {
            let otherwise = None;
            HandlerEnd::Handler(Err(ToolError(Failure::Park { otherwise })))
        }
        (StopReason::Halted, _) => HandlerEnd::Halted,
    }
}

impl From<Result<HandlerResult, JoinError>> for HandlerEnd {
    fn from(joined: Result<HandlerResult, JoinError>) -> Self {
        match joined {
            Ok(Err(ToolError(Failure::Stopped))) => Self::Halted,
            Ok(result) => Self::Handler(result),
            Err(_panic) => Self::Panicked,
        }
    }
}

/// Waits until the job was parked, or until it is time to park it and the handler must clean up first. A handler that has
/// its answers but finds no slot here for as long is stopped too: its job goes to a worker that has one.
async fn park(core: &Core, tool: &Tool, attempt: &RunningAttempt) -> StopReason {
    loop {
        let (bound, stop) = (core.park_after, &core.phase.stop);
        tokio::select! {
            () = attempt.clock.waited(bound, stop) => {}
            () = attempt.clock.crowded_out(bound, stop) => return StopReason::Park,
        }
        if !tool.handler.park_grace().is_zero() {
            return StopReason::Park;
        }
        match attempt.relay.park(&attempt.hold).await {
            Ok(ParkReply::Parked) => return StopReason::Parked,
            Ok(ParkReply::Answered) => attempt.bell.notify_one(),
            Ok(ParkReply::Refused(refused)) => attempt.refuse(refused),
            Err(error) => tracing::warn!(%error, "the job could not be parked; trying again"),
        }
        sleep(ANSWER_COMES).await;
    }
}
