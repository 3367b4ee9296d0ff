//! Sessions of clients that keep one, stored so that any front end serves them.

mod requests;
mod streams;

use std::net::IpAddr;
use std::time::Duration;

use taskferry_contract::{
    Holder, LogLevel, Owner, Session, SessionId, SessionLimits, SessionRoom, Store,
};

use super::BridgeError;
pub(crate) use requests::SessionRequests;
pub(crate) use streams::SessionStreams;

/// Opens, finds and ends sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    store: Store,
    limits: SessionLimits,
}

impl Sessions {
    pub(super) fn new(store: Store, limits: SessionLimits) -> Self {
        Self { store, limits }
    }

    /// Opens a session that ends when it is not used for `idle`, if its caller, who calls from `address`, has not too many.
    pub(crate) async fn open(
        &self,
        session: &Session,
        address: Option<IpAddr>,
        idle: Duration,
    ) -> Result<SessionId, BridgeError> {
        let (id, address) = (SessionId::random(), text(address));
        let holder = Holder::of(&session.owner, address.as_deref());
        let counted = self.store.count_session(id, holder, self.limits, idle);
        match counted.await? {
            SessionRoom::Free => {}
            SessionRoom::HolderIsFull => {
                return Err(BridgeError::SessionLimit {
                    most: self.limits.of_holder,
                });
            }
            SessionRoom::AllAreTaken => return Err(BridgeError::SessionsFull),
        }
        self.store.open_session(id, session, idle).await?;
        Ok(id)
    }

    /// A session, whoever opened it. `None` if it ended.
    pub(crate) async fn find(&self, id: SessionId) -> Result<Option<Session>, BridgeError> {
        Ok(self.store.session(id).await?)
    }

    /// Lets a session live for `idle` from now. One that ended stays ended.
    pub(crate) async fn touch(&self, id: SessionId, idle: Duration) -> Result<(), BridgeError> {
        Ok(self.store.touch_session(id, idle).await?)
    }

    /// The same for a session that makes a request, from `address`: it counts for so long, too. One that lives by what waits
    /// alone is counted as an open request.
    pub(crate) async fn use_again(
        &self,
        id: SessionId,
        (owner, address): (&Owner, Option<IpAddr>),
        idle: Duration,
    ) -> Result<(), BridgeError> {
        self.store.touch_session(id, idle).await?;
        let address = text(address);
        let holder = Holder::of(owner, address.as_deref());
        // One that was counted no more lives on, even if there is no room for it now.
        let counted = self.store.count_session(id, holder, self.limits, idle);
        Ok(counted.await.map(drop)?)
    }

    /// Ends a session, if it has not ended.
    pub(crate) async fn end(
        &self,
        id: SessionId,
        (owner, address): (&Owner, Option<IpAddr>),
    ) -> Result<(), BridgeError> {
        if self.store.end_session(id).await? {
            let address = text(address);
            let holder = Holder::of(owner, address.as_deref());
            self.store.uncount_session(id, holder).await?;
        }
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

fn text(address: Option<IpAddr>) -> Option<String> {
    address.map(|address| address.to_string())
}
