//! Writes how an attempt ended.

use std::time::Duration;

use taskferry_contract::{Error, FinishReply, HeldAttempt, ParkReply, Refused, RetryReply};
use tokio::time::Instant;

use super::ended::AttemptEnd;
use super::settlement::Settlement;
use crate::core::Core;
use crate::core::attempt::RunningAttempt;
use crate::core::pause::GrowingPause;

/// How writing the end of an attempt went.
enum Write {
    /// Redis stored it, or it is not needed any more.
    Done(AttemptEnd),
    /// Redis will not take it, however often it is tried.
    RefusedByRedis(Error),
    /// It was not written: the record expired, the worker was killed, or Redis refuses to take the job back.
    GivenUp,
}

/// Writes the end of an attempt, and returns how the attempt ended. Tries again while Redis fails, or while the Redis user
/// lacks a permission. If Redis refuses it for good, for example because the result is too large, writes an error in its
/// place: otherwise the job would run again.
pub(crate) async fn settle(
    core: &Core,
    attempt: &RunningAttempt,
    settlement: &Settlement,
) -> AttemptEnd {
    let error = match write(core, attempt, settlement).await {
        Write::Done(end) => return end,
        Write::GivenUp => return AttemptEnd::Left,
        Write::RefusedByRedis(error) => error,
    };
    tracing::error!(%error, "Redis refuses to store the end of the attempt; storing an error instead");
    let Some(replacement) = settlement.replacement(&error) else {
        return AttemptEnd::Left;
    };
    match write(core, attempt, &replacement).await {
        Write::Done(end) => end,
        Write::GivenUp => AttemptEnd::Left,
        Write::RefusedByRedis(error) => {
            tracing::error!(%error, "Redis refuses to store that error too; another worker takes the job over when the lease ends");
            AttemptEnd::Left
        }
    }
}

async fn write(core: &Core, attempt: &RunningAttempt, settlement: &Settlement) -> Write {
    let (hold, expires) = (&attempt.hold, attempt.expires);
    match settlement {
        Settlement::Finish(outcome) => {
            let reply = persist(core, expires, || core.store.finish(hold, outcome)).await;
            written(reply, |reply, repeated| match reply {
                FinishReply::Refused(Refused::AlreadyTerminal) if repeated => {
                    AttemptEnd::Finished(outcome.into())
                }
                FinishReply::Refused(refused) => AttemptEnd::Refused(refused),
                FinishReply::Stored => AttemptEnd::Finished(outcome.into()),
            })
        }
        Settlement::Retry {
            delay,
            message,
            last,
        } => {
            let reply = persist(core, expires, || {
                core.store.schedule_retry(hold, *delay, message, last)
            })
            .await;
            core.housekeeping.nudge();
            written(reply, |reply, repeated| retried(reply, repeated, *delay))
        }
        Settlement::Release { delay, message } => {
            let back = GiveBack {
                delay: *delay,
                message: message.as_deref(),
                // Only a job that could not be started has a message.
                ran: message.is_none(),
            };
            match release(core, hold, expires, back).await {
                AttemptEnd::Left => Write::GivenUp,
                end => Write::Done(end),
            }
        }
    }
}

/// How an attempt ended by a planned retry. A repeated call is refused if the first one was done, so then a refusal means
/// success.
fn retried(reply: RetryReply, repeated: bool, delay: Duration) -> AttemptEnd {
    match reply {
        RetryReply::Scheduled { .. } => AttemptEnd::Retried(delay),
        RetryReply::Refused(Refused::LeaseLost) if repeated => AttemptEnd::Retried(delay),
        RetryReply::Dead => {
            tracing::warn!("no attempt is left; the job is a dead letter");
            AttemptEnd::DeadLetter
        }
        RetryReply::Refused(Refused::AlreadyTerminal) if repeated => AttemptEnd::DeadLetter,
        RetryReply::Refused(refused) => AttemptEnd::Refused(refused),
    }
}

fn written<T>(
    reply: Result<Persisted<T>, NotDone>,
    end: impl FnOnce(T, bool) -> AttemptEnd,
) -> Write {
    match reply {
        Ok(Persisted { reply, repeated }) => Write::Done(end(reply, repeated)),
        Err(NotDone::Refused(error)) => Write::RefusedByRedis(error),
        Err(NotDone::GivenUp) => Write::GivenUp,
    }
}

