//! Runs the handler of an attempt and stops it when it must end.

use std::sync::Arc;
use std::time::Duration;

use taskferry_contract::{ParkReply, Refused};
use tokio::task::JoinError;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::attempt::Attempt;
use super::{Runtime, Tool, progress};
use crate::context::JobContext;
use crate::handler::{Failure, HandlerResult, ToolError};

/// Between two looks at a parking that was met by an answer.
const ANSWER_COMES: Duration = Duration::from_millis(100);
/// How long a handler that was dropped may take to be gone; one that blocks its thread is not waited for.
const ABORT: Duration = Duration::from_secs(1);

/// How the run of a handler ended.
pub(crate) enum Ending {
    /// By itself.
    Handler(HandlerResult),
    /// By a panic.
    Panicked,
    /// Its time was up.
    TimedOut,
    /// Its word no longer counts.
    Refused(Refused),
    /// The worker shuts down.
    Halted,
    /// It waits for an answer too long to hold on to it.
    Parked,
}

/// Why a handler is told to stop.
enum Stop {
    TimedOut,
    Refused(Refused),
    Halted,
    Parked,
    /// Its job is parked, or given back if its questions are answered, once it has stopped.
    Park,
}

/// Runs the handler until it ends, or must.
pub(crate) async fn supervise(
    runtime: &Arc<Runtime>,
    tool: &Tool,
    attempt: &Arc<Attempt>,
) -> Ending {
    let context = JobContext::new(Arc::clone(attempt), Arc::clone(runtime));
    let handler = Arc::clone(&tool.handler);
    let future = async move { handler.run(context).await };
    let mut handler = AbortOnDropHandle::new(runtime.handlers.spawn(future.in_current_span()));
    let stop = tokio::select! {
        biased;
        refused = attempt.refused() => Stop::Refused(refused),
        ended = &mut handler => return ended.into(),
        () = runtime.phase.halt.cancelled() => Stop::Halted,
        () = runtime.phase.kill.cancelled() => Stop::Halted,
        () = attempt.clock.expired() => Stop::TimedOut,
        stop = park(runtime, tool, attempt) => stop,
        never = progress::run(attempt, runtime) => match never {},
    };
    attempt.cancel.cancel();
    // A parked handler waits in `ask`, where it has nothing to tidy up.
    let grace = match stop {
        Stop::Parked => Duration::ZERO,
        Stop::Park => tool.handler.park_grace(),
        _ => tool.handler.stop_grace(),
    };
    let ended = tokio::select! {
        ended = timeout(grace, &mut handler) => ended.ok(),
        () = runtime.phase.kill.cancelled() => None,
    };
    if ended.is_none() {
        // It must be gone before another attempt can begin.
        handler.abort();
        let _ended_or_blocked = timeout(ABORT, &mut handler).await;
    }
    match (stop, ended) {
        (Stop::TimedOut, _) => Ending::TimedOut,
        (Stop::Refused(refused), _) => Ending::Refused(refused),
        (Stop::Parked, _) => Ending::Parked,
        // It came to its end within the grace after all.
        (Stop::Halted | Stop::Park, Some(Ok(Ok(output)))) => Ending::Handler(Ok(output)),
        (Stop::Park, _) => {
            let otherwise = None;
            Ending::Handler(Err(ToolError(Failure::Park { otherwise })))
        }
        (Stop::Halted, _) => Ending::Halted,
    }
}

impl From<Result<HandlerResult, JoinError>> for Ending {
    fn from(joined: Result<HandlerResult, JoinError>) -> Self {
        match joined {
            Ok(Err(ToolError(Failure::Stopped))) => Self::Halted,
            Ok(result) => Self::Handler(result),
            Err(_panic) => Self::Panicked,
        }
    }
}

/// Waits until the job was parked, or until it is time for that and the handler has something to tidy up before. One
/// that has its answers and finds no slot here for as long is given up too: it goes to whichever worker has one.
async fn park(runtime: &Runtime, tool: &Tool, attempt: &Attempt) -> Stop {
    loop {
        let (bound, stop) = (runtime.park_after, &runtime.phase.stop);
        tokio::select! {
            () = attempt.clock.waited(bound, stop) => {}
            () = attempt.clock.crowded_out(bound, stop) => return Stop::Park,
        }
        if !tool.handler.park_grace().is_zero() {
            return Stop::Park;
        }
        match runtime.relay.park(&attempt.hold).await {
            Ok(ParkReply::Parked) => return Stop::Parked,
            Ok(ParkReply::Answered) => attempt.bell.notify_one(),
            Ok(ParkReply::Refused(refused)) => attempt.refuse(refused),
            Err(error) => tracing::warn!(%error, "the job could not be parked; trying again"),
        }
        sleep(ANSWER_COMES).await;
    }
}
