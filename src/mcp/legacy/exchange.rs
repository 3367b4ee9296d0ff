//! One request, and all that is known of it.

use std::sync::Arc;

use crate::bridge::Bridge;
use crate::identity::Caller;
use crate::mcp::background::Background;
use crate::mcp::edge::Edge;
use crate::mcp::jsonrpc::Request;
use crate::mcp::legacy::session::Opened;
use crate::mcp::legacy::sessions::Sessions;

/// The legacy era on one front end.
#[derive(Debug)]
pub(in crate::mcp) struct Legacy {
    pub(super) edge: Edge,
    pub(super) background: Arc<Background>,
    pub(super) sessions: Arc<Sessions>,
}

/// A request of this era.
#[derive(Clone, Copy)]
pub(super) struct Exchange<'a> {
    pub(super) era: &'a Legacy,
    pub(super) caller: &'a Caller,
    pub(super) session: &'a Opened,
    pub(super) request: &'a Request<'a>,
}

impl<'a> Exchange<'a> {
    pub(super) fn bridge(&self) -> &'a Bridge {
        &self.era.edge.bridge
    }
}
