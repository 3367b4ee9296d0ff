//! Questions to the client, as a front end sends them and stores their answers.

use std::time::Duration;

use crate::error::Error;
use crate::model::ids::{SenderId, SessionId, TaskId};
use crate::model::names::Owner;
use crate::model::question::{Question, QuestionRef, Requestor, Sender};
use crate::script::{ScriptReply, TRANSITIONS, Transition};
use crate::store::record;
use crate::store::{Store, millis};

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerReply {
    /// Stored; so many questions are still open.
    Stored {
        /// Open questions.
        open: u64,
    },
    /// No open question has this key: it was never asked, has its answer, the job ended, or the client's task that was to
    /// answer it is not known any more.
    Ignored,
    /// There is no such task for this owner.
    NotFound,
}

/// What became of a wish to send a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendRightReply {
    /// It is the caller's to send.
    Send {
        /// A JSON object of method and params.
        request: String,
        /// How long the record lives, unless the end of its job changes that.
        lives: Duration,
    },
    /// Another sender has it, or another session's client answers it by a task of its own.
    Taken,
    /// It is not open, or this session's client answers it by a task of its own.
    Ignored,
    /// There is no such task for this owner.
    NotFound,
}

impl Store {
    /// The unanswered questions of a task, by key; of one that has ended, also those that it left unanswered. Does not
    /// check the owner.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn questions(&self, id: TaskId) -> Result<Vec<Question>, Error> {
        let mut read = redis::cmd("HGETALL");
        read.arg(self.keys.record(id));
        let fields: std::collections::BTreeMap<String, String> =
            self.connections.command("questions", &read).await?;
        Ok(fields
            .iter()
            .filter_map(|(name, request)| Some((name.strip_prefix("ask:")?, request)))
            .filter(|(key, _)| !fields.contains_key(&format!("answer:{key}")))
            .map(|(key, request)| Question {
                key: key.to_owned(),
                request: request.clone(),
                client_task: record::client_task(id, fields.get(&format!("client_task:{key}"))),
            })
            .collect())
    }

    /// Stores the client's answer, a JSON value, to a question.
    ///
    /// # Errors
    ///
    /// If Redis fails, or [`Error::NotReplicated`]: then the answer may have been stored. The same call again is safe; it
    /// gives [`AnswerReply::Ignored`] if so.
    pub async fn answer_input(
        &self,
        question: QuestionRef<'_>,
        answer: &str,
    ) -> Result<AnswerReply, Error> {
        self.answer_as(question, None, answer).await
    }

    /// Stores the outcome of a task by which the client of `session` answers a question. Ignored if there is no
    /// such task any more.
    ///
    /// # Errors
    ///
    /// As [`Self::answer_input`].
    pub async fn answer_by_client_task(
        &self,
        question: QuestionRef<'_>,
        session: SessionId,
        answer: &str,
    ) -> Result<AnswerReply, Error> {
        self.answer_as(question, Some(session), answer).await
    }

    async fn answer_as(
        &self,
        QuestionRef { task, owner, key }: QuestionRef<'_>,
        client_task_of: Option<SessionId>,
        answer: &str,
    ) -> Result<AnswerReply, Error> {
        let session = client_task_of.map_or_else(String::new, |session| session.to_string());
        let Some(queue_name) = self.queue_of(task).await? else {
            return Ok(AnswerReply::NotFound);
        };
        let (base, id) = (self.keys.base(task.shard()), task.to_string());
        let queue = format!("{base}queue:{queue_name}");
        let mut reply = self
            .call_replicated(
                &TRANSITIONS.answer_input,
                &[&self.keys.record(task), &queue],
                &[&base, &id, owner.as_str(), key, answer, &session],
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

    /// Asks for the right to send an open question to the client. A sender that has it keeps it; one that does not ask
    /// again in time loses it. If another session's client answers by a task of its own, nobody else gets the right until
    /// `abandoned_after` after that task was due to be polled.
    ///
    /// # Errors
    ///
    /// If Redis fails; then the right may have been given, and the same call again is safe.
    pub async fn deliver_input(
        &self,
        question: QuestionRef<'_>,
        abandoned_after: Duration,
        sender: &Sender,
    ) -> Result<SendRightReply, Error> {
        let mut reply = self
            .ask_to_send(
                &TRANSITIONS.deliver_input,
                question,
                abandoned_after,
                sender,
            )
            .await?;
        match reply.tag.as_str() {
            "OK" => Ok(SendRightReply::Send {
                request: reply.text()?,
                lives: Duration::from_millis(reply.integer()?),
            }),
            "TAKEN" => Ok(SendRightReply::Taken),
            "IGNORED" => Ok(SendRightReply::Ignored),
            "GONE" => Ok(SendRightReply::NotFound),
            _ => Err(reply.unknown()),
        }
    }

    /// Asks for the right to send messages about a question: the question itself, or a poll of the client's task.
    pub(super) async fn ask_to_send(
        &self,
        transition: &Transition,
        QuestionRef { task, owner, key }: QuestionRef<'_>,
        abandoned_after: Duration,
        sender: &Sender,
    ) -> Result<ScriptReply, Error> {
        let [id, session, right_lasts, abandoned_after] = [
            sender.id.to_string(),
            sender.session.to_string(),
            millis(sender.right_lasts).to_string(),
            millis(abandoned_after).to_string(),
        ];
        let args = [
            owner.as_str(),
            key,
            &id,
            &session,
            &right_lasts,
            &abandoned_after,
        ];
        self.on_record(transition, task, &args).await
    }

    /// Lets other connections send the unanswered questions of a connection that closed. Returns how many may be sent
    /// again; 0 also if there is no such task of this owner.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn recall_input(
        &self,
        id: TaskId,
        owner: &Owner,
        sender: &SenderId,
    ) -> Result<u64, Error> {
        let sender = sender.to_string();
        let args = [owner.as_str(), &sender];
        let mut reply = self.on_record(&TRANSITIONS.recall_input, id, &args).await?;
        match reply.tag.as_str() {
            "OK" => reply.integer(),
            "GONE" => Ok(0),
            _ => Err(reply.unknown()),
        }
    }

    /// The session that asked for a task, and the token of the progress it wants. `None` if the record is gone, or no
    /// session asked for it.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn requestor(&self, id: TaskId) -> Result<Option<Requestor>, Error> {
        let mut read = redis::cmd("HMGET");
        read.arg(self.keys.record(id))
            .arg("session")
            .arg("progress_token");
        let (session, progress_token): (Option<String>, Option<String>) =
            self.connections.command("requestor", &read).await?;
        let session = session.and_then(|session| session.parse().ok());
        Ok(session.map(|session| Requestor {
            session,
            progress_token,
        }))
    }

    async fn queue_of(&self, id: TaskId) -> Result<Option<String>, Error> {
        let mut read = redis::cmd("HGET");
        read.arg(self.keys.record(id)).arg("queue");
        self.connections.command("answer_input", &read).await
    }
}
