//! Questions to the client, as a front end puts and answers them.

use std::time::Duration;

use crate::error::Error;
use crate::ids::{Owner, TaskId};
use crate::record::Question;
use crate::script::TRANSITIONS;
use crate::session::SessionId;
use crate::store::{Store, millis};

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerReply {
    /// Stored; so many questions are still open.
    Stored {
        /// Open questions.
        open: u64,
    },
    /// Nothing waits for this key.
    Ignored,
    /// There is no such task for this owner.
    NotFound,
}

/// Who asked for a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// The legacy session.
    pub session: SessionId,
    /// Under which token it wants progress: a JSON string or integer.
    pub progress_token: Option<String>,
}

/// What became of a wish to send a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliverReply {
    /// It is the caller's to send: a JSON object of method and params.
    Send(String),
    /// Another carrier has it.
    Taken,
    /// It is not open.
    Ignored,
    /// There is no such task for this owner.
    NotFound,
}

impl Store {
    /// The open questions of a task, by key.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn questions(&self, id: TaskId) -> Result<Vec<Question>, Error> {
        let mut read = redis::cmd("HGETALL");
        read.arg(self.keys.task(id));
        let fields: std::collections::BTreeMap<String, String> =
            self.connections.command("questions", &read).await?;
        Ok(fields
            .iter()
            .filter_map(|(name, request)| Some((name.strip_prefix("ask:")?, request)))
            .filter(|(key, _)| !fields.contains_key(&format!("answer:{key}")))
            .map(|(key, request)| Question {
                key: key.to_owned(),
                request: request.clone(),
            })
            .collect())
    }

    /// Stores the client's answer, a JSON value, to the question `key`.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn answer_input(
        &self,
        id: TaskId,
        owner: &Owner,
        key: &str,
        answer: &str,
    ) -> Result<AnswerReply, Error> {
        let Some(view) = self.queue_of(id).await? else {
            return Ok(AnswerReply::NotFound);
        };
        let (base, text) = (self.keys.base(id.shard()), id.to_string());
        let queue = format!("{base}queue:{view}");
        let mut reply = self
            .call(
                &TRANSITIONS.answer_input,
                &[&self.keys.task(id), &queue],
                &[&base, &text, owner.as_str(), key, answer],
            )
            .await?;
        match reply.tag.as_str() {
            "OK" => Ok(AnswerReply::Stored {
                open: reply.integer()?,
            }),
            "IGNORED" => Ok(AnswerReply::Ignored),
            "GONE" => Ok(AnswerReply::NotFound),
            _ => Err(reply.unknown()),
        }
    }

    /// Asks for the right to send an open question to the client over the connection `carrier`, for `valid`. A carrier
    /// that has it keeps it; one that does not ask again in time loses it.
    ///
    /// # Errors
    ///
    /// If Redis fails; then the right may have been given, and the same call again is safe.
    pub async fn deliver_input(
        &self,
        id: TaskId,
        owner: &Owner,
        key: &str,
        (carrier, valid): (&str, Duration),
    ) -> Result<DeliverReply, Error> {
        let valid = millis(valid).to_string();
        let args = [owner.as_str(), key, carrier, &valid];
        let mut reply = self
            .on_record(&TRANSITIONS.deliver_input, id, &args)
            .await?;
        match reply.tag.as_str() {
            "OK" => Ok(DeliverReply::Send(reply.text()?)),
            "TAKEN" => Ok(DeliverReply::Taken),
            "IGNORED" => Ok(DeliverReply::Ignored),
            "GONE" => Ok(DeliverReply::NotFound),
            _ => Err(reply.unknown()),
        }
    }

    /// Gives the unanswered questions of a connection that closed to whoever has another.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn recall_input(
        &self,
        id: TaskId,
        owner: &Owner,
        carrier: &str,
    ) -> Result<u64, Error> {
        let args = [owner.as_str(), carrier];
        let mut reply = self.on_record(&TRANSITIONS.recall_input, id, &args).await?;
        match reply.tag.as_str() {
            "OK" => reply.integer(),
            "GONE" => Ok(0),
            _ => Err(reply.unknown()),
        }
    }

    /// The session that asked for a task and the token of the progress it wants; nothing if the record is gone or was
    /// asked for by no session.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn asker(&self, id: TaskId) -> Result<Option<Asker>, Error> {
        let mut read = redis::cmd("HMGET");
        read.arg(self.keys.task(id))
            .arg("session")
            .arg("progress_token");
        let (session, progress_token): (Option<String>, Option<String>) =
            self.connections.command("asker", &read).await?;
        let session = session.and_then(|session| session.parse().ok());
        Ok(session.map(|session| Asker {
            session,
            progress_token,
        }))
    }

    async fn queue_of(&self, id: TaskId) -> Result<Option<String>, Error> {
        let mut read = redis::cmd("HGET");
        read.arg(self.keys.task(id)).arg("queue");
        self.connections.command("answer_input", &read).await
    }
}
