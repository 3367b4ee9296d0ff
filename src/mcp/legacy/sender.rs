//! Sends questions to a legacy client, as JSON-RPC requests of the server. Each is sent once, though several front ends may
//! have a connection to the client. The answer may come in at any front end.

use std::collections::{HashMap, HashSet};

use serde_json::json;
use serde_json::value::RawValue;
use taskferry_contract::{
    OrphanedTask, Owner, Question, QuestionRef, RawObject, RequestNote, SenderId, SessionId,
    TaskId, TaskView,
};
use tokio::time::{Instant, sleep_until};

use crate::bridge::{Bridge, BridgeError, MayBeSent, ToPoll, Via};
use crate::mcp::legacy::own_request::{About, OwnRequest};
use crate::mcp::legacy::receiver::{self, Receiver};
use crate::mcp::legacy::related::{RELATED_TASK, related};
use crate::mcp::legacy::request_name::digest;
use crate::mcp::legacy::session::Opened;
use crate::mcp::protocol::capabilities;
use crate::mcp::protocol::outgoing::{Method, Outgoing};

/// A connection to a legacy client that can send it questions. If the client answers by a task of its own, it also sends
/// the requests that poll this task.
#[derive(Debug)]
pub(super) struct QuestionSender {
    id: SenderId,
    session: SessionId,
    /// The client's declared `capabilities`, a JSON object.
    capabilities: String,
    /// Which questions the client may answer by tasks of its own.
    receiver: Receiver,
    /// If this connection answers a request: the digest of its id. The session notes cancelled requests under that.
    request: Option<String>,
    /// The open questions that went out over it, by job and key.
    sent: HashSet<(TaskId, String)>,
    /// The client's own tasks that this connection polls, by job and question key.
    client_tasks: HashMap<(TaskId, String), String>,
    /// When to poll the client's tasks of a job next.
    due: HashMap<TaskId, Instant>,
}

impl QuestionSender {
    pub(super) fn new(bridge: &Bridge, session: &Opened) -> Self {
        Self {
            id: bridge.questions().new_sender_id(),
            session: session.id,
            capabilities: session.session.capabilities.clone(),
            receiver: Receiver::of(&session.session),
            request: None,
            sent: HashSet::new(),
            client_tasks: HashMap::new(),
            due: HashMap::new(),
        }
    }

    /// The connection that answers this request.
    pub(super) fn of_request(bridge: &Bridge, session: &Opened, request: &RawValue) -> Self {
        Self {
            request: Some(digest(request)),
            ..Self::new(bridge, session)
        }
    }

    /// Its id, as the record of a job and the session's stream name it.
    pub(super) fn id(&self) -> &SenderId {
        &self.id
    }

    pub(super) fn session(&self) -> SessionId {
        self.session
    }

    /// Whether the client cancelled the request that this connection answers.
    pub(super) async fn request_was_cancelled(&self, bridge: &Bridge) -> Result<bool, BridgeError> {
        let note = self.note(bridge).await?;
        Ok(note.is_some_and(|note| note.cancelled))
    }

    /// The request that this connection answers has its answer.
    pub(super) async fn request_was_answered(&self, bridge: &Bridge) {
        if let Some(request) = &self.request {
            let requests = bridge.session_requests();
            requests.answered(self.session, request).await;
        }
    }

    /// Whether a cancelled job must not be answered over this connection: the client cancelled this request, or has used
    /// its id for another call since.
    pub(super) async fn must_not_answer(
        &self,
        bridge: &Bridge,
        job: TaskId,
    ) -> Result<bool, BridgeError> {
        let note = self.note(bridge).await?;
        Ok(note.is_some_and(|note| note.cancelled || note.job.is_some_and(|noted| noted != job)))
    }

    async fn note(&self, bridge: &Bridge) -> Result<Option<RequestNote>, BridgeError> {
        let Some(request) = &self.request else {
            return Ok(None);
        };
        let note = bridge.session_requests().find(self.session, request);
        note.await.map(Some)
    }

    /// The messages to send now for the open questions of a job. First, the questions that no connection has sent and that
    /// this client can be asked. Second, polls of tasks by which the client answers. Call this every few seconds while
    /// questions are open, or this connection loses its right to send; and when [`due`](Self::due) says so.
    pub(super) async fn questions(
        &mut self,
        bridge: &Bridge,
        view: &TaskView,
    ) -> Result<Vec<Outgoing>, BridgeError> {
        let open = bridge.questions().open(view.id).await?;
        self.forget_answered(view.id, &open);
        self.messages_for(bridge, view, open).await
    }

