//! What every part of `mcp` needs of the front end that it runs in.

pub(super) mod stopping;

use std::sync::Arc;
use std::time::Duration;

use taskferry_process::Budget;
use tokio_util::task::TaskTracker;

use crate::bridge::Bridge;
use stopping::Stopping;

/// How the protocol is served.
#[derive(Debug, Clone)]
pub(crate) struct McpSettings {
    /// A legacy session ends when it is not used for this long.
    pub(crate) session_idle: Duration,
    /// A call that takes longer than this becomes a stream.
    pub(crate) stream_after: Duration,
    /// A call by a client that knows no tasks goes on in the background after this wait; never if absent.
    pub(crate) handle_after: Option<Duration>,
    /// The `instructions` of this server for models, if any.
    pub(crate) instructions: Option<String>,
    /// What all events that wait to be sent may take together, bytes.
    pub(crate) event_memory: usize,
}

/// The protocol's side of one front end. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Edge {
    pub(super) bridge: Bridge,
    pub(super) settings: Arc<McpSettings>,
    /// For events that wait to be sent.
    pub(super) event_memory: Budget,
    /// Work that outlives the request that began it.
    pub(super) tracker: TaskTracker,
    pub(super) stopping: Stopping,
}
