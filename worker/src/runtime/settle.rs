//! Writes how an attempt ended.

use std::time::Duration;

use taskferry_contract::{Error, FinishReply, Hold, Outcome, ParkReply, Refused, RetryReply};
use tokio::time::Instant;

use super::Runtime;
use super::attempt::Attempt;
use super::backoff::Backoff;
use super::ended::End;
use crate::exec::ToolResult;

/// How an attempt ended, as far as its record goes.
#[derive(Debug)]
pub(crate) enum Settlement {
    /// With an outcome.
    Finish(Outcome),
    /// In an error that another attempt may not have; with what is stored if there is none left.
    Retry {
        delay: Duration,
        message: String,
        last: Outcome,
    },
    /// Not at all: the job goes back, since its handler was stopped, or after a delay with a line for pollers, since nothing of
    /// it could be run.
    Release {
        delay: Duration,
        message: Option<String>,
    },
}

impl Settlement {
    /// The same, with an outcome of at most `most` bytes: one that is larger would be everyone's memory, so it becomes a
    /// tool error that says so. Then also why, for the log.
    pub(crate) fn bounded(self, most: usize) -> (Self, Option<String>) {
        let mut reason = None;
        let mut bound = |outcome: Outcome| {
            let bytes = match &outcome {
                Outcome::Completed { result, .. } => result.len(),
                Outcome::Failed { error, .. } => error.len(),
                Outcome::Cancelled { .. } => return outcome,
            };
            if bytes <= most {
                return outcome;
            }
            let text = format!(
                "the result is too large: {bytes} bytes of JSON, and the worker stores up to {most} (its setting max_result)"
            );
            let error = completed(ToolResult::error(&text));
            reason = Some(text);
            error
        };
        let bounded = match self {
            Self::Finish(outcome) => Self::Finish(bound(outcome)),
            Self::Retry {
                delay,
                message,
                last,
            } => Self::Retry {
                delay,
                message,
                last: bound(last),
            },
            Self::Release { .. } => self,
        };
        (bounded, reason)
    }

    /// What is written in place of this, which Redis refused for good; nothing if there is nothing smaller to write.
    fn refused(&self, error: &Error) -> Option<Self> {
        let text = match error {
            Error::TooLarge { bytes, .. } => format!(
                "the result is too large for this Redis: {bytes} bytes in one piece (proto-max-bulk-len or client-query-buffer-limit of Redis)"
            ),
            // Details are the operator's.
            _ => "the result could not be stored: Redis refused it".to_owned(),
        };
        let instead = completed(ToolResult::error(&text));
        match self {
            Self::Finish(_) => Some(Self::Finish(instead)),
            Self::Retry { delay, message, .. } => Some(Self::Retry {
                delay: *delay,
                message: start_of(message),
                last: instead,
            }),
            Self::Release { .. } => None,
        }
    }
}

/// So much of a message is stored where all of it was refused, bytes.
const MESSAGE_START: usize = 1024;

fn start_of(message: &str) -> String {
    let mut end = message.len().min(MESSAGE_START);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.get(..end).unwrap_or_default().to_owned()
}

/// A tool's result, as an outcome.
pub(crate) fn completed(result: ToolResult) -> Outcome {
    Outcome::Completed {
        result: Box::<str>::from(result.result).into(),
        is_error: result.is_error,
        message: result.summary.filter(|_| result.is_error),
    }
}

/// How writing the end of an attempt went.
enum Written {
    /// Redis took it, or it is not needed any more.
    Yes(End),
    /// Redis will not take it, however often it is tried.
    Refused(Error),
    /// It was given up: the record has expired, or the worker ends at once.
    No,
}

/// Writes a settlement, again and again if Redis fails or the user may not, and says how the attempt ended by it. One that
/// Redis refuses for good, as a result that is too large for it, becomes an error that says so: the job ends, rather than
/// run again.
pub(crate) async fn settle(runtime: &Runtime, attempt: &Attempt, settlement: &Settlement) -> End {
    let error = match write(runtime, attempt, settlement).await {
        Written::Yes(end) => return end,
        Written::No => return End::Left,
        Written::Refused(error) => error,
    };
    tracing::error!(%error, "Redis refuses the end of the attempt");
    let Some(less) = settlement.refused(&error) else {
        return End::Left;
    };
    match write(runtime, attempt, &less).await {
        Written::Yes(end) => end,
        Written::No => End::Left,
        Written::Refused(error) => {
            tracing::error!(%error, "Redis refuses that too; the job is left to its lease");
            End::Left
        }
    }
}

async fn write(runtime: &Runtime, attempt: &Attempt, settlement: &Settlement) -> Written {
    let (hold, expires) = (&attempt.hold, attempt.expires);
    match settlement {
        Settlement::Finish(outcome) => {
            let reply = persist(runtime, expires, || runtime.store.finish(hold, outcome)).await;
            written(reply, |reply, repeated| match reply {
                FinishReply::Refused(Refused::AlreadyTerminal) if repeated => {
                    End::Finished(outcome.into())
                }
                FinishReply::Refused(refused) => End::Refused(refused),
                FinishReply::Stored => End::Finished(outcome.into()),
            })
        }
        Settlement::Retry {
            delay,
            message,
            last,
        } => {
            let reply = persist(runtime, expires, || {
                runtime.store.schedule_retry(hold, *delay, message, last)
            })
            .await;
            runtime.wake.forwarder.notify_waiters();
            written(reply, |reply, repeated| retried(reply, repeated, *delay))
        }
        Settlement::Release { delay, message } => {
            let back = Back {
                delay: *delay,
                message: message.as_deref(),
                ran: message.is_none(),
            };
            match release(runtime, hold, expires, back).await {
                End::Left => Written::No,
                end => Written::Yes(end),
            }
        }
    }
}