    /// As [`questions`](Self::questions), but only for those that this connection has already sent or polls. So it keeps
    /// the right to send them, and takes no new ones.
    pub(super) async fn renew(
        &mut self,
        bridge: &Bridge,
        view: &TaskView,
    ) -> Result<Vec<Outgoing>, BridgeError> {
        self.pause_polls(view.id);
        let is_here = |(job, _): &(TaskId, String)| *job == view.id;
        if !self
            .sent
            .iter()
            .chain(self.client_tasks.keys())
            .any(is_here)
        {
            return Ok(Vec::new());
        }
        let mut open = bridge.questions().open(view.id).await?;
        self.forget_answered(view.id, &open);
        open.retain(|question| self.has_begun(view.id, &question.key));
        self.messages_for(bridge, view, open).await
    }

    fn has_begun(&self, id: TaskId, key: &str) -> bool {
        let question = (id, key.to_owned());
        self.sent.contains(&question) || self.client_tasks.contains_key(&question)
    }

    /// Forgets the questions of a job that are no longer open.
    fn forget_answered(&mut self, id: TaskId, open: &[Question]) {
        let stays = |(job, key): &(TaskId, String)| {
            *job != id || open.iter().any(|question| question.key == *key)
        };
        self.sent.retain(stays);
        self.client_tasks.retain(|question, _| stays(question));
    }

    async fn messages_for(
        &mut self,
        bridge: &Bridge,
        view: &TaskView,
        questions: Vec<Question>,
    ) -> Result<Vec<Outgoing>, BridgeError> {
        let mut messages = Vec::new();
        self.pause_polls(view.id);
        for question in questions {
            // The job may come from another session of the same owner. That session's client may have declared more than
            // this one.
            if !capabilities::missing_to_be_asked(&question.request, &self.capabilities).is_empty()
            {
                continue;
            }
            let sent = match &question.client_task {
                Some(task) if task.session == self.session => {
                    self.poll_client_task(bridge, view, &question.key).await?
                }
                _ => self.request_for(bridge, view, &question).await?,
            };
            messages.extend(sent);
        }
        Ok(messages)
    }

    async fn request_for(
        &mut self,
        bridge: &Bridge,
        view: &TaskView,
        question: &Question,
    ) -> Result<Option<Outgoing>, BridgeError> {
        let via = Via {
            sender: &self.id,
            session: self.session,
        };
        let may_be_sent = bridge
            .questions()
            .take_send_right(question_of(view, &question.key), via)
            .await?;
        let sent = (view.id, question.key.clone());
        Ok(match may_be_sent {
            Some(MayBeSent { request, lives }) if self.sent.insert(sent) => {
                let own = OwnRequest {
                    task: view.id,
                    key: &question.key,
                    about: None,
                };
                let ttl_ms = u64::try_from(lives.as_millis()).unwrap_or(u64::MAX);
                request_of(view, &own.to_string(), &request, (self.receiver, ttl_ms))
            }
            _ => None,
        })
    }

    async fn poll_client_task(
        &mut self,
        bridge: &Bridge,
        view: &TaskView,
        key: &str,
    ) -> Result<Option<Outgoing>, BridgeError> {
        let via = Via {
            sender: &self.id,
            session: self.session,
        };
        let polls = bridge
            .client_tasks()
            .poll(question_of(view, key), via)
            .await?;
        let Some(ToPoll { now, next }) = polls else {
            return Ok(None);
        };
        let next = Instant::now() + next;
        let due = self.due.entry(view.id).or_insert(next);
        *due = next.min(*due);
        let Some(poll) = now else {
            return Ok(None);
        };
        // `fetch`: the client's task has ended, so ask for its result; else for its status.
        let about = if poll.fetch {
            About::Outcome(poll.number)
        } else {
            About::Status(poll.number)
        };
        let message = receiver::message(view.id, key, about, &poll.task);
        self.client_tasks
            .insert((view.id, key.to_owned()), poll.task);
        Ok(Some(message))
    }

    /// Whether the client's own tasks can be cancelled.
    pub(super) fn can_cancel_client_tasks(&self) -> bool {
        self.receiver.cancels()
    }

    /// Cancels the client's tasks that nothing waits for any more.
    pub(super) async fn cancellations(
        &mut self,
        bridge: &Bridge,
        (id, owner): (TaskId, &Owner),
    ) -> Result<Vec<Outgoing>, BridgeError> {
        if !self.receiver.cancels() {
            return Ok(Vec::new());
        }
        let dropped = bridge
            .client_tasks()
            .drop_unwanted(id, owner, self.session)
            .await?;
        let cancel = |orphan: OrphanedTask| {
            self.client_tasks.remove(&(id, orphan.key.clone()));
            receiver::cancellation(id, &orphan.key, &orphan.task)
        };
        Ok(dropped.into_iter().map(cancel).collect())
    }

