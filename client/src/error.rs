//! What can go wrong between a client and a server. An answer that is an error of the protocol is none of these.

use std::net::SocketAddr;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No HTTP client could be made.
    #[error("there is no HTTP client")]
    NoClient(#[source] reqwest::Error),
    /// A header has a character that HTTP has not.
    #[error("the header {0:?} cannot be sent")]
    Header(String),
    /// The request did not get through, or nothing came back in time.
    #[error("the request was not answered")]
    Unanswered(#[source] reqwest::Error),
    /// The answer ended early, or did not come in time.
    #[error("the answer was cut short")]
    CutShort(#[source] reqwest::Error),
    /// The stream ended, and the answer did not come.
    #[error("the stream ended before the answer")]
    NoAnswer,
    /// A message is not JSON.
    #[error("a message is not JSON: {text}")]
    NotJson {
        /// The message.
        text: String,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// initialize was answered without a session, or not at all.
    #[error("initialize opened no session: {0}")]
    NoSession(String),
    /// Nobody listens.
    #[error("{address} cannot be reached")]
    Unreachable {
        /// The server.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[from] std::io::Error),
    /// The server closed the connection before it had answered.
    #[error("the server closed the connection")]
    Closed,
    /// The answer is longer than a load expects.
    #[error("an answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The head of the answer is not HTTP.
    #[error("the head of an answer cannot be read")]
    BadHead,
    /// The answer does not say how long it is, as a stream does not.
    #[error("an answer without length, as a stream is; the work took too long:\n{0}")]
    NoLength(String),
    /// The status is not 200.
    #[error("the server answered {head}\n{body}")]
    Refused {
        /// Status and headers.
        head: String,
        /// The body.
        body: String,
    },
}
