//! The loops that keep jobs running, one role each, and how one attempt goes from its claim to its end.

pub(crate) mod cannot_run;
pub(crate) mod claim;
pub(crate) mod ended;
pub(crate) mod executor;
pub(crate) mod fetcher;
pub(crate) mod heartbeat;
pub(crate) mod janitor;
pub(crate) mod judge;
pub(crate) mod outside;
mod reads;
pub(crate) mod reporter;
pub(crate) mod settle;
pub(crate) mod settlement;
pub(crate) mod supervise;

use std::collections::HashMap;
use std::sync::Arc;

use taskferry_contract::{DefinitionDigest, ToolChecks, ToolDefinition, ToolName};

use crate::core::Core;
use crate::sdk::{EndsOutside, Handler};

/// A tool that this worker can run.
pub(crate) struct Tool {
    pub(crate) definition: ToolDefinition,
    /// The digest of the definition. A job whose arguments were checked against another definition is not run here.
    pub(crate) digest: DefinitionDigest,
    pub(crate) handler: Arc<dyn Handler>,
    /// Ends what other systems run for its jobs, if they do.
    pub(crate) outside: Option<Arc<dyn EndsOutside>>,
    /// The compiled schemas of its arguments and results.
    pub(crate) checks: ToolChecks,
}

/// A worker's tools, and what its loops share.
pub(crate) struct Runtime {
    pub(crate) core: Arc<Core>,
    pub(crate) tools: HashMap<ToolName, Tool>,
}
