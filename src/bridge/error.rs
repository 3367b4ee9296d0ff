//! Why a use case could not be served.

use taskferry_contract::Error;

/// What the edge turns into an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BridgeError {
    /// Expired, never there, or another owner's.
    #[error("there is no such task: it expired, or never was")]
    NotFound,
    /// No more jobs fit.
    #[error("the queue {queue:?} is full ({length} jobs); try again later")]
    QueueFull {
        /// The queue.
        queue: String,
        /// Its entries.
        length: u64,
    },
    /// The caller has too many.
    #[error(
        "you have {live} tasks that have not ended, which is the limit; let some end or cancel them"
    )]
    OwnerLimit {
        /// Live jobs of the owner.
        live: u64,
    },
    /// The idempotency key stands for another call.
    #[error(
        "this idempotency key was used for another call: repeat that call with the same tool and arguments, or use a new key"
    )]
    OtherCall,
    /// The store is out of memory.
    #[error("the task store is full; try again later")]
    StoreFull,
    /// The store cannot be reached, or failed.
    #[error("the task store cannot be reached; try again in a moment")]
    Unavailable(#[source] Error),
    /// The store holds or replied something unreadable.
    #[error("the task store cannot be read")]
    Broken(#[source] Error),
}

impl From<Error> for BridgeError {
    fn from(error: Error) -> Self {
        if error.is_out_of_memory() {
            tracing::warn!(%error, "Redis is out of memory");
            return Self::StoreFull;
        }
        if error.is_transient() {
            tracing::warn!(%error, "Redis failed");
            return Self::Unavailable(error);
        }
        tracing::error!(%error, "the contract is broken");
        Self::Broken(error)
    }
}
