//! Writes how an attempt ended.

use std::time::Duration;

use taskferry_contract::{Error, FinishReply, Hold, Outcome, ParkReply, RetryReply};
use tokio::time::Instant;

use super::Runtime;
use super::attempt::Attempt;
use super::backoff::Backoff;
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
    /// Not at all: the job goes back, at once or after a delay with a line for pollers.
    Release {
        delay: Duration,
        message: Option<String>,
    },
}

impl Settlement {
    /// The same, with an outcome of at most `most` bytes: one that is larger would be everyone's memory, so it becomes a
    /// tool error that says so.
    pub(crate) fn bounded(self, most: usize) -> Self {
        let bound = |outcome: Outcome| {
            let bytes = match &outcome {
                Outcome::Completed { result, .. } => result.len(),
                Outcome::Failed { error, .. } => error.len(),
                Outcome::Cancelled { .. } => return outcome,
            };
            if bytes <= most {
                return outcome;
            }
            tracing::warn!(bytes, most, "the result is too large");
            let text = format!(
                "the result is too large: {bytes} bytes of JSON, and the worker stores up to {most} (max_result)"
            );
            completed(ToolResult::error(&text))
        };
        match self {
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
        }
    }
}

/// A tool's result, as an outcome.
pub(crate) fn completed(result: ToolResult) -> Outcome {
    Outcome::Completed {
        result: Box::<str>::from(result.result).into(),
        is_error: result.is_error,
        message: result.summary.filter(|_| result.is_error),
    }
}

/// Writes a settlement, again and again if Redis fails. True if Redis took it, or refused it for good.
pub(crate) async fn settle(runtime: &Runtime, attempt: &Attempt, settlement: &Settlement) -> bool {
    let (hold, expires) = (&attempt.hold, attempt.expires);
    match settlement {
        Settlement::Finish(outcome) => {
            let reply = persist(runtime, expires, || runtime.store.finish(hold, outcome)).await;
            reply.inspect(log_finish).is_some()
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
            reply.inspect(|reply| log_retry(reply, message)).is_some()
        }
        Settlement::Release { delay, message } => {
            release(runtime, hold, expires, *delay, message.as_deref()).await
        }
    }
}

/// Gives a job back until its open questions are answered; nothing if Redis does not answer.
pub(crate) async fn park(runtime: &Runtime, attempt: &Attempt) -> Option<ParkReply> {
    persist(runtime, attempt.expires, || {
        runtime.store.park(&attempt.hold)
    })
    .await
}

/// Gives a job back; true if Redis took it, or refused it for good.
pub(crate) async fn release(
    runtime: &Runtime,
    hold: &Hold,
    expires: Instant,
    delay: Duration,
    message: Option<&str>,
) -> bool {
    let reply = persist(runtime, expires, || {
        runtime.store.release(hold, delay, message)
    })
    .await;
    if !delay.is_zero() {
        runtime.wake.forwarder.notify_waiters();
    }
    match reply {
        Some(FinishReply::Stored) => tracing::info!(?delay, "released"),
        Some(FinishReply::Refused(refused)) => tracing::info!(?refused, "nothing to release"),
        None => {}
    }
    reply.is_some()
}

/// Repeats a call until Redis gives an answer. A call that failed may have run, which the fence makes harmless: the
/// repeated one is refused. There is no use in going on once the record must have expired; before that there is, even
/// past the lease, for a job that nobody else has claimed is still this attempt's.
async fn persist<T, F: Future<Output = Result<T, Error>>>(
    runtime: &Runtime,
    expires: Instant,
    call: impl Fn() -> F,
) -> Option<T> {
    let mut backoff = Backoff::default();
    loop {
        match call().await {
            Ok(reply) => return Some(reply),
            Err(error) if error.is_transient() && Instant::now() < expires => {
                tracing::warn!(%error, "the end of the attempt could not be written; trying again");
            }
            Err(error) => {
                tracing::error!(%error, "the end of the attempt could not be written; it is left to its lease");
                return None;
            }
        }
        tokio::select! {
            () = backoff.wait() => {}
            () = runtime.phase.kill.cancelled() => return None,
        }
    }
}

fn log_finish(reply: &FinishReply) {
    match reply {
        FinishReply::Stored => tracing::debug!("finished"),
        // After a repeated call this is the success of the first one.
        FinishReply::Refused(refused) => tracing::info!(?refused, "the outcome was not needed"),
    }
}

fn log_retry(reply: &RetryReply, message: &str) {
    match reply {
        RetryReply::Scheduled { .. } => tracing::info!(%message, "another attempt is scheduled"),
        RetryReply::Dead => tracing::warn!(%message, "no attempt is left: a dead letter"),
        RetryReply::Refused(refused) => tracing::info!(?refused, "the retry was not needed"),
    }
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
        let (result, is_error) = stored(Settlement::Finish(text(900)).bounded(1024));
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
            let (result, is_error) = stored(settlement.bounded(1024));
            assert!(is_error && result.len() < 1024, "{result}");
            assert!(result.contains("max_result") && result.contains("1024"));
        }
    }
}
