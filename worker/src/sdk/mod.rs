//! What a handler is written with: its context, its questions, its results and errors.

pub(crate) mod ask;
mod asking;
mod context;
mod error;
mod handler;
mod output;
mod outside;

pub(crate) use crate::core::awaiting::AwaitingAnswer;
pub use ask::{AskError, AskRequest};
pub use context::JobContext;
pub(crate) use error::Failure;
pub use error::ToolError;
pub use handler::{Handler, HandlerFuture};
pub use output::{HandlerResult, ToolOutput};
pub(crate) use outside::{EndsOutside, OutsideFuture};
