//! Tasks by which clients answer questions: what clients report of them, which polls to send, and which to cancel.

use std::time::Duration;

use crate::error::Error;
use crate::model::client_task::{ClientTask, ClientTaskReport, OrphanedTask, ReportOccasion};
use crate::model::ids::{SessionId, TaskId};
use crate::model::names::Owner;
use crate::model::question::{QuestionRef, Sender};
use crate::script::TRANSITIONS;
use crate::store::record;
use crate::store::{Store, millis};

/// What became of a client's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportReply {
    /// Noted.
    Noted,
    /// Nothing waits for this task; it is to be cancelled.
    Late,
    /// Nothing waits for this report.
    Ignored,
    /// There is no such job for this owner.
    NotFound,
}

/// What is to be sent to a client that has a task of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollReply {
    /// A message, now.
    Send {
        /// Whether it asks for the outcome; else how the task stands.
        fetch: bool,
        /// The number of the message among those of the question, from 1.
        number: u64,
        /// The client's id of its task.
        task: String,
        /// When more is due.
        next: Duration,
    },
    /// Nothing yet; the right to send is the caller's.
    Wait {
        /// When something is due.
        next: Duration,
    },
    /// Another sender has the right.
    Taken,
    /// There is nothing to ask.
    Ignored,
    /// There is no such job for this owner.
    NotFound,
}

impl Store {
    /// Reads the task by which a client answers the question `key` of a job. `None` if there is none.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn client_task(&self, id: TaskId, key: &str) -> Result<Option<ClientTask>, Error> {
        let mut read = redis::cmd("HGET");
        read.arg(self.keys.record(id))
            .arg(format!("client_task:{key}"));
        let stored: Option<String> = self.connections.command("client_task", &read).await?;
        Ok(record::client_task(id, stored.as_ref()))
    }

    /// Notes what a client reports of a task by which it answers a question.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn note_client_task(
        &self,
        QuestionRef {
            task: id,
            owner,
            key,
        }: QuestionRef<'_>,
        said: ClientTaskReport<'_>,
    ) -> Result<ReportReply, Error> {
        let (session, task, number) = match said.by {
            ReportOccasion::Making(task) => (said.session.to_string(), task, String::new()),
            ReportOccasion::Poll(number) => (said.session.to_string(), "", number.to_string()),
        };
        let poll = said.poll.map(|poll| millis(poll).to_string());
        let args = [
            owner.as_str(),
            key,
            &session,
            &number,
            task,
            said.status.as_str(),
            said.message,
            poll.as_deref().unwrap_or(""),
        ];
        let reply = self
            .on_record(&TRANSITIONS.note_client_task, id, &args)
            .await?;
        match reply.tag.as_str() {
            "OK" => Ok(ReportReply::Noted),
            "LATE" => Ok(ReportReply::Late),
            "IGNORED" => Ok(ReportReply::Ignored),
            "GONE" => Ok(ReportReply::NotFound),
            _ => Err(reply.unknown()),
        }
    }

    /// Asks what to send to a client that answers a question by a task of its own, and for the right to send it. A
    /// message without an answer is repeated `again` after the next one was due.
    ///
    /// # Errors
    ///
    /// If Redis fails; then a message may have been given out, which is repeated as one without an answer.
    pub async fn poll_client_task(
        &self,
        question: QuestionRef<'_>,
        again: Duration,
        sender: &Sender,
    ) -> Result<PollReply, Error> {
        let mut reply = self
            .ask_to_send(&TRANSITIONS.poll_client_task, question, again, sender)
            .await?;
        match reply.tag.as_str() {
            "OK" => Ok(PollReply::Send {
                fetch: reply.text()? == "result",
                number: reply.integer()?,
                task: reply.text()?,
                next: Duration::from_millis(reply.integer()?),
            }),
            "WAIT" => Ok(PollReply::Wait {
                next: Duration::from_millis(reply.integer()?),
            }),
            "TAKEN" => Ok(PollReply::Taken),
            "IGNORED" => Ok(PollReply::Ignored),
            "GONE" => Ok(PollReply::NotFound),
            _ => Err(reply.unknown()),
        }
    }

    /// Takes the tasks of a session's client that nothing waits for any more off the record of a job, to be cancelled by
    /// the caller. Empty if the record is gone.
    ///
    /// # Errors
    ///
    /// If Redis fails; then some may be taken, and are not cancelled.
    pub async fn drop_client_tasks(
        &self,
        id: TaskId,
        owner: &Owner,
        session: SessionId,
    ) -> Result<Vec<OrphanedTask>, Error> {
        let session = session.to_string();
        let args = [owner.as_str(), &session];
        let reply = self
            .on_record(&TRANSITIONS.drop_client_tasks, id, &args)
            .await?;
        match reply.tag.as_str() {
            "OK" => {
                let pairs = reply.pairs()?.into_iter();
                Ok(pairs
                    .map(|(key, task)| OrphanedTask { key, task })
                    .collect())
            }
            "GONE" => Ok(Vec::new()),
            _ => Err(reply.unknown()),
        }
    }
}
