//! Sessions of the legacy protocol, kept in Redis so that any front end serves them.

mod requests;
mod stream;
mod tasks;

use std::collections::HashMap;
use std::time::Duration;

use crate::error::Error;
use crate::model::ids::SessionId;
use crate::model::names::Owner;
use crate::model::session::Session;
use crate::store::{Store, millis};

impl Store {
    /// Opens a session under a new id; it ends when it is not used for `idle`.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn open_session(
        &self,
        id: SessionId,
        session: &Session,
        idle: Duration,
    ) -> Result<(), Error> {
        let key = self.keys.session(id);
        let mut both = redis::pipe();
        both.atomic()
            .cmd("HSET")
            .arg(&key)
            .arg("revision")
            .arg(&session.revision)
            .arg("owner")
            .arg(session.owner.as_str())
            .arg("capabilities")
            .arg(&session.capabilities)
            .arg("client")
            .arg(&session.client)
            .ignore()
            .cmd("PEXPIRE")
            .arg(&key)
            .arg(millis(idle))
            .ignore();
        self.connections.pipeline("open_session", &both).await
    }

    /// Reads a session. `None` if it ended.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn session(&self, id: SessionId) -> Result<Option<Session>, Error> {
        let mut read = redis::cmd("HGETALL");
        read.arg(self.keys.session(id));
        let mut fields: HashMap<String, String> =
            self.connections.command("session", &read).await?;
        let Some(revision) = fields.remove("revision") else {
            return Ok(None);
        };
        Ok(Some(Session {
            revision,
            owner: Owner::stored_or_nobody(&fields.remove("owner").unwrap_or_default()),
            capabilities: fields
                .remove("capabilities")
                .unwrap_or_else(|| "{}".to_owned()),
            client: fields.remove("client").unwrap_or_default(),
            log_level: fields
                .remove("log_level")
                .and_then(|level| level.parse().ok()),
        }))
    }

    /// Lets a session live for `idle` from now. A session that ended stays ended.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn touch_session(&self, id: SessionId, idle: Duration) -> Result<(), Error> {
        let mut touch = redis::cmd("PEXPIRE");
        touch.arg(self.keys.session(id)).arg(millis(idle));
        self.connections
            .command::<i64>("touch_session", &touch)
            .await
            .map(drop)
    }

    /// Ends a session; says whether there was one.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn end_session(&self, id: SessionId) -> Result<bool, Error> {
        let mut end = redis::cmd("DEL");
        end.arg(self.keys.session(id));
        Ok(self.connections.command::<i64>("end_session", &end).await? == 1)
    }
}
