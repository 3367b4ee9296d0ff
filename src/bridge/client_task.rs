//! Tasks of a client's own, by which it answers questions that take it a while.

use std::time::Duration;

use taskferry_contract::{
    AnswerReply, ClientTask, ClientTaskReport, OrphanedTask, Owner, PollReply, QuestionRef,
    SessionId, Store, TaskId,
};

use super::{BridgeError, Via};
use crate::audit::{Audit, Done};

/// A client that does not answer is polled again so long after the next poll was due.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// The polls that a connection may send to a client that answers a question by a task of its own.
#[derive(Debug)]
pub(crate) struct ToPoll {
    /// What to send now, if anything.
    pub(crate) now: Option<ClientTaskPoll>,
    /// When the next poll is due, from now.
    pub(crate) next: Duration,
}

/// A message about a client's task.
#[derive(Debug)]
pub(crate) struct ClientTaskPoll {
    /// Whether it asks for the outcome; else how the task stands.
    pub(crate) fetch: bool,
    /// The number of the message among those of the question, from 1.
    pub(crate) number: u64,
    /// The client's id of its task.
    pub(crate) task: String,
}

/// The tasks by which clients answer questions of jobs.
#[derive(Debug)]
pub(crate) struct ClientTasks {
    pub(super) store: Store,
    pub(super) audit: Audit,
}

impl ClientTasks {
    /// Asks what to send, over a connection of a session, to the client that answers a question by a task of its own.
    /// `None` if another connection has the right to, or there is no such task any more.
    pub(crate) async fn poll(
        &self,
        question: QuestionRef<'_>,
        via: Via<'_>,
    ) -> Result<Option<ToPoll>, BridgeError> {
        let sender = via.into();
        let poll = self.store.poll_client_task(question, ASK_AGAIN, &sender);
        Ok(match poll.await? {
            PollReply::Send {
                fetch,
                number,
                task,
                next,
            } => Some(ToPoll {
                now: Some(ClientTaskPoll {
                    fetch,
                    number,
                    task,
                }),
                next,
            }),
            PollReply::Wait { next } => Some(ToPoll { now: None, next }),
            PollReply::Taken | PollReply::Ignored | PollReply::NotFound => None,
        })
    }

    /// The task by which a client answers a question, as far as it is known.
    pub(crate) async fn find(
        &self,
        id: TaskId,
        key: &str,
    ) -> Result<Option<ClientTask>, BridgeError> {
        Ok(self.store.client_task(id, key).await?)
    }

    /// Notes what a client reports of a task by which it answers a question.
    pub(crate) async fn note(
        &self,
        question: QuestionRef<'_>,
        said: ClientTaskReport<'_>,
    ) -> Result<(), BridgeError> {
        let noted = self.store.note_client_task(question, said).await?;
        tracing::debug!(task = %question.task.digest(), key = question.key, ?noted, "a client's task");
        Ok(())
    }

    /// Stores the outcome of a client's task as the answer of its question, unless nothing waits for it.
    pub(crate) async fn answer(
        &self,
        question: QuestionRef<'_>,
        session: SessionId,
        answer: &str,
    ) -> Result<(), BridgeError> {
        let stored = self.store.answer_by_client_task(question, session, answer);
        if let AnswerReply::Stored { .. } = stored.await? {
            self.audit
                .done(Done::answered(question.owner, question.task));
        }
        Ok(())
    }

    /// Takes the tasks of a session's client that nothing waits for any more; the caller cancels them.
    pub(crate) async fn drop_unwanted(
        &self,
        id: TaskId,
        owner: &Owner,
        session: SessionId,
    ) -> Result<Vec<OrphanedTask>, BridgeError> {
        Ok(self.store.drop_client_tasks(id, owner, session).await?)
    }
}
