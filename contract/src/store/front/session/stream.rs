//! Which connection is a session's own stream.

use std::time::Duration;

use crate::error::Error;
use crate::model::ids::{SenderId, SessionId};
use crate::model::names::FrontEndId;
use crate::model::session::StreamHold;
use crate::script::TRANSITIONS;
use crate::store::{Store, millis};

impl Store {
    /// Makes a connection that was just opened the session's own stream for `valid`, whichever was before.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe, but does not say what was before.
    pub async fn open_session_stream(
        &self,
        id: SessionId,
        sender: &SenderId,
        valid: Duration,
    ) -> Result<StreamHold, Error> {
        self.hold_session_stream(id, sender, valid, true).await
    }

    /// Keeps a connection the session's own stream for `valid`, unless another is by now.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn keep_session_stream(
        &self,
        id: SessionId,
        sender: &SenderId,
        valid: Duration,
    ) -> Result<StreamHold, Error> {
        self.hold_session_stream(id, sender, valid, false).await
    }

    async fn hold_session_stream(
        &self,
        id: SessionId,
        sender: &SenderId,
        valid: Duration,
        opens: bool,
    ) -> Result<StreamHold, Error> {
        let key = self.keys.session_stream(id);
        let (name, valid) = (sender.to_string(), millis(valid).to_string());
        let opens = if opens { "1" } else { "0" };
        let mut reply = self
            .call(
                &TRANSITIONS.hold_session_stream,
                &[&key],
                &[&name, &valid, opens],
            )
            .await?;
        match reply.tag.as_str() {
            "HELD" => {
                let before = reply.text()?.parse().ok();
                Ok(StreamHold::Held {
                    before: before.filter(|before| before != sender),
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
    pub async fn drop_session_stream(
        &self,
        id: SessionId,
        sender: &SenderId,
    ) -> Result<bool, Error> {
        let (key, sender) = (self.keys.session_stream(id), sender.to_string());
        let reply = self
            .call(&TRANSITIONS.drop_session_stream, &[&key], &[&sender])
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
    pub async fn session_stream(&self, id: SessionId) -> Result<Option<FrontEndId>, Error> {
        let mut read = redis::cmd("GET");
        read.arg(self.keys.session_stream(id));
        let sender: Option<String> = self.connections.command("session_stream", &read).await?;
        let sender = sender.and_then(|sender| sender.parse::<SenderId>().ok());
        Ok(sender.map(|sender| sender.front_end().clone()))
    }
}
