//! The lines that say what ran: one for each attempt that ended, and one for each that was taken over from a worker that
//! fell silent. They hold neither arguments nor results.

use std::time::Duration;

use taskferry_contract::{DeliveredEntry, Expired, Job, Outcome, Refused};
use taskferry_process::telemetry::Took;

use crate::core::attempt::RunningAttempt;

/// The log target of these lines.
const ATTEMPT: &str = "attempt";

/// How an attempt ended, in the words of the documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttemptEnd {
    /// The job has its outcome.
    Finished(OutcomeWord),
    /// Another attempt is due after this time.
    Retried(Duration),
    /// No attempt is left.
    DeadLetter,
    /// The job waits for answers.
    Parked,
    /// Another worker runs it.
    GivenBack,
    /// It does not count any more.
    Refused(Refused),
    /// Its end could not be written to Redis.
    Left,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutcomeWord(&'static str);

impl From<&Outcome> for OutcomeWord {
    fn from(outcome: &Outcome) -> Self {
        Self(match outcome {
            Outcome::Completed {
                is_error: false, ..
            } => "completed",
            Outcome::Completed { is_error: true, .. } => "tool error",
            Outcome::Failed { .. } => "failed",
            Outcome::Cancelled { .. } => "cancelled",
        })
    }
}

impl AttemptEnd {
    /// Whether it was written to Redis, or need not be.
    pub(crate) fn is_stored(self) -> bool {
        self != Self::Left
    }

    fn word(self) -> &'static str {
        match self {
            Self::Finished(OutcomeWord(word)) => word,
            Self::Retried(_) => "will be retried",
            Self::DeadLetter => "dead letter",
            Self::Parked => "parked",
            Self::GivenBack => "given back",
            Self::Refused(Refused::Cancelled) => "cancelled",
            Self::Refused(Refused::LeaseLost) => "lost lease",
            Self::Refused(Refused::Gone) => "expired",
            Self::Refused(Refused::AlreadyTerminal) => "not needed",
            Self::Left => "left to its lease",
        }
    }
}

/// Logs how an attempt ended, how long its tool ran, and why it ended so. The reason holds no word of the caller or the tool.
pub(crate) fn ended(
    attempt: &RunningAttempt,
    ran: Duration,
    end: AttemptEnd,
    reason: Option<&str>,
) {
    let job = &attempt.job;
    let retry_in = match end {
        AttemptEnd::Retried(delay) => Some(tracing::field::display(Took(delay))),
        _ => None,
    };
    tracing::info!(
        target: ATTEMPT, parent: None, task = %job.id.digest(), tool = %job.tool, attempt = job.attempt.0,
        waited = %waited(job), ran = %Took(ran), outcome = end.word(), reason, retry_in, "ended"
    );
}

/// Logs the end of an attempt of which nothing ran, at `debug` if that happens again and again.
pub(crate) fn not_run(job: &Job, end: AttemptEnd, reason: &str, again_and_again: bool) {
    macro_rules! write {
        ($level:ident) => {
            tracing::$level!(
                target: ATTEMPT, parent: None, task = %job.id.digest(), tool = %job.tool,
                attempt = job.attempt.0, waited = %waited(job), ran = %Took(Duration::ZERO),
                outcome = end.word(), reason, "ended"
            )
        };
    }
    if again_and_again {
        write!(debug);
    } else {
        write!(info);
    }
}

/// Logs that a tool begins to run.
pub(crate) fn begun(job: &Job) {
    tracing::debug!(
        target: ATTEMPT, parent: None, task = %job.id.digest(), tool = %job.tool, attempt = job.attempt.0,
        waited = %waited(job), "begun"
    );
}

/// Logs that an attempt begins in the place of one whose worker fell silent.
pub(crate) fn taken_over(job: &Job) {
    if let Some(from) = &job.taken_from {
        tracing::info!(
            target: ATTEMPT, parent: None, task = %job.id.digest(), tool = %job.tool, attempt = job.attempt.0,
            waited = %waited(job), from = %from, crashes = job.crashes, "taken over"
        );
    }
}

/// Logs that the ttl of a job had passed when it was found in its queue.
pub(crate) fn expired(claimed: &DeliveredEntry, Expired { tool, begun }: &Expired) {
    let outcome = if *begun {
        "expired, an attempt may have begun"
    } else {
        "expired before it ran"
    };
    tracing::warn!(
        target: ATTEMPT, parent: None, task = %claimed.id.digest(), tool = %tool, queue = %claimed.queue,
        outcome, "expired"
    );
}

fn waited(job: &Job) -> Took {
    Took(Duration::from_millis(job.waited_ms))
}
