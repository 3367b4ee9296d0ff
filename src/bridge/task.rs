//! Tasks: begun, read, watched, cancelled, listed.

use std::sync::Arc;
use std::time::Duration;

use taskferry_contract::{
    CancelReply, FrontEndId, Lifetime, LogLine, Owner, Requestor, Store, Submission, TaskId,
    TaskView,
};

use super::error::retry_once;
use super::fleet::KnownFleet;
use super::outcomes::Outcomes;
use super::plain_call::CANCELLED;
use super::submit::{Submitted, Submitter, queued};
use super::waiters::Waiters;
use super::{BridgeError, Call, Wanted, Watch, identity};
use crate::audit::{Act, Denied, Done};

/// So many log lines are read at once, of up to 8 KiB each: a client that takes its time holds these.
const LINES_AT_ONCE: usize = 16;

/// What became of the wish to cancel a task.
#[derive(Debug)]
pub(crate) enum Cancelled {
    /// It is cancelled.
    Now(TaskView),
    /// It had ended before.
    EndedBefore(TaskView),
}

/// Some of an owner's tasks.
#[derive(Debug)]
pub(crate) struct TaskPage {
    /// The tasks, those that expire first at the front.
    pub(crate) tasks: Vec<TaskView>,
    /// The expiry and id of the last task of this page, to pass for the next one. `None` if this was the last page.
    pub(crate) next: Option<(u64, TaskId)>,
}

/// The tasks of all owners.
#[derive(Debug)]
pub(crate) struct Tasks {
    pub(super) store: Store,
    pub(super) front_end: FrontEndId,
    pub(super) submitter: Submitter,
    pub(super) waiters: Arc<Waiters>,
    pub(super) fleet: Arc<KnownFleet>,
    pub(super) outcomes: Arc<Outcomes>,
}

impl Tasks {
    /// Queues a call as a task, or finds the task it is to share; it is durable when this returns.
    pub(crate) async fn start(
        &self,
        call: &Call<'_>,
        wanted: &Wanted<'_>,
    ) -> Result<TaskView, BridgeError> {
        let session = wanted.requestor.map(|requestor| requestor.session);
        let alias = identity::alias(call, session);
        let listener = match session {
            Some(session) => self.store.session_stream(session).await?,
            None => None,
        };
        let session_text = session.map(|session| session.to_string());
        let submission = Submission {
            plain: false,
            ttl: Duration::from_millis(call.tool.definition.ttl.choose(wanted.ttl_ms)),
            keep: wanted.keep,
            waiter: listener.as_ref(),
            session: session_text.as_deref(),
            progress_token: wanted
                .requestor
                .and_then(|requestor| requestor.progress_token.as_deref()),
            ..self.submitter.submission(call, alias.as_ref())
        };
        let view = match self.submitter.submit(&submission).await? {
            Submitted::Queued { created_ms } => queued(&submission, created_ms),
            Submitted::Joined(view) => *view,
        };
        let view = self.fleet.complete(view).await;
        if let Some(session) = session {
            let (store, task) = (&self.store, view.id);
            let lives = Lifetime {
                from_ms: view.created_ms,
                until_ms: view.created_ms.saturating_add(view.ttl_ms),
            };
            let noted = retry_once(|| store.note_session_task(session, task, lives)).await;
            // An error here would have the client make the call again, and the task is there.
            if let Err(error) = noted {
                tracing::warn!(task = %task.digest(), session = %session.digest(), %error, "the session's own stream will send nothing about a task");
            }
        }
        Ok(view)
    }

    /// Reads a task of `owner`.
    pub(crate) async fn poll(&self, id: TaskId, owner: &Owner) -> Result<TaskView, BridgeError> {
        let view = self.store.view(id).await?;
        self.owned(view, (id, owner)).await
    }

    /// Reads a task of `owner` with its outcome, to hand that to its caller.
    pub(crate) async fn poll_with_outcome(
        &self,
        id: TaskId,
        owner: &Owner,
    ) -> Result<TaskView, BridgeError> {
        let (view, bytes) = self.store.view_with_size(id).await?.unzip();
        let view = self.owned(view, (id, owner)).await?;
        let ended = self.outcomes.complete(view, bytes.unwrap_or(0)).await?;
        let view = ended.ok_or(BridgeError::NotFound)?;
        if view.result.is_some() || view.error.is_some() {
            self.submitter.audit.done(Done::to(Act::Read, &view));
        }
        Ok(view)
    }

    /// Lines of a job's log after a place, a batch at a time.
    pub(crate) async fn log_lines(
        &self,
        id: TaskId,
        after: Option<&str>,
    ) -> Result<Vec<LogLine>, BridgeError> {
        Ok(self.store.log_lines(id, after, LINES_AT_ONCE).await?)
    }

    /// Watches a task of `owner`; the first state is the one it has now.
    pub(crate) async fn watch(&self, id: TaskId, owner: &Owner) -> Result<Watch, BridgeError> {
        let mut watch = self.waiters.watch(id, owner);
        let now = self.store.watch(id, owner, &self.front_end).await?;
        watch.seed(self.owned(now, (id, owner)).await?);
        Ok(watch)
    }

    /// Cancels a task. The record of a plain call is no task, though one may know its id.
    pub(crate) async fn cancel(&self, id: TaskId, owner: &Owner) -> Result<Cancelled, BridgeError> {
        self.poll(id, owner).await?;
        match self.store.cancel(id, owner, CANCELLED).await? {
            CancelReply::Cancelled(view) => {
                self.submitter.audit.done(Done::to(Act::Cancel, &view));
                Ok(Cancelled::Now(view))
            }
            CancelReply::AlreadyTerminal(view) => Ok(Cancelled::EndedBefore(view)),
            CancelReply::NotFound => Err(BridgeError::NotFound),
        }
    }

    /// A page of the owner's tasks.
    pub(crate) async fn list(
        &self,
        owner: &Owner,
        after: Option<(u64, TaskId)>,
        limit: usize,
    ) -> Result<TaskPage, BridgeError> {
        let page = self.store.list_owned(owner, after, limit).await?;
        let mut tasks = Vec::with_capacity(page.tasks.len());
        for view in page.tasks {
            tasks.push(self.fleet.complete(view).await);
        }
        Ok(TaskPage {
            tasks,
            next: page.next,
        })
    }

    /// The session that asked for a job. `None` if none did.
    pub(crate) async fn requestor(&self, id: TaskId) -> Result<Option<Requestor>, BridgeError> {
        Ok(self.store.requestor(id).await?)
    }

    /// Has this front end rung from now on whenever a job of `owner` changes.
    pub(crate) async fn have_rung(&self, id: TaskId, owner: &Owner) -> Result<(), BridgeError> {
        self.store.watch(id, owner, &self.front_end).await?;
        Ok(())
    }

    /// Another owner's task is not found, just as one that never was. So is the record of a plain call: it is no task.
    async fn owned(
        &self,
        view: Option<TaskView>,
        (id, owner): (TaskId, &Owner),
    ) -> Result<TaskView, BridgeError> {
        let view = view.filter(|view| view.owner == *owner && !view.plain);
        let Some(view) = view else {
            self.submitter.audit.denied(Denied::job(owner, id));
            return Err(BridgeError::NotFound);
        };
        Ok(self.fleet.complete(view).await)
    }
}
