//! Sessions of the legacy protocol, kept in Redis so that any replica serves them.

mod requests;
mod stream;
mod tasks;

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use uuid::Uuid;

use crate::error::Error;
use crate::ids::{InvalidId, Owner};
use crate::log::LogLevel;
use crate::store::{Store, millis};

pub use requests::RequestNote;
pub use stream::Hold as StreamHold;
pub use tasks::{Lifetime, Told};

/// The id a client echoes in `Mcp-Session-Id`: a UUID of version 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(Uuid);

impl SessionId {
    /// A fresh id.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for SessionId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match Uuid::try_parse(text) {
            Ok(uuid) if uuid.hyphenated().to_string() == text => Ok(Self(uuid)),
            _ => Err(InvalidId::new(
                "session id",
                text,
                "it is the one the server gave",
            )),
        }
    }
}

/// What `initialize` settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The protocol revision both sides speak.
    pub revision: String,
    /// Who opened it; nobody else may use it.
    pub owner: Owner,
    /// The client's capabilities, a JSON object.
    pub capabilities: String,
    /// The client's name and version, for operators.
    pub client: String,
    /// From which level on it hears of its jobs' logs; of none until it says so.
    pub log_level: Option<LogLevel>,
}

impl Store {
    /// Opens a session that ends when it is not used for `idle`.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn open_session(
        &self,
        session: &Session,
        idle: Duration,
    ) -> Result<SessionId, Error> {
        let id = SessionId::random();
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
        self.connections
            .pipeline::<()>("open_session", &both)
            .await?;
        Ok(id)
    }

    /// Reads a session; nothing if it ended.
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
        let owner = match fields.remove("owner").as_deref() {
            None | Some("") => Owner::anonymous(),
            Some(name) => Owner::named(name).unwrap_or_else(|_foreign| Owner::unmatched()),
        };
        Ok(Some(Session {
            revision,
            owner,
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
