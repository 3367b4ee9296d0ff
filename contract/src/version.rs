//! The version of the contract: whether processes of different releases can share one Redis.

use std::fmt;

use crate::error::Error;
use crate::script::TRANSITIONS;
use crate::store::Store;

/// What this binary keeps to. The minor is raised when a key, field or transition is added that others may pass over;
/// the major when one changes its meaning.
pub const CONTRACT_VERSION: ContractVersion = ContractVersion { major: 2, minor: 0 };

/// A version of the contract. Processes work together if the major is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContractVersion {
    /// Another one is incompatible.
    pub major: u16,
    /// A higher one only adds.
    pub minor: u16,
}

impl fmt::Display for ContractVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Store {
    /// Checks that this binary can work with the processes that use this Redis already, and gives the version stored
    /// there: this binary's, if there was none or a lower one of the same major.
    ///
    /// # Errors
    ///
    /// [`Error::Unsuitable`] if not, with what to do; others if Redis fails.
    pub async fn agree_version(&self) -> Result<String, Error> {
        let key = self.keys.contract();
        let (major, minor) = (
            CONTRACT_VERSION.major.to_string(),
            CONTRACT_VERSION.minor.to_string(),
        );
        let mut reply = self
            .call(&TRANSITIONS.agree_version, &[&key], &[&major, &minor])
            .await?;
        match reply.tag.as_str() {
            "OK" => reply.text(),
            "INCOMPATIBLE" => Err(Error::Unsuitable(incompatible(&key, &reply.text()?))),
            _ => Err(reply.unknown()),
        }
    }

    /// The version stored in this Redis, if there is one.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn stored_version(&self) -> Result<Option<String>, Error> {
        let mut read = redis::cmd("GET");
        read.arg(self.keys.contract());
        self.connections.command("contract version", &read).await
    }
}

fn incompatible(key: &str, stored: &str) -> String {
    let stored: String = stored.chars().take(40).collect();
    format!(
        "it is used with version {stored} of the contract and this program keeps to {CONTRACT_VERSION}: run a release whose contract has the same major, or stop the other front ends, let their tasks end, stop the other workers, and run: redis-cli DEL {key} (docs/OPERATIONS.md, \"To change the major\")"
    )
}
