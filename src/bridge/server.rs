//! Whether Redis can be used: before anything is served, and from then on.

use taskferry_contract::{Durability, Error, Installed, Replaces, Role, Store};
use tokio::sync::Notify;

/// What a check of Redis found.
#[derive(Debug)]
pub(crate) enum Found {
    /// It can be used.
    Fit,
    /// It did not answer, or not for now: this may pass.
    Away(Error),
    /// It cannot be used until somebody changes it.
    Unfit(Error),
}

/// Checks Redis as a whole.
#[derive(Debug)]
pub(crate) struct Server {
    store: Store,
    connected: Notify,
}

impl Server {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            connected: Notify::new(),
        }
    }

    /// There is a new connection: Redis may have been started again, and may have lost anything.
    pub(super) fn note_connected(&self) {
        self.connected.notify_one();
    }

    /// Resolves once there was a new connection since this resolved last. For one who waits.
    pub(crate) async fn connected(&self) {
        self.connected.notified().await;
    }

    /// Checks everything that must be right before a front end begins: the server, what it keeps on disk, the contract's
    /// version, and every transition.
    pub(crate) async fn examine(&self, level: Durability) -> Found {
        match self.examined(level).await {
            Ok(()) => Found::Fit,
            Err(error) if self.store.connections().should_wait(&error) => Found::Away(error),
            Err(error) => Found::Unfit(error),
        }
    }

    async fn examined(&self, level: Durability) -> Result<(), Error> {
        self.store.check_server(Role::FrontEnd, &[]).await?;
        for note in self.store.check_durability(level).await? {
            tracing::warn!("{note}");
        }
        self.store.ready().await
    }

    /// Checks whether a server that was found fit still is: others may have begun to use another version of the contract,
    /// and a Redis that lost its data has it again after this.
    pub(crate) async fn agree(&self) -> Found {
        match self.store.agree_version().await {
            Ok(_version) => Found::Fit,
            Err(error @ Error::Unsuitable(_)) => Found::Unfit(error),
            Err(error) => Found::Away(error),
        }
    }

    /// Puts the library of functions there, for workers in other languages.
    pub(crate) async fn install_functions(&self, replaces: Replaces) -> Result<Installed, Error> {
        self.store.install_functions(replaces).await
    }

    /// Whether requests can be served: Redis answers, knows every transition, and is used with a contract that this program
    /// keeps. If not, says why.
    pub(crate) async fn ready(&self) -> Result<(), String> {
        self.store.ready().await.map_err(|error| {
            tracing::warn!(%error, "not ready");
            error.sentence()
        })
    }
}
