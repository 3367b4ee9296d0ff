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
enum Written {
    /// Redis took it, or it is not needed any more.
    Yes(AttemptEnd),
    /// Redis will not take it, however often it is tried.
    Refused(Error),
    /// It was given up: the record has expired, or the worker ends at once.
    No,
}

/// Writes a settlement, again and again if Redis fails or the user may not, and says how the attempt ended by it. One that
/// Redis refuses for good, as a result that is too large for it, becomes an error that says so: the job ends, rather than
/// run again.
pub(crate) async fn settle(
    core: &Core,
    attempt: &RunningAttempt,
    settlement: &Settlement,
) -> AttemptEnd {
    let error = match write(core, attempt, settlement).await {
        Written::Yes(end) => return end,
        Written::No => return AttemptEnd::Left,
        Written::Refused(error) => error,
    };
    tracing::error!(%error, "Redis refuses the end of the attempt");
    let Some(less) = settlement.refused(&error) else {
        return AttemptEnd::Left;
    };
    match write(core, attempt, &less).await {
        Written::Yes(end) => end,
        Written::No => AttemptEnd::Left,
        Written::Refused(error) => {
            tracing::error!(%error, "Redis refuses that too; the job is left to its lease");
            AttemptEnd::Left
        }
    }
}

async fn write(core: &Core, attempt: &RunningAttempt, settlement: &Settlement) -> Written {
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
            core.wake.forwarder.notify_waiters();
            written(reply, |reply, repeated| retried(reply, repeated, *delay))
        }
        Settlement::Release { delay, message } => {
            let back = GiveBack {
                delay: *delay,
                message: message.as_deref(),
                ran: message.is_none(),
            };
            match release(core, hold, expires, back).await {
                AttemptEnd::Left => Written::No,
                end => Written::Yes(end),
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
            tracing::warn!("no attempt is left: a dead letter");
            AttemptEnd::DeadLetter
        }
        RetryReply::Refused(Refused::AlreadyTerminal) if repeated => AttemptEnd::DeadLetter,
        RetryReply::Refused(refused) => AttemptEnd::Refused(refused),
    }
}

fn written<T>(
    reply: Result<Persisted<T>, Option<Error>>,
    end: impl FnOnce(T, bool) -> AttemptEnd,
) -> Written {
    match reply {
        Ok(Persisted { reply, repeated }) => Written::Yes(end(reply, repeated)),
        Err(Some(error)) => Written::Refused(error),
        Err(None) => Written::No,
    }
}

/// Gives a job back until its open questions are answered; nothing if Redis does not take that.
pub(crate) async fn park(core: &Core, attempt: &RunningAttempt) -> Option<ParkReply> {
    let reply = persist(core, attempt.expires, || core.store.park(&attempt.hold));
    let reply = reply.await.map_err(left_to_its_lease).ok()?;
    Some(reply.reply)
}

/// How a job goes back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GiveBack<'a> {
    /// How long it stays away.
    pub(crate) delay: Duration,
    /// A status message for those who poll the task.
    pub(crate) message: Option<&'a str>,
    /// Whether anything of it ran.
    pub(crate) ran: bool,
}

/// How long a worker that stops waits for the end of its reads before it gives a job back all the same.
const READS_END: Duration = Duration::from_secs(1);

/// A worker that stops gives back once its reads have ended: one that is still under way would take the job again.
async fn until_no_read_takes_it(core: &Core) {
    if !core.is_stopping() {
        return;
    }
    tokio::select! {
        () = core.phase.read_no_more.cancelled() => {}
        () = core.phase.kill.cancelled() => {}
        () = tokio::time::sleep(READS_END) => {}
    }
}

/// Gives a job back.
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
    until_no_read_takes_it(core).await;
    let reply = persist(core, expires, move || async move {
        if ran {
            core.store.release_after_run(hold, delay, message).await
        } else {
            core.store.release_unrun(hold, delay, message).await
        }
    })
    .await;
    if !delay.is_zero() {
        core.wake.forwarder.notify_waiters();
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
            left_to_its_lease(error);
            AttemptEnd::Left
        }
    }
}

fn left_to_its_lease(error: Option<Error>) {
    if let Some(error) = error {
        tracing::error!(%error, "Redis refuses to take the job back; it is left to its lease");
    }
}

/// Repeats a call until Redis gives an answer. A call that failed may have run, which the fence makes harmless: the
/// repeated one is refused. There is no use in going on once the record must have expired; before that there is, even
/// past the lease, for a job that nobody else has claimed is still this attempt's.
///
/// The error is why Redis will never take it, or nothing if the call was given up.
pub(crate) async fn persist<T, F: Future<Output = Result<T, Error>>>(
    core: &Core,
    expires: Instant,
    call: impl Fn() -> F,
) -> Result<Persisted<T>, Option<Error>> {
    let mut pause = GrowingPause::default();
    let mut repeated = false;
    loop {
        match call().await {
            Ok(reply) => return Ok(Persisted { reply, repeated }),
            Err(error) if !error.may_pass() => return Err(Some(error)),
            Err(error) if Instant::now() < expires => {
                tracing::warn!(%error, "the end of the attempt could not be written; trying again");
            }
            Err(error) => {
                tracing::error!(%error, "the end of the attempt could not be written while its record lived");
                return Err(None);
            }
        }
        repeated = true;
        tokio::select! {
            () = pause.wait() => {}
            () = core.phase.kill.cancelled() => return Err(None),
        }
    }
}

/// What Redis answered at last.
pub(crate) struct Persisted<T> {
    pub(crate) reply: T,
    /// Whether the call was made before, and may have been done then.
    pub(crate) repeated: bool,
}
