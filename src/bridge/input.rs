//! Questions to the caller, and what the caller carries between two requests.

use std::time::Duration;

use taskferry_contract::{
    AnswerReply, ClientTask, ClientTaskReport, DeliverReply, OrphanedTask, Owner, PollReply,
    Question, Sender, SessionId, TaskId,
};

use super::{Bridge, BridgeError, Carried, Unsealed, Watch};

/// How long a connection that says nothing more of a question keeps the right to send it.
const RIGHT_TO_SEND: Duration = Duration::from_secs(15);
/// A client's task that nobody asks for, for so long after it should have been, stands in no other session's way.
const ABANDONED: Duration = Duration::from_secs(60);
/// A client that does not answer is asked again so long after it should have been.
const ASK_AGAIN: Duration = Duration::from_secs(10);

impl Bridge {
    /// A name for a connection over which questions are sent.
    pub(crate) fn new_carrier(&self) -> String {
        format!("{}:{:08x}", self.0.replica, rand::random::<u32>())
    }

    /// Asks for the right to send an open question over a connection of a session, or to keep it.
    pub(crate) async fn deliver(
        &self,
        id: TaskId,
        owner: &Owner,
        key: &str,
        by: (&str, SessionId),
    ) -> Result<DeliverReply, BridgeError> {
        let question = (key, ABANDONED);
        let deliver = self.0.store.deliver_input(id, owner, question, sender(by));
        Ok(deliver.await?)
    }

    /// Asks what to send, over a connection of a session, to the client that answers a question by a task of its own.
    pub(crate) async fn poll_remote(
        &self,
        id: TaskId,
        owner: &Owner,
        key: &str,
        by: (&str, SessionId),
    ) -> Result<PollReply, BridgeError> {
        let question = (key, ASK_AGAIN);
        let poll = self
            .0
            .store
            .poll_client_task(id, owner, question, sender(by));
        Ok(poll.await?)
    }

    /// The task by which a client answers a question, as far as it is known.
    pub(crate) async fn client_task(
        &self,
        id: TaskId,
        key: &str,
    ) -> Result<Option<ClientTask>, BridgeError> {
        Ok(self.0.store.client_task(id, key).await?)
    }

    /// Notes what a client says of a task by which it answers a question.
    pub(crate) async fn note_remote(
        &self,
        id: TaskId,
        owner: &Owner,
        key: &str,
        said: ClientTaskReport<'_>,
    ) -> Result<(), BridgeError> {
        let noted = self.0.store.note_client_task(id, owner, key, said).await?;
        tracing::debug!(task = %id, key, ?noted, "a client's task");
        Ok(())
    }

    /// Stores the outcome of a client's task as the answer of its question, unless nothing waits for it.
    pub(crate) async fn answer_by_remote(
        &self,
        id: TaskId,
        owner: &Owner,
        question: (&str, SessionId),
        answer: &str,
    ) -> Result<(), BridgeError> {
        let stored = self
            .0
            .store
            .answer_by_client_task(id, owner, question, answer);
        stored.await?;
        Ok(())
    }

    /// Takes the tasks of a session's client that nothing waits for any more; the caller cancels them.
    pub(crate) async fn drop_remote(
        &self,
        id: TaskId,
        owner: &Owner,
        session: SessionId,
    ) -> Result<Vec<OrphanedTask>, BridgeError> {
        Ok(self.0.store.drop_client_tasks(id, owner, session).await?)
    }

    /// Gives the unanswered questions of a connection that closed to whoever has another.
    pub(crate) async fn recall(&self, id: TaskId, owner: &Owner, carrier: &str) {
        if let Err(error) = self.0.store.recall_input(id, owner, carrier).await {
            tracing::warn!(task = %id, %error, "questions that were sent over a closed connection could not be recalled");
        }
    }

    /// The open questions of a task that `poll` showed to its owner.
    pub(crate) async fn questions(&self, id: TaskId) -> Result<Vec<Question>, BridgeError> {
        Ok(self.0.store.questions(id).await?)
    }

    /// Answers questions of a task; keys that nothing waits for are ignored.
    pub(crate) async fn answer(
        &self,
        id: TaskId,
        owner: &Owner,
        answers: &[(&str, &str)],
    ) -> Result<(), BridgeError> {
        if answers.is_empty() {
            return self.poll(id, owner).await.map(drop);
        }
        for (key, answer) in answers {
            if self.0.store.answer_input(id, owner, key, answer).await? == AnswerReply::NotFound {
                return Err(BridgeError::NotFound);
            }
        }
        Ok(())
    }

    /// Seals what a caller is to bring back with the answers: the job that waits, if there is one yet, and the answers
    /// given so far.
    pub(crate) async fn seal(
        &self,
        carried: &Carried,
        owner: &Owner,
        call: &str,
    ) -> Result<String, BridgeError> {
        Ok(self.0.seal.seal(carried, owner, call).await?)
    }

    /// Opens what a caller brought back.
    pub(crate) async fn unseal(
        &self,
        sealed: &str,
        owner: &Owner,
        call: &str,
    ) -> Result<Carried, Unsealed> {
        self.0.seal.open(sealed, owner, call).await
    }

    /// Watches the job of a plain call again, after storing its caller's answers, if there are any.
    pub(crate) async fn resume(
        &self,
        id: TaskId,
        owner: &Owner,
        answers: &[(&str, &str)],
    ) -> Result<Watch, BridgeError> {
        for (key, answer) in answers {
            self.0.store.answer_input(id, owner, key, answer).await?;
        }
        let mut watch = self.0.waiters.watch(&self.0.store, id, owner);
        let now = self.0.store.watch(id, owner, &self.0.replica).await?;
        // It may have been handed out since; then it is a task of the same owner.
        watch.seed(now.ok_or(BridgeError::NotFound)?);
        Ok(watch)
    }
}

fn sender((carrier, session): (&str, SessionId)) -> Sender<'_> {
    Sender {
        id: carrier,
        session,
        valid: RIGHT_TO_SEND,
    }
}
