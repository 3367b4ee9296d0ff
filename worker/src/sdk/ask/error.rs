//! Why a question has no answer.

use taskferry_contract::Unreadable;

/// The longest key of a question.
pub(super) const LONGEST_KEY: usize = 64;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The client did not say that it can be asked this, so it was not asked.
    #[error("the client cannot be asked: it does not declare the capability {capability}")]
    NotDeclared {
        /// The capability that it would have to declare.
        capability: &'static str,
    },
    /// The client answered with a JSON-RPC error.
    #[error("the client answered with an error: {message} ({code})")]
    Client {
        /// The error's code.
        code: i64,
        /// The error's message.
        message: String,
    },
    /// No client is asked by this method.
    #[error(
        "a client cannot be asked by {0}: use elicitation/create, sampling/createMessage or roots/list"
    )]
    UnknownMethod(String),
    /// The URL is no web page.
    #[error("the client is not asked to open this: {0}")]
    Url(String),
    /// The key is not valid.
    #[error("{0:?} cannot be the key of a question: write 1 to {LONGEST_KEY} of A-Z a-z 0-9 _ . -")]
    Key(String),
    /// The attempt must stop: the task was cancelled, or another attempt holds it.
    #[error("the attempt was stopped before the answer came")]
    Stopped,
    /// The answer is not JSON.
    #[error("the answer cannot be read: {0}")]
    Answer(#[source] serde_json::Error),
    /// The question or its answer is JSON that not every client can read.
    #[error("the question or its answer cannot be used: {0}")]
    Unreadable(#[source] Unreadable),
    /// Redis failed for good.
    #[error("the question could not be put: {0}")]
    Store(#[source] taskferry_contract::Error),
}