/// Gives a job back until its open questions are answered. `None` if it could not be parked.
pub(crate) async fn park(core: &Core, attempt: &RunningAttempt) -> Option<ParkReply> {
    let reply = persist(core, attempt.expires, || core.store.park(&attempt.hold));
    let reply = reply.await.map_err(log_not_taken_back).ok()?;
    Some(reply.reply)
}

/// How to queue a job again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GiveBack<'a> {
    /// After which time it is due.
    pub(crate) delay: Duration,
    /// A status message for those who poll the task.
    pub(crate) message: Option<&'a str>,
    /// Whether its handler had begun.
    pub(crate) ran: bool,
}

/// A stopping worker gives back jobs once its own reads have ended. It waits no longer than this for them.
const READS_END: Duration = Duration::from_secs(1);

/// When the worker stops, waits until its fetchers read no more. A read that still runs would get the job that is given
/// back.
async fn wait_for_own_reads_to_end(core: &Core) {
    if !core.is_stopping() {
        return;
    }
    tokio::select! {
        () = core.phase.read_no_more.cancelled() => {}
        () = core.phase.kill.cancelled() => {}
        () = tokio::time::sleep(READS_END) => {}
    }
}

/// Queues the job again, and returns how the attempt ended.
pub(crate) async fn release(
    core: &Core,
    hold: &HeldAttempt,
    expires: Instant,
    back: GiveBack<'_>,
) -> AttemptEnd {
    let GiveBack {
        delay,
        message,
        ran,
    } = back;
    wait_for_own_reads_to_end(core).await;
    let reply = persist(core, expires, move || async move {
        if ran {
            core.store.release_after_run(hold, delay, message).await
        } else {
            core.store.release_unrun(hold, delay, message).await
        }
    })
    .await;
    if !delay.is_zero() {
        core.housekeeping.nudge();
    }
    match reply {
        Ok(Persisted {
            reply: FinishReply::Refused(Refused::LeaseLost),
            repeated: true,
        })
        | Ok(Persisted {
            reply: FinishReply::Stored,
            ..
        }) => AttemptEnd::GivenBack,
        Ok(Persisted {
            reply: FinishReply::Refused(refused),
            ..
        }) => AttemptEnd::Refused(refused),
        Err(error) => {
            log_not_taken_back(error);
            AttemptEnd::Left
        }
    }
}

fn log_not_taken_back(error: NotDone) {
    if let NotDone::Refused(error) = error {
        tracing::error!(%error, "Redis refuses to take the job back; another worker takes it over when the lease ends");
    }
}

/// Repeats a call until Redis gives an answer. A call that failed may have run, which the fence makes harmless: the
/// repeated one is refused. Stops when the record must have expired. It goes on past the end of the lease: until another
/// worker claims the job, it still belongs to this attempt.
pub(crate) async fn persist<T, F: Future<Output = Result<T, Error>>>(
    core: &Core,
    expires: Instant,
    call: impl Fn() -> F,
) -> Result<Persisted<T>, NotDone> {
    let mut pause = GrowingPause::default();
    let mut repeated = false;
    loop {
        match call().await {
            Ok(reply) => return Ok(Persisted { reply, repeated }),
            Err(error) if !error.may_pass() => return Err(NotDone::Refused(error)),
            Err(error) if Instant::now() < expires => {
                tracing::warn!(%error, "a call to Redis failed; trying again");
            }
            Err(error) => {
                tracing::error!(%error, "a call to Redis failed until the record expired; giving up");
                return Err(NotDone::GivenUp);
            }
        }
        repeated = true;
        tokio::select! {
            () = pause.wait() => {}
            () = core.phase.kill.cancelled() => return Err(NotDone::GivenUp),
        }
    }
}

/// Why a call was not done.
#[derive(Debug)]
pub(crate) enum NotDone {
    /// Redis refuses it for good.
    Refused(Error),
    /// The record expired before Redis answered, or the worker was killed.
    GivenUp,
}

/// The reply, and whether it took more than one try.
pub(crate) struct Persisted<T> {
    pub(crate) reply: T,
    /// Whether the call was made before, and may have been done then.
    pub(crate) repeated: bool,
}
