//! Checks before a process begins whether this Redis keeps what its operator asks of it.

use crate::connection::Info;
use crate::doctor::config::Config;
use crate::doctor::kept::{Kept, Seen};
use crate::error::Error;
use crate::model::durability::Durability;
use crate::store::Store;

impl Store {
    /// Checks that this Redis keeps as much as `level` asks for. Returns notes for the operator on what cannot be checked,
    /// or may pass by itself.
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
        let info: String = self.connections.command("INFO", &info).await?;
        let info = Info::parse(&info);
        let config = Config::read(self).await?;
        let needed = Kept::needed_for(level);
        match Kept::by(&info, &config) {
            Seen::Kept(kept) if kept >= needed => {}
            Seen::Kept(Kept::Nothing) | Seen::Nothing => {
                return Err(Error::Unsuitable(format!(
                    "durability is {level}, but it has no append-only file; run: redis-cli CONFIG SET appendonly yes, and set it in redis.conf too"
                )));
            }
            Seen::Kept(_) => {
                let policy = config.text("appendfsync").unwrap_or_default();
                let wanted = needed.appendfsync();
                return Err(Error::Unsuitable(format!(
                    "durability is {level}, but appendfsync is {policy}; run: redis-cli CONFIG SET appendfsync {wanted}, and set it in redis.conf too"
                )));
            }
            Seen::PolicyHidden => notes.push(format!(
                "durability is {level}, and whether appendfsync fits cannot be seen: CONFIG GET is not allowed to this user"
            )),
        }
        let (wanted, there) = (
            level.replicas(),
            info.text("connected_slaves").unwrap_or_default(),
        );
        if there.parse::<u8>().unwrap_or(u8::MAX) < wanted {
            notes.push(format!(
                "durability is {level}, but {there} replicas are connected; no task is accepted until there are {wanted}"
            ));
        }
        Ok(notes)
    }
}
