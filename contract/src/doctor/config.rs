//! The settings of a server, where they can be read.

use std::collections::HashMap;

use crate::error::Error;
use crate::store::Store;

const READ: [&str; 3] = ["appendfsync", "hash-max-listpack-value", "timeout"];

/// Some settings. `None` where `CONFIG GET` is not permitted, or does not exist as with some managed servers.
#[derive(Debug, Default)]
pub(super) struct Config(pub(super) Option<HashMap<String, String>>);

impl Config {
    pub(super) async fn read(store: &Store) -> Result<Self, Error> {
        let mut get = redis::cmd("CONFIG");
        get.arg("GET").arg(&READ[..]);
        match store.connections.command("CONFIG GET", &get).await {
            Ok(settings) => Ok(Self(Some(settings))),
            Err(error) if error.is_refusal() && !error.is_transient() => Ok(Self(None)),
            Err(error) => Err(error),
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.as_ref()?.get(name).map(String::as_str)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }
}