    /// Polls the client's tasks of a job no more, until its questions are read again, here or over another connection.
    pub(super) fn pause_polls(&mut self, id: TaskId) {
        self.due.remove(&id);
    }

    /// Forgets a job that has ended. Call after [`cancellations`](Self::cancellations).
    pub(super) fn forget_job(&mut self, id: TaskId) {
        self.pause_polls(id);
        self.forget_answered(id, &[]);
    }

    /// Forgets all jobs: another connection of the session sends now.
    pub(super) fn forget_all(&mut self) {
        self.sent.clear();
        self.client_tasks.clear();
        self.due.clear();
    }

    /// Cancels the client's tasks of a job whose record is gone, as far as this connection knows them.
    pub(super) fn cancel_all_client_tasks(&mut self, id: TaskId) -> Vec<Outgoing> {
        self.pause_polls(id);
        self.sent.retain(|(job, _)| *job != id);
        let known = self.client_tasks.extract_if(|(job, _), _| *job == id);
        let cancels = self.receiver.cancels();
        known
            .filter(|_| cancels)
            .map(|((_, key), task)| receiver::cancellation(id, &key, &task))
            .collect()
    }

    /// Waits until there is more to send for a job, and says which.
    pub(super) async fn due(&self) -> TaskId {
        match self.due.iter().min_by_key(|(_, at)| **at) {
            Some((id, at)) => {
                sleep_until(*at).await;
                *id
            }
            None => std::future::pending().await,
        }
    }

    /// Lets other connections send again the questions that this one sent and that have no response.
    pub(super) async fn recall(&self, bridge: &Bridge, (id, owner): (TaskId, &Owner)) {
        bridge.questions().recall(id, owner, &self.id).await;
    }
}

fn question_of<'a>(view: &'a TaskView, key: &'a str) -> QuestionRef<'a> {
    QuestionRef {
        task: view.id,
        owner: &view.owner,
        key,
    }
}

fn request_of(
    view: &TaskView,
    id: &str,
    request: &str,
    (receiver, ttl_ms): (Receiver, u64),
) -> Option<Outgoing> {
    let stored = RawObject::parse(request).ok()?;
    let method = stored.string("method")?;
    let params = stored.get("params").unwrap_or("{}");
    let mut params = RawObject::parse(params).ok()?;
    // URL mode needs an `elicitationId` in this era (2025-11-25, Elicitation, URL Mode). It must be unique, so a tool's
    // definition cannot contain it: the request id serves.
    if params.get("mode") == Some("\"url\"") && params.get("elicitationId").is_none() {
        params.set("elicitationId", &id);
    }
    if receiver.takes(&method) {
        params.set("task", &json!({ "ttl": ttl_ms }));
    }
    if !view.plain {
        params.set_meta(RELATED_TASK, &related(view.id));
    }
    Some(Outgoing::request(id, Method::named(&method)?, &params))
}

#[cfg(test)]
mod tests {
    use taskferry_contract::Shards;

    use super::*;

    #[test]
    fn an_answered_question_is_forgotten() {
        let shard = Shards::default().all().next().unwrap();
        let [job, other] = [(); 2].map(|()| TaskId::random(shard));
        let questions = [(job, "a"), (job, "b"), (other, "a")];
        let questions = questions.map(|(job, key)| (job, key.to_owned()));
        let mut sender = QuestionSender {
            id: "r:0".parse().unwrap(),
            session: SessionId::random(),
            capabilities: "{}".to_owned(),
            receiver: Receiver::default(),
            request: None,
            sent: questions.clone().into(),
            client_tasks: questions.clone().map(|q| (q, "t".to_owned())).into(),
            due: HashMap::new(),
        };
        let open = Question {
            key: "a".to_owned(),
            request: String::new(),
            client_task: None,
        };
        sender.forget_answered(job, &[open]);
        let [a, b, elsewhere] = questions;
        assert!(sender.has_begun(a.0, &a.1) && !sender.has_begun(b.0, &b.1));
        sender.forget_job(job);
        assert_eq!(sender.sent, HashSet::from([elsewhere.clone()]));
        assert_eq!(sender.client_tasks.keys().collect::<Vec<_>>(), [&elsewhere]);
    }
}
