//! Plain calls: a client waits for the answer. They are no tasks unless they are promoted.

use std::sync::Arc;
use std::time::Duration;

use taskferry_contract::{
    Alias, FrontEndId, LeaveReply, Leaver, Owner, PromoteReply, QuestionRef, Requestor, Status,
    Store, Submission, TaskId, TaskView,
};

use super::fleet::KnownFleet;
use super::submit::{Submitted, Submitter};
use super::waiters::Waiters;
use super::{BridgeError, Call, Watch, identity};
use crate::audit::{Act, Audit, Denied, Done};

/// What a cancelled job says of itself.
pub(super) const CANCELLED: &str = "The task was cancelled by request.";

/// The plain calls of all owners.
#[derive(Debug)]
pub(crate) struct Calls {
    pub(super) store: Store,
    pub(super) front_end: FrontEndId,
    pub(super) submitter: Submitter,
    pub(super) waiters: Arc<Waiters>,
    pub(super) fleet: Arc<KnownFleet>,
}

impl Calls {
    /// Queues a plain call, or finds the job it is to share, and watches it. `requestor` is the session that may go on
    /// watching its own job over another connection.
    pub(crate) async fn begin(
        &self,
        call: &Call<'_>,
        requestor: Option<&Requestor>,
    ) -> Result<Watch, BridgeError> {
        let alias = identity::alias(call, requestor.map(|requestor| requestor.session));
        let session = requestor.map(|requestor| requestor.session.to_string());
        let submission = Submission {
            plain: true,
            ttl: Duration::from_millis(call.tool.definition.ttl.default_ms),
            keep: self.submitter.limits.plain_keep,
            waiter: Some(&self.front_end),
            session: session.as_deref(),
            progress_token: requestor.and_then(|requestor| requestor.progress_token.as_deref()),
            ..self.submitter.submission(call, alias.as_ref())
        };
        let mut watch = self.waiters.watch(submission.id, call.owner);
        watch.found_again(alias.is_some());
        match self.submitter.submit(&submission).await? {
            Submitted::Queued { .. } => Ok(watch),
            Submitted::Joined(view) => {
                let mut joined = self.resume(view.id, call.owner, &[]).await?;
                joined.join_as(submission.id);
                joined.found_again(true);
                Ok(joined)
            }
        }
    }

    /// Whether the caller's idempotency key stands for a job that the call would join. It may end to before the call is made.
    pub(crate) async fn would_join(&self, call: &Call<'_>) -> Result<bool, BridgeError> {
        let Some(alias) = call
            .idempotency_key
            .and_then(|_key| identity::alias(call, None))
        else {
            return Ok(false);
        };
        let shard = Alias::shard(Some(&alias), call.owner, self.store.shards());
        let job = self.store.aliased(shard, &alias).await?;
        // Whoever made a plain call that was cancelled left it.
        Ok(job.is_some_and(|job| !(job.plain && job.status == Status::Cancelled)))
    }

    /// Watches the job of a plain call again, after storing its caller's answers, if there are any.
    pub(crate) async fn resume(
        &self,
        id: TaskId,
        owner: &Owner,
        answers: &[(&str, &str)],
    ) -> Result<Watch, BridgeError> {
        for (key, answer) in answers {
            let question = QuestionRef {
                task: id,
                owner,
                key,
            };
            self.store.answer_input(question, answer).await?;
        }
        let audit = &self.submitter.audit;
        let mut watch = self.waiters.watch(id, owner);
        let Some(now) = self.store.watch(id, owner, &self.front_end).await? else {
            audit.denied(Denied::job(owner, id));
            return Err(BridgeError::NotFound);
        };
        if !answers.is_empty() {
            audit.done(Done::to(Act::Answer, &now));
        }
        // It may have been made a task since; then it is a task of the same owner.
        watch.seed(now);
        Ok(watch)
    }

    /// Promotes the watched plain call to a task, since its caller waits no longer. `None` if it ended meanwhile: the next
    /// read shows that.
    pub(crate) async fn promote(
        &self,
        watch: &mut Watch,
        keep: Duration,
    ) -> Result<Option<TaskView>, BridgeError> {
        let promoted = self.store.promote(watch.id(), watch.owner(), keep);
        match promoted.await? {
            PromoteReply::Promoted(view) => {
                tracing::info!(task = %view.id.digest(), tool = %view.tool, "promoted to a task");
                Ok(Some(self.fleet.complete(view).await))
            }
            PromoteReply::AlreadyTerminal(view) => {
                watch.seed(view);
                Ok(None)
            }
            PromoteReply::NotFound => Err(BridgeError::NotFound),
        }
    }

    /// Takes a caller whose connection was lost off the watched plain call, and cancels it if no other caller waits for it.
    /// One that is a task by now goes on.
    pub(crate) async fn leave(&self, watch: &Watch) -> Result<(), BridgeError> {
        let leaver = Leaver {
            sharer: watch.joined_as(),
            on_purpose: false,
        };
        let store = (&self.store, &self.submitter.audit);
        leave_call(store, watch.id(), watch.owner(), leaver).await
    }
}

/// Takes a caller off a plain call, and cancels it if no other caller waits for it. One that is a task by now goes on.
pub(super) async fn leave_call(
    (store, audit): (&Store, &Audit),
    id: TaskId,
    owner: &Owner,
    leaver: Leaver,
) -> Result<(), BridgeError> {
    let left = store.leave_call(id, owner, leaver, CANCELLED).await?;
    if left == LeaveReply::Cancelled {
        audit.done(Done {
            act: Act::Cancel,
            owner,
            task: id,
            tool: None,
        });
    }
    Ok(())
}
