//! Sessions of clients that keep one, stored so that any front end serves them.

mod requests;
mod streams;

use std::time::Duration;

use taskferry_contract::{LogLevel, Session, SessionId, Store};

use super::BridgeError;
pub(crate) use requests::SessionRequests;
pub(crate) use streams::SessionStreams;

/// Opens, finds and ends sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    store: Store,
}

impl Sessions {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Opens a session that ends when it is not used for `idle`.
    pub(crate) async fn open(
        &self,
        session: &Session,
        idle: Duration,
    ) -> Result<SessionId, BridgeError> {
        Ok(self.store.open_session(session, idle).await?)
    }

    /// A session, whoever opened it. `None` if it ended.
    pub(crate) async fn find(&self, id: SessionId) -> Result<Option<Session>, BridgeError> {
        Ok(self.store.session(id).await?)
    }

    /// Lets a session live for `idle` from now. One that ended stays ended.
    pub(crate) async fn touch(&self, id: SessionId, idle: Duration) -> Result<(), BridgeError> {
        Ok(self.store.touch_session(id, idle).await?)
    }

    /// Ends a session, if it has not ended.
    pub(crate) async fn end(&self, id: SessionId) -> Result<(), BridgeError> {
        self.store.end_session(id).await?;
        Ok(())
    }

    /// Sets from which level on a session gets its jobs' log lines, if it has not ended.
    pub(crate) async fn set_log_level(
        &self,
        id: SessionId,
        level: LogLevel,
    ) -> Result<(), BridgeError> {
        self.store.set_session_level(id, level).await?;
        Ok(())
    }
}
