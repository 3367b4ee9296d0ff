//! Why a request is answered with an error.

use serde_json::value::RawValue;

use crate::bridge::{BridgeError, rounded};
use crate::mcp::jsonrpc::RpcError;
use crate::mcp::protocol::answer::{Answer, RefusalKind};

/// After how many seconds a caller may try again if there was no room for its job, if no worker has its tool, and if the store
/// did not answer.
const ROOM_AGAIN: u16 = 5;
const WORKER_AGAIN: u16 = 30;
const STORE_AGAIN: u16 = 1;

/// A request that is answered with an error.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: RefusalKind,
    pub(crate) error: RpcError,
    /// When it may be tried again, s.
    pub(crate) retry_after: Option<u16>,
    /// All scopes that it needs, if the caller lacks some of them.
    needs: Vec<String>,
    /// How much it names that is not there.
    pub(crate) not_there: u32,
    /// The use case that failed; it is logged when this becomes an answer.
    failed: Option<Box<BridgeError>>,
}

impl Refusal {
    pub(crate) fn new(kind: RefusalKind, error: RpcError) -> Self {
        Self {
            kind,
            error,
            retry_after: None,
            needs: Vec::new(),
            not_there: u32::from(kind == RefusalKind::NoSession),
            failed: None,
        }
    }

    /// For a request that lacks a part that every request must have, or has a wrong one.
    pub(crate) fn malformed(error: RpcError) -> Self {
        Self::new(RefusalKind::Malformed, error)
    }

    /// For a request that may be tried again after so many seconds.
    pub(crate) fn unavailable(text: impl Into<String>, after: u16) -> Self {
        Self {
            retry_after: Some(after),
            ..Self::new(RefusalKind::Unavailable, RpcError::internal(text))
        }
    }

    /// For a request that needs these scopes, some of which its caller lacks.
    pub(crate) fn lacks_scopes(needs: Vec<String>) -> Self {
        let text = format!(
            "this needs a token with the scopes {}, some of which yours lacks",
            needs.join(" ")
        );
        Self {
            needs,
            ..Self::new(RefusalKind::LacksScopes, RpcError::invalid_request(text))
        }
    }

    pub(crate) fn answer(self, id: &RawValue) -> Answer {
        self.log();
        Answer {
            retry_after: self.retry_after,
            needs: self.needs,
            not_there: self.not_there,
            ..Answer::error(self.kind, Some(id), &self.error)
        }
    }

    /// The error if there is no request to answer: it has no id.
    pub(crate) fn of_no_request(self) -> Answer {
        self.log();
        let kind = match self.kind {
            RefusalKind::InExchange => RefusalKind::Malformed,
            kind => kind,
        };
        Answer {
            retry_after: self.retry_after,
            needs: self.needs,
            not_there: self.not_there,
            ..Answer::error(kind, None, &self.error)
        }
    }

    fn log(&self) {
        if let Some(failed) = &self.failed {
            failed.log();
        }
    }
}

impl From<RpcError> for Refusal {
    fn from(error: RpcError) -> Self {
        Self::new(RefusalKind::InExchange, error)
    }
}

/// The one place where a use case's failure becomes a JSON-RPC error.
impl From<BridgeError> for Refusal {
    fn from(error: BridgeError) -> Self {
        let text = error.to_string();
        let refusal = match &error {
            BridgeError::NotFound => Self {
                not_there: 1,
                ..Self::from(RpcError::invalid_params(text))
            },
            BridgeError::OtherCall | BridgeError::TooLate { .. } => {
                Self::from(RpcError::invalid_params(text))
            }
            BridgeError::TooLarge { .. } => {
                Self::new(RefusalKind::TooLarge, RpcError::invalid_params(text))
            }
            BridgeError::QueueFull { .. }
            | BridgeError::SessionsFull
            | BridgeError::StoreFull(_) => Self::unavailable(text, ROOM_AGAIN),
            BridgeError::NoWorker { .. } => Self::unavailable(text, WORKER_AGAIN),
            BridgeError::OwnerLimit { .. }
            | BridgeError::OwnerBytes { .. }
            | BridgeError::SessionLimit { .. } => Self {
                kind: RefusalKind::TooMany,
                ..Self::unavailable(text, ROOM_AGAIN)
            },
            BridgeError::RateUsedUp { wait, .. } => {
                let after = rounded(*wait).as_secs();
                Self {
                    kind: RefusalKind::TooMany,
                    ..Self::unavailable(text, u16::try_from(after).unwrap_or(u16::MAX))
                }
            }
            BridgeError::NotReplicated(_)
            | BridgeError::NotAccepted(_)
            | BridgeError::NoRoom
            | BridgeError::Unavailable(_) => Self::unavailable(text, STORE_AGAIN),
            BridgeError::Broken(_) => Self::new(RefusalKind::Broken, RpcError::internal(text)),
        };
        Self {
            failed: Some(Box::new(error)),
            ..refusal
        }
    }
}
