//! What is written of the end of an attempt.

use std::time::Duration;

use taskferry_contract::{Error, Outcome};

use crate::result::ToolResult;

/// How an attempt ended, as far as its record goes.
#[derive(Debug)]
pub(crate) enum Settlement {
    /// With an outcome.
    Finish(Outcome),
    /// With an error that another attempt may not meet. `last` is stored if no attempt is left.
    Retry {
        delay: Duration,
        message: String,
        last: Outcome,
    },
    /// The attempt does not count, and the job goes back: at once if its handler was stopped; after a delay, with a status
    /// message, if it could not be started.
    Release {
        delay: Duration,
        message: Option<String>,
    },
}

impl Settlement {
    /// The same, with an outcome of at most `most` bytes. A larger one would fill the memory of Redis and of everyone who
    /// reads it, so it becomes a tool error that says so; then the log's reason comes with it.
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

    /// What to write in place of this, which Redis refused for good. `None` if there is nothing smaller to write.
    pub(super) fn replacement(&self, error: &Error) -> Option<Self> {
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

/// How much of a message is stored if Redis refused all of it, bytes.
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
