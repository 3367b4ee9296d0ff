//! Questions of jobs: sent to the client over a connection that has the right to, and answered over any.

use std::time::Duration;

use taskferry_contract::{
    AnswerReply, FrontEndId, Owner, Question, QuestionRef, SendRightReply, Sender, SenderId,
    SessionId, Store, TaskId,
};

use super::BridgeError;
use crate::audit::{Audit, Denied, Done};

/// How long a connection keeps the right to send a question without asking for it again.
const RIGHT_TO_SEND: Duration = Duration::from_secs(15);
/// If nobody polls a client's task for so long after that was due, another session may send the question.
const ABANDONED: Duration = Duration::from_secs(60);

/// A connection of a session over which messages go out to its client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Via<'a> {
    /// Unique among the connections of all front ends.
    pub(crate) sender: &'a SenderId,
    /// The session whose connection it is.
    pub(crate) session: SessionId,
}

impl From<Via<'_>> for Sender {
    fn from(via: Via<'_>) -> Self {
        Self {
            id: via.sender.clone(),
            session: via.session,
            right_lasts: RIGHT_TO_SEND,
        }
    }
}

/// A question that a connection may send, and keeps the right to.
#[derive(Debug)]
pub(crate) struct MayBeSent {
    /// A JSON object of method and params.
    pub(crate) request: String,
    /// How long the record lives, unless the end of its job changes that.
    pub(crate) lives: Duration,
}

/// The questions of all jobs.
#[derive(Debug)]
pub(crate) struct Questions {
    pub(super) store: Store,
    pub(super) front_end: FrontEndId,
    pub(super) audit: Audit,
}

impl Questions {
    /// A new id for a connection over which questions are sent.
    pub(crate) fn new_sender_id(&self) -> SenderId {
        SenderId::random(&self.front_end)
    }

    /// The open questions of a task that `poll` showed to its owner.
    pub(crate) async fn open(&self, id: TaskId) -> Result<Vec<Question>, BridgeError> {
        Ok(self.store.questions(id).await?)
    }

    /// Asks for the right to send an open question over a connection of a session, or to keep it. `None` if another
    /// connection has it, the client answers by a task of its own, or the question is not open any more.
    pub(crate) async fn take_send_right(
        &self,
        question: QuestionRef<'_>,
        via: Via<'_>,
    ) -> Result<Option<MayBeSent>, BridgeError> {
        let sender = via.into();
        let deliver = self.store.deliver_input(question, ABANDONED, &sender);
        Ok(match deliver.await? {
            SendRightReply::Send { request, lives } => Some(MayBeSent { request, lives }),
            SendRightReply::Taken | SendRightReply::Ignored | SendRightReply::NotFound => None,
        })
    }

    /// Answers questions of a task; keys that nothing waits for are ignored.
    pub(crate) async fn answer(
        &self,
        id: TaskId,
        owner: &Owner,
        answers: &[(&str, &str)],
    ) -> Result<(), BridgeError> {
        for (key, answer) in answers {
            let question = QuestionRef {
                task: id,
                owner,
                key,
            };
            if self.store.answer_input(question, answer).await? == AnswerReply::NotFound {
                self.audit.denied(Denied::job(owner, id));
                return Err(BridgeError::NotFound);
            }
        }
        if !answers.is_empty() {
            self.audit.done(Done::answered(owner, id));
        }
        Ok(())
    }

    /// Lets other connections send the unanswered questions of a connection that closed.
    pub(crate) async fn recall(&self, id: TaskId, owner: &Owner, sender: &SenderId) {
        if let Err(error) = self.store.recall_input(id, owner, sender).await {
            tracing::warn!(task = %id.digest(), %error, "questions that were sent over a closed connection could not be recalled");
        }
    }
}
