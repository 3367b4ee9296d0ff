//! Whether this Redis keeps what its operator asks of it.

use std::collections::HashMap;

use crate::durability::Durability;
use crate::error::Error;
use crate::store::Store;

impl Store {
    /// Whether this Redis keeps as much as `level` says. What cannot be seen, or may pass by itself, is returned as notes
    /// for the operator.
    ///
    /// # Errors
    ///
    /// [`Error::Unsuitable`] with what to change; others if Redis fails.
    pub async fn check_durability(&self, level: Durability) -> Result<Vec<String>, Error> {
        let mut notes = Vec::new();
        if level == Durability::Memory {
            return Ok(notes);
        }
        let mut info = redis::cmd("INFO");
        info.arg("persistence").arg("replication");
        let text: String = self.connections.command("INFO", &info).await?;
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map_or("", str::trim)
        };
        if field("aof_enabled") != "1" {
            return Err(Error::Unsuitable(format!(
                "durability is {level}, but it has no append-only file; run: redis-cli CONFIG SET appendonly yes, and set it in redis.conf too"
            )));
        }
        match self.appendfsync().await? {
            Some(policy) => check_policy(level, &policy)?,
            None => notes.push(format!(
                "durability is {level}, and whether appendfsync fits cannot be seen: CONFIG GET is not allowed to this user"
            )),
        }
        let (wanted, there) = (level.replicas(), field("connected_slaves"));
        if there.parse::<u8>().unwrap_or(u8::MAX) < wanted {
            notes.push(format!(
                "durability is {level}, but {there} replicas are connected; no task is accepted until there are {wanted}"
            ));
        }
        Ok(notes)
    }

    /// How often the append-only file is synced; nothing if this user may not see it.
    async fn appendfsync(&self) -> Result<Option<String>, Error> {
        let mut get = redis::cmd("CONFIG");
        get.arg("GET").arg("appendfsync");
        let outcome = self
            .connections
            .command::<HashMap<String, String>>("CONFIG GET", &get);
        match outcome.await {
            Ok(mut found) => Ok(found.remove("appendfsync")),
            Err(error) if error.is_transient() || matches!(error, Error::Refused { .. }) => {
                Err(error)
            }
            // Refused to this user, or hidden by whoever manages the server.
            Err(_refused) => Ok(None),
        }
    }
}

fn check_policy(level: Durability, policy: &str) -> Result<(), Error> {
    let wanted = match level {
        Durability::Always if policy != "always" => "always",
        Durability::Everysec | Durability::Replicated { .. } if policy == "no" => "everysec",
        _ => return Ok(()),
    };
    Err(Error::Unsuitable(format!(
        "durability is {level}, but appendfsync is {policy}; run: redis-cli CONFIG SET appendfsync {wanted}, and set it in redis.conf too"
    )))
}
