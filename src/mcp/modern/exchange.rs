//! One request, and all that is known of it.

use std::sync::Arc;

use crate::bridge::Bridge;
use crate::identity::Caller;
use crate::mcp::background::Background;
use crate::mcp::edge::Edge;
use crate::mcp::jsonrpc::Request;
use crate::mcp::modern::envelope::Envelope;
use crate::mcp::protocol::inbound::Facts;

/// The modern era on one front end.
#[derive(Debug)]
pub(in crate::mcp) struct Modern {
    pub(super) edge: Edge,
    pub(super) background: Arc<Background>,
}

/// A request of this era.
pub(super) struct Exchange<'a> {
    pub(super) era: &'a Modern,
    pub(super) caller: &'a Caller,
    pub(super) facts: &'a Facts<'a>,
    pub(super) envelope: &'a Envelope<'a>,
    pub(super) request: &'a Request<'a>,
}

impl<'a> Exchange<'a> {
    pub(super) fn bridge(&self) -> &'a Bridge {
        &self.era.edge.bridge
    }
}
