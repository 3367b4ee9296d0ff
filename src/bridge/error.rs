//! Why a use case could not be served.

use std::time::Duration;

use taskferry_contract::Error;
use taskferry_process::settings::format_duration;

/// Why a use case could not be served. Whoever speaks to the caller makes an answer of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BridgeError {
    /// Expired, never there, or another owner's.
    #[error("there is no such task: it expired, or never was")]
    NotFound,
    /// No more jobs fit.
    #[error(
        "the queue {queue:?} is full ({length} jobs): queue_cap of the front end is reached; try again later"
    )]
    QueueFull {
        /// The queue.
        queue: String,
        /// Its entries.
        length: u64,
    },
    /// No worker has had the tool for longer than calls of it are to wait.
    #[error(
        "no worker has had the tool {tool:?} for {long:?} or longer, so this call would only wait, and is refused (no_worker_refuse of the front end); try again later"
    )]
    NoWorker {
        /// The tool.
        tool: String,
        /// The setting.
        long: Duration,
    },
    /// It was to begin when its task is gone.
    #[error(
        "this call is not to begin before its task expires, {ttl_ms} ms after the call: let it begin sooner, or ask for a longer ttl"
    )]
    TooLate {
        /// The ttl of the task, ms.
        ttl_ms: u128,
    },
    /// The caller has too many.
    #[error(
        "you have {live} tasks that have not ended, which is the limit (owner_cap of the front end, or peer_share of its queue_cap); let some end or cancel them"
    )]
    OwnerLimit {
        /// Live jobs of the owner.
        live: u64,
    },
    /// The caller has stored too much.
    #[error(
        "your tasks take {stored} bytes with their results, and {most} is the limit (owner_bytes of the front end): wait until some expire, or send less"
    )]
    OwnerBytes {
        /// What they take.
        stored: u64,
        /// What they may.
        most: u64,
    },
    /// The tool takes no more calls now.
    #[error(
        "no more calls of {tool} are taken now: its rate is {rate}, and calls beyond it are refused; try again in {}",
        format_duration(rounded(*wait))
    )]
    RateUsedUp {
        /// The tool.
        tool: String,
        /// How many of its jobs begin in how long.
        rate: String,
        /// About so long it stays so.
        wait: Duration,
    },
    /// The caller has too many sessions.
    #[error(
        "you have {most} sessions, which is the limit (session_cap of the front end); end some (DELETE), or let them go unused"
    )]
    SessionLimit {
        /// How many one may have.
        most: u64,
    },
    /// There are as many sessions as there may be.
    #[error(
        "this server has as many sessions as it may (its setting max_sessions); try again later"
    )]
    SessionsFull,
    /// The idempotency key stands for another call.
    #[error(
        "this idempotency key was used for another call: repeat that call with the same tool and arguments, or use a new key"
    )]
    OtherCall,
    /// It was stored, but too few Redis replicas had it in time.
    #[error(
        "this was stored, but only {0} Redis replicas acknowledged it in time (durability and replica_timeout of the front end), so it may be lost again; send it again in a moment"
    )]
    NotReplicated(TooFew),
    /// A task was made, but too few Redis replicas had it in time.
    #[error(
        "the task was not accepted: only {0} Redis replicas acknowledged it in time (durability and replica_timeout of the front end); it was cancelled, but may have begun; call again in a moment"
    )]
    NotAccepted(TooFew),
    /// The store is out of memory.
    #[error("the task store is full; try again later")]
    StoreFull(#[source] Error),
    /// More than the store takes in one piece.
    #[error(
        "this is too large for the task store: {bytes} bytes in one piece are more than it takes"
    )]
    TooLarge {
        /// How large the piece is.
        bytes: usize,
        /// What the contract said.
        source: Error,
    },
    /// Others hold the memory that there is for results.
    #[error(
        "this server has no memory for a result of this size, since others are on their way (its setting result_memory); try again in a moment"
    )]
    NoRoom,
    /// The store cannot be reached, or failed.
    #[error("the task store cannot be reached; try again in a moment")]
    Unavailable(#[source] Error),
    /// The store holds or replied something unreadable.
    #[error("the task store cannot be read")]
    Broken(#[source] Error),
}

/// That fewer Redis replicas than wanted acknowledged something in time.
#[derive(Debug, thiserror::Error)]
#[error("{acknowledged} of {wanted}")]
pub(crate) struct TooFew {
    wanted: u8,
    acknowledged: u64,
    source: Error,
}

/// What callers are told of how long to wait: whole seconds, at least one.
pub(crate) fn rounded(wait: Duration) -> Duration {
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX))
}

