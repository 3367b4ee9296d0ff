//! A request that waits for a job.

use serde_json::value::RawValue;

use crate::bridge::{BridgeError, Watch};
use crate::identity::{Caller, Validity};
use crate::mcp::jsonrpc::RpcError;
use crate::mcp::protocol::answer::Answer;
use crate::mcp::protocol::log::LogTeller;
use crate::mcp::protocol::outgoing::Addressable;
use crate::mcp::protocol::progress::ProgressTeller;
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::wire;
use crate::mcp::wait::answers::{AsTask, Awaited, Deadline, OnDisconnect, Waiting};
use crate::mcp::wait::delivery::Delivery;

/// The error for a plain call that outlived its job's record.
const OUT_OF_TIME: &str =
    "nothing is left of the call: its time, which is its tool's ttl, ran out, or Redis lost it";

/// A request that waits for a job.
#[derive(Debug)]
pub(in crate::mcp) struct Wait<D> {
    /// Its id.
    pub(super) request: Box<RawValue>,
    pub(super) watch: Watch,
    pub(super) awaited: Awaited,
    pub(super) delivery: D,
    /// For how long its caller is known.
    pub(super) validity: Validity,
    /// What the client may be sent on the way.
    pub(super) client: Addressable,
    /// The progress the caller wants, if it does.
    pub(super) progress: Option<ProgressTeller>,
    /// The log the caller wants, if it does.
    pub(super) log: Option<LogTeller>,
    pub(super) on_disconnect: OnDisconnect,
    /// When it waits no longer, if that ever comes.
    pub(super) deadline: Option<Deadline>,
    /// How it is answered by a task, if its client takes one.
    pub(super) as_task: Option<AsTask>,
}

impl<D: Delivery> Wait<D> {
    /// A wait that sends nothing on the way, and has no deadline.
    pub(in crate::mcp) fn new(
        request: &RawValue,
        watch: Watch,
        awaited: Awaited,
        (client, delivery): (Addressable, D),
        caller: &Caller,
    ) -> Self {
        Self {
            request: request.to_owned(),
            watch,
            awaited,
            delivery,
            validity: caller.validity.clone(),
            client,
            progress: None,
            log: None,
            on_disconnect: OnDisconnect::Leave,
            deadline: None,
            as_task: None,
        }
    }

    /// Tells progress and log on the way.
    pub(in crate::mcp) fn telling(
        self,
        progress: Option<ProgressTeller>,
        log: Option<LogTeller>,
    ) -> Self {
        Self {
            progress,
            log,
            ..self
        }
    }

    /// Waits until a deadline at most.
    pub(in crate::mcp) fn until(self, deadline: Option<Deadline>) -> Self {
        Self { deadline, ..self }
    }

    /// Cancels the job when the client goes away.
    pub(in crate::mcp) fn cancelled_with_its_client(self) -> Self {
        Self {
            on_disconnect: OnDisconnect::Cancel,
            ..self
        }
    }

    /// May be answered by a task.
    pub(in crate::mcp) fn or_by_a_task(self, as_task: Option<AsTask>) -> Self {
        Self { as_task, ..self }
    }

    /// The answer if the job cannot be read.
    pub(super) fn refused(&self, error: BridgeError) -> Answer {
        let refusal = match (error, self.awaited.waiting) {
            (error @ BridgeError::NotFound, Waiting::Status) => {
                let text = wire::tool_error(&error.to_string());
                return (self.awaited.write)(&self.request, text);
            }
            (BridgeError::NotFound, Waiting::Call) => {
                Refusal::from(RpcError::internal(OUT_OF_TIME))
            }
            (error, Waiting::Call | Waiting::Task | Waiting::Status) => Refusal::from(error),
        };
        refusal.answer(&self.request)
    }
}