/// A call that was repeated is refused if the first one was done.
fn retried(reply: RetryReply, repeated: bool, delay: Duration) -> End {
    match reply {
        RetryReply::Scheduled { .. } => End::Retried(delay),
        RetryReply::Refused(Refused::LeaseLost) if repeated => End::Retried(delay),
        RetryReply::Dead => {
            tracing::warn!("no attempt is left: a dead letter");
            End::DeadLetter
        }
        RetryReply::Refused(Refused::AlreadyTerminal) if repeated => End::DeadLetter,
        RetryReply::Refused(refused) => End::Refused(refused),
    }
}

fn written<T>(
    reply: Result<Persisted<T>, Option<Error>>,
    end: impl FnOnce(T, bool) -> End,
) -> Written {
    match reply {
        Ok(Persisted { reply, repeated }) => Written::Yes(end(reply, repeated)),
        Err(Some(error)) => Written::Refused(error),
        Err(None) => Written::No,
    }
}

/// Gives a job back until its open questions are answered; nothing if Redis does not take that.
pub(crate) async fn park(runtime: &Runtime, attempt: &Attempt) -> Option<ParkReply> {
    let reply = persist(runtime, attempt.expires, || {
        runtime.store.park(&attempt.hold)
    });
    let reply = reply.await.map_err(left_to_its_lease).ok()?;
    Some(reply.reply)
}

/// How a job goes back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Back<'a> {
    /// How long it stays away.
    pub(crate) delay: Duration,
    /// A line for pollers.
    pub(crate) message: Option<&'a str>,
    /// Whether anything of it ran.
    pub(crate) ran: bool,
}

/// How long a worker that stops waits for the end of its reads before it gives a job back all the same.
const READS_END: Duration = Duration::from_secs(1);

/// A worker that stops gives back once its reads have ended: one that is still under way would take the job again.
async fn until_no_read_takes_it(runtime: &Runtime) {
    if !runtime.is_stopping() {
        return;
    }
    tokio::select! {
        () = runtime.phase.read_no_more.cancelled() => {}
        () = runtime.phase.kill.cancelled() => {}
        () = tokio::time::sleep(READS_END) => {}
    }
}

/// Gives a job back.
pub(crate) async fn release(
    runtime: &Runtime,
    hold: &Hold,
    expires: Instant,
    back: Back<'_>,
) -> End {
    let Back {
        delay,
        message,
        ran,
    } = back;
    until_no_read_takes_it(runtime).await;
    let reply = persist(runtime, expires, move || async move {
        if ran {
            runtime.store.release(hold, delay, message).await
        } else {
            runtime.store.give_back(hold, delay, message).await
        }
    })
    .await;
    if !delay.is_zero() {
        runtime.wake.forwarder.notify_waiters();
    }
    match reply {
        Ok(Persisted {
            reply: FinishReply::Refused(Refused::LeaseLost),
            repeated: true,
        })
        | Ok(Persisted {
            reply: FinishReply::Stored,
            ..
        }) => End::GivenBack,
        Ok(Persisted {
            reply: FinishReply::Refused(refused),
            ..
        }) => End::Refused(refused),
        Err(error) => {
            left_to_its_lease(error);
            End::Left
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
/// Errors are why Redis will never take it; none if it was given up.
pub(crate) async fn persist<T, F: Future<Output = Result<T, Error>>>(
    runtime: &Runtime,
    expires: Instant,
    call: impl Fn() -> F,
) -> Result<Persisted<T>, Option<Error>> {
    let mut backoff = Backoff::default();
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
            () = backoff.wait() => {}
            () = runtime.phase.kill.cancelled() => return Err(None),
        }
    }
}

/// What Redis answered at last.
pub(crate) struct Persisted<T> {
    pub(crate) reply: T,
    /// Whether the call was made before, and may have been done then.
    pub(crate) repeated: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(settlement: Settlement) -> (String, bool) {
        match settlement {
            Settlement::Finish(Outcome::Completed {
                result, is_error, ..
            })
            | Settlement::Retry {
                last:
                    Outcome::Completed {
                        result, is_error, ..
                    },
                ..
            } => (result, is_error),
            other => panic!("not completed: {other:?}"),
        }
    }

    #[test]
    fn an_outcome_beyond_the_bound_becomes_an_error_that_says_so() {
        let text = |bytes: usize| completed(ToolResult::text(&"x".repeat(bytes)));
        let (result, is_error) = stored(Settlement::Finish(text(900)).bounded(1024).0);
        assert!(!is_error && result.contains("xxx"));
        let retry = Settlement::Retry {
            delay: Duration::ZERO,
            message: "later".to_owned(),
            last: text(2000),
        };
        let failed = Outcome::Failed {
            error: "x".repeat(2000),
            message: "no".to_owned(),
        };
        for settlement in [
            Settlement::Finish(text(2000)),
            Settlement::Finish(failed),
            retry,
        ] {
            let (result, is_error) = stored(settlement.bounded(1024).0);
            assert!(is_error && result.len() < 1024, "{result}");
            assert!(result.contains("max_result") && result.contains("1024"));
        }
    }
}
