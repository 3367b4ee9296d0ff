//! The version of the contract: whether processes of different versions of Taskferry can share one Redis.

use crate::error::Error;
use crate::model::version::CONTRACT_VERSION;
use crate::script::TRANSITIONS;
use crate::store::Store;

impl Store {
    /// Whether Redis answers, has every transition loaded, and is used with a contract that this binary can keep; loads
    /// the transitions it lacks, and stores the contract's version if there is none.
    ///
    /// # Errors
    ///
    /// If Redis fails; [`Error::Unsuitable`] if the contract's version is incompatible.
    pub async fn ready(&self) -> Result<(), Error> {
        let all = TRANSITIONS.all();
        let mut exists = redis::cmd("SCRIPT");
        exists.arg("EXISTS");
        for transition in &all {
            exists.arg(transition.script.get_hash());
        }
        let loaded: Vec<bool> = self.connections.command("SCRIPT EXISTS", &exists).await?;
        let missing = all.iter().zip(loaded).filter(|(_, loaded)| !loaded);
        let mut load = redis::pipe();
        let mut count = 0;
        for (transition, _) in missing {
            load.load_script(&transition.script).ignore();
            count += 1;
        }
        if count > 0 {
            self.connections
                .pipeline::<()>("SCRIPT LOAD", &load)
                .await?;
        }
        // Also where nothing is to be written: a server that takes no writes says so.
        self.write_version().await.map(drop)
    }

    /// Checks that this binary can work with the processes that use this Redis already, and gives the version stored
    /// there: this binary's, if there was none or a lower one of the same major.
    ///
    /// # Errors
    ///
    /// [`Error::Unsuitable`] if not, with what to do; others if Redis fails.
    pub async fn agree_version(&self) -> Result<String, Error> {
        // Nearly always that is all.
        if let Some(stored) = self.stored_version().await?
            && suffices(&stored)
        {
            return Ok(stored);
        }
        self.write_version().await
    }

    async fn write_version(&self) -> Result<String, Error> {
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

/// Whether a stored version is one of this binary's major.
pub(crate) fn can_keep(stored: &str) -> bool {
    let major = stored.split_once('.').map(|(major, _)| major);
    major.and_then(|major| major.parse().ok()) == Some(CONTRACT_VERSION.major)
}

/// Whether a stored version need not be raised to this binary's.
fn suffices(stored: &str) -> bool {
    let minor = stored
        .split_once('.')
        .and_then(|(_, minor)| minor.parse().ok());
    can_keep(stored) && minor.is_some_and(|minor: u16| minor >= CONTRACT_VERSION.minor)
}

pub(crate) fn incompatible(key: &str, stored: &str) -> String {
    let stored: String = stored.chars().take(40).collect();
    format!(
        "it is used with version {stored} of the contract and this program keeps to {CONTRACT_VERSION}: run a version of Taskferry whose contract has the same major, or stop the other front ends, let their tasks end, stop the other workers, and run: redis-cli DEL {key} (docs/OPERATIONS.md, \"To change the major\")"
    )
}
