//! Which connection is a session's own stream.

use std::time::Duration;

use crate::error::Error;
use crate::model::ids::SessionId;
use crate::model::names::ReplicaId;
use crate::model::session::StreamHold;
use crate::script::TRANSITIONS;
use crate::store::{Store, millis};

impl Store {
    /// Makes a connection that was just opened the session's own stream for `valid`, whichever was before. `sender` is the
    /// connection's id, unique among all front ends: the id of its front end, a colon, more.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe, but does not say what was before.
    pub async fn open_session_stream(
        &self,
        id: SessionId,
        sender: &str,
        valid: Duration,
    ) -> Result<StreamHold, Error> {
        self.hold_session_stream(id, sender, (valid, "1")).await
    }

    /// Keeps a connection the session's own stream for `valid`, unless another is by now.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn keep_session_stream(
        &self,
        id: SessionId,
        sender: &str,
        valid: Duration,
    ) -> Result<StreamHold, Error> {
        self.hold_session_stream(id, sender, (valid, "0")).await
    }

    async fn hold_session_stream(
        &self,
        id: SessionId,
        sender: &str,
        (valid, opens): (Duration, &str),
    ) -> Result<StreamHold, Error> {
        let key = self.keys.session_stream(id);
        let valid = millis(valid).to_string();
        let mut reply = self
            .call(
                &TRANSITIONS.hold_session_stream,
                &[&key],
                &[sender, &valid, opens],
            )
            .await?;
        match reply.tag.as_str() {
            "HELD" => {
                let before = reply.text()?;
                let other = !before.is_empty() && before != sender;
                Ok(StreamHold::Held {
                    before: other.then_some(before),
                })
            }
            "TAKEN" => Ok(StreamHold::Taken),
            _ => Err(reply.unknown()),
        }
    }

    /// Says that a connection closed. False if another is the session's own stream by now, which stays.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn drop_session_stream(&self, id: SessionId, sender: &str) -> Result<bool, Error> {
        let key = self.keys.session_stream(id);
        let reply = self
            .call(&TRANSITIONS.drop_session_stream, &[&key], &[sender])
            .await?;
        match reply.tag.as_str() {
            "OK" => Ok(true),
            "TAKEN" => Ok(false),
            _ => Err(reply.unknown()),
        }
    }

    /// The front end that has the session's own stream, if one is open anywhere.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn session_stream(&self, id: SessionId) -> Result<Option<ReplicaId>, Error> {
        let mut read = redis::cmd("GET");
        read.arg(self.keys.session_stream(id));
        let sender: Option<String> = self.connections.command("session_stream", &read).await?;
        let replica = sender.as_deref().and_then(|name| name.split(':').next());
        Ok(replica.and_then(|replica| replica.parse().ok()))
    }
}
