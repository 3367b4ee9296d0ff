//! A session, and what its revision and its client know.

use taskferry_contract::{Session, SessionId};

use crate::mcp::protocol::LEGACY_WITH_TASKS;
use crate::mcp::protocol::outgoing::{Addressable, Method};

/// A live session and its id.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) id: SessionId,
    pub(super) session: Session,
}

impl Opened {
    /// Whether the session's revision has tasks.
    pub(super) fn has_tasks(&self) -> bool {
        self.session.revision == LEGACY_WITH_TASKS
    }

    /// Whether the client itself has to do with tasks. Its revision alone does not say so.
    pub(super) fn knows_tasks(&self) -> bool {
        self.client().by(Method::TaskStatus)
    }

    /// By what its client may be addressed.
    pub(super) fn client(&self) -> Addressable {
        Addressable::new(&self.session.revision, &self.session.capabilities)
    }
}