impl BridgeError {
    /// What the store said, if it is the store that failed.
    fn failure(&self) -> Option<&Error> {
        match self {
            Self::NotFound
            | Self::QueueFull { .. }
            | Self::NoWorker { .. }
            | Self::OwnerLimit { .. }
            | Self::OwnerBytes { .. }
            | Self::RateUsedUp { .. }
            | Self::SessionLimit { .. }
            | Self::SessionsFull
            | Self::OtherCall
            | Self::TooLate { .. }
            | Self::NoRoom => None,
            Self::NotReplicated(too_few) | Self::NotAccepted(too_few) => Some(&too_few.source),
            Self::TooLarge { source, .. }
            | Self::StoreFull(source)
            | Self::Unavailable(source)
            | Self::Broken(source) => Some(source),
        }
    }

    /// For the log: what the store said, where callers get other words.
    pub(crate) fn sentence(&self) -> String {
        self.failure()
            .map_or_else(|| self.to_string(), Error::sentence)
    }

    /// Tells the log how the store failed, if it did: once, by whoever answers a caller with this.
    pub(crate) fn log(&self) {
        let Some(error) = self.failure() else {
            return;
        };
        match self {
            Self::StoreFull(_) => tracing::warn!(%error, "Redis is out of memory"),
            Self::NotReplicated(_) | Self::NotAccepted(_) => {
                tracing::warn!(%error, "too few Redis replicas");
            }
            Self::TooLarge { .. } => tracing::warn!(%error, "a request is too large for Redis"),
            Self::Broken(_) => tracing::error!(%error, "the contract is broken"),
            _ => tracing::warn!(%error, "Redis failed"),
        }
    }
}

impl From<Error> for BridgeError {
    fn from(error: Error) -> Self {
        if error.is_out_of_memory() {
            return Self::StoreFull(error);
        }
        match error {
            Error::NotReplicated {
                wanted,
                acknowledged,
                ..
            } => Self::NotReplicated(TooFew {
                wanted,
                acknowledged,
                source: error,
            }),
            Error::TooLarge { bytes, .. } => Self::TooLarge {
                bytes,
                source: error,
            },
            error if error.may_pass() => Self::Unavailable(error),
            error => Self::Broken(error),
        }
    }
}

/// Does what failed for a moment once more, at once. The first may have been done though it failed, so it must be something
/// that is the same done twice as done once.
pub(super) async fn retry_once<T, F>(what: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    match what().await {
        Err(error) if may_pass_at_once(&error) => {
            tracing::debug!(%error, "trying once more");
            what().await
        }
        outcome => outcome,
    }
}

fn may_pass_at_once(error: &Error) -> bool {
    error.is_transient()
        && !error.is_out_of_memory()
        && !matches!(error, Error::NotReplicated { .. })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn lost() -> Error {
        Error::Connection {
            during: "submit",
            reason: "no answer".to_owned(),
        }
    }

    fn unreplicated() -> Error {
        Error::NotReplicated {
            during: "submit",
            wanted: 2,
            acknowledged: 1,
        }
    }

    #[tokio::test]
    async fn what_may_pass_at_once_is_done_once_more() {
        for (fault, wanted) in [
            (lost as fn() -> Error, 2),
            (unreplicated, 1),
            (|| Error::Unsuitable("old".to_owned()), 1),
        ] {
            let done = Cell::new(0);
            let outcome = retry_once(|| async {
                done.set(done.get() + 1);
                Err::<(), Error>(fault())
            });
            assert!(outcome.await.is_err());
            assert_eq!(done.get(), wanted, "{}", fault());
        }
        let done = Cell::new(0);
        let second = retry_once(|| async {
            done.set(done.get() + 1);
            if done.get() == 1 { Err(lost()) } else { Ok(7) }
        });
        assert_eq!(second.await.unwrap(), 7);
    }
}
