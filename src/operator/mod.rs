//! What operators ask and do: how queues, workers and Redis stand, which tools there are, what is paused, what became of dead letters, and
//! whether Redis can be trusted. Everything here returns values and prints nothing: the command line shows them.

mod dead;
mod examination;
mod held;
mod overview;
mod pauses;
mod refused;
mod seen;
#[cfg(test)]
mod tests;
mod tools;
mod unlike;

use std::time::Duration;

use taskferry_contract::{Error, Installed, RedisSettings, Replaces, Store};

use crate::bridge::GOOD_FOR;
pub(crate) use dead::{DeadLetters, LetterDetail, LetterName, Prepared, Ready, Retrier, Revival};
pub(crate) use held::HeldDefinitions;
pub(crate) use overview::Overview;
pub(crate) use pauses::{Pausing, Resumed};
pub(crate) use seen::SeenWorker;
pub(crate) use tools::{Listing, Registered, Standing, Tools, read_definition};

/// The use cases of operators, on one Redis.
#[derive(Debug)]
pub(crate) struct Operator {
    store: Store,
    /// Where Redis is, as it was set, without user and password.
    url: String,
}

impl Operator {
    /// Nothing is connected before it is used. Fails if the address cannot be used.
    pub(crate) fn new(redis: &RedisSettings) -> Result<Self, Error> {
        Ok(Self {
            store: Store::new(redis)?,
            url: redis.shown_url(),
        })
    }

    /// The same with nothing but an address.
    pub(crate) fn at(url: &str) -> Result<Self, Error> {
        Self::new(&RedisSettings::new(url))
    }

    /// How Redis, queues and workers stand at one moment, or nearly so.
    pub(crate) async fn overview(&self) -> Result<Overview, Error> {
        Overview::read(&self.store).await
    }

    /// The registered tools.
    pub(crate) fn tools(&self) -> Tools<'_> {
        Tools::new(&self.store)
    }

    /// The dead letters: jobs that no worker will attempt again.
    pub(crate) fn dead_letters(&self) -> DeadLetters<'_> {
        DeadLetters::new(&self.store)
    }

    /// Queues and tools that are paused.
    pub(crate) fn pausing(&self) -> Pausing<'_> {
        Pausing::new(&self.store)
    }

    /// Gives front ends a new secret to sign with. What the old one signed is taken for as long as it would have been good,
    /// or, if it leaked, no more (`now`).
    pub(crate) async fn rotate_secret(&self, now: bool) -> Result<(), Error> {
        let keep = if now { Duration::ZERO } else { GOOD_FOR };
        self.store.rotate_secret(keep).await
    }

    /// Puts the library of functions there, for workers in other languages.
    pub(crate) async fn install_functions(&self, replaces: Replaces) -> Result<Installed, Error> {
        self.store.install_functions(replaces).await
    }

    /// Whether Redis answers and can be used.
    pub(crate) async fn is_ready(&self) -> bool {
        self.store.ready().await.is_ok()
    }
}
