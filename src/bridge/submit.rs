//! Queueing calls: as tasks, or as plain calls that someone waits for.

use std::time::Duration;

use taskferry_contract::{
    Alias, CancelReply, Lifetime, Requestor, Status, Submission, SubmitReply, TaskId, TaskView,
};

use super::{Bridge, BridgeError, Call, Wanted, Watch, identity, twice};

impl Bridge {
    /// Queues a call as a task, or finds the task it is to share; it is durable when this returns.
    pub(crate) async fn start(
        &self,
        call: &Call<'_>,
        wanted: &Wanted<'_>,
    ) -> Result<TaskView, BridgeError> {
        let session = wanted.requestor.map(|requestor| requestor.session);
        let alias = identity::alias(call, session);
        let listener = match session {
            Some(session) => self.0.store.session_stream(session).await?,
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
            ..self.submission(call, alias.as_ref())
        };
        let view = match self.submit(&submission).await? {
            Submitted::Queued { created_ms } => queued(&submission, created_ms),
            Submitted::Joined(view) => *view,
        };
        let view = self.0.fleet.complete(view).await;
        if let Some(session) = session {
            let (store, task) = (&self.0.store, view.id);
            let lives = Lifetime {
                from_ms: view.created_ms,
                until_ms: view.created_ms.saturating_add(view.ttl_ms),
            };
            let noted = twice(|| store.note_session_task(session, task, lives)).await;
            // An error here would have the client make the call again, and the task is there.
            if let Err(error) = noted {
                tracing::warn!(%task, %session, %error, "the session's own stream will not tell of a task");
            }
        }
        Ok(view)
    }

    /// Queues a plain call, or finds the job it is to share, and watches it. `requestor` is the session that may go on
    /// watching its own job over another connection.
    pub(crate) async fn call(
        &self,
        call: &Call<'_>,
        requestor: Option<&Requestor>,
    ) -> Result<Watch, BridgeError> {
        let alias = identity::alias(call, requestor.map(|requestor| requestor.session));
        let session = requestor.map(|requestor| requestor.session.to_string());
        let submission = Submission {
            plain: true,
            ttl: Duration::from_millis(call.tool.definition.ttl.default_ms),
            keep: self.0.limits.plain_keep,
            waiter: Some(&self.0.replica),
            session: session.as_deref(),
            progress_token: requestor.and_then(|requestor| requestor.progress_token.as_deref()),
            ..self.submission(call, alias.as_ref())
        };
        let mut watch = self
            .0
            .waiters
            .watch(&self.0.store, submission.id, call.owner);
        watch.found_again(alias.is_some());
        match self.submit(&submission).await? {
            Submitted::Queued { .. } => Ok(watch),
            Submitted::Joined(view) => {
                let mut joined = self.resume(view.id, call.owner, &[]).await?;
                joined.hold_as(submission.id);
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
        let shard = Alias::shard(Some(&alias), call.owner, self.0.store.shards());
        let job = self.0.store.aliased(shard, &alias).await?;
        // Whoever made a plain call that was cancelled left it.
        Ok(job.is_some_and(|job| !(job.plain && job.status == Status::Cancelled)))
    }

    fn submission<'a>(&self, call: &Call<'a>, alias: Option<&'a Alias>) -> Submission<'a> {
        let shard = Alias::shard(alias, call.owner, self.0.store.shards());
        let (tool, id) = (&call.tool.definition, TaskId::random(shard));
        Submission {
            definition: Some(&call.tool.digest),
            alias,
            capabilities: Some(call.capabilities),
            trace: call.trace,
            log_level: call.log_level,
            answers: call.answers,
            asks: call.asks,
            queue_cap: self.0.limits.queue_cap,
            owner_cap: self.0.limits.owner_cap,
            ..Submission::new(tool, id, call.owner, call.arguments)
        }
    }

    async fn submit(&self, job: &Submission<'_>) -> Result<Submitted, BridgeError> {
        // The id makes it the same submit: one whose reply was lost is not queued twice.
        let submitted = twice(|| self.0.store.submit(job)).await;
        let reply = match submitted.map_err(BridgeError::from) {
            Err(BridgeError::NotReplicated {
                wanted,
                acknowledged,
            }) => {
                return Err(if self.take_back(job.id).await {
                    BridgeError::NotAccepted {
                        wanted,
                        acknowledged,
                    }
                } else {
                    BridgeError::NotReplicated {
                        wanted,
                        acknowledged,
                    }
                });
            }
            outcome => outcome?,
        };
        match reply {
            SubmitReply::Queued { created_ms } => {
                tracing::debug!(task = %job.id, tool = %job.tool.name, plain = job.plain, "queued");
                Ok(Submitted::Queued { created_ms })
            }
            SubmitReply::Joined(view) => {
                tracing::debug!(task = %view.id, tool = %view.tool, plain = job.plain, "joined");
                Ok(Submitted::Joined(view))
            }
            SubmitReply::QueueFull { length } => Err(BridgeError::QueueFull {
                queue: job.tool.queue.to_string(),
                length,
            }),
            SubmitReply::OwnerLimit { live } => Err(BridgeError::OwnerLimit { live }),
            SubmitReply::OtherCall => Err(BridgeError::OtherCall),
        }
    }

    /// Cancels a job that no client was told of. If that fails, it runs, and nobody asks for it. False if there is no such
    /// job: the call joined another, which stays.
    async fn take_back(&self, id: TaskId) -> bool {
        let message = "Too few replicas acknowledged the task.";
        match self.0.store.cancel_any(id, message).await {
            Ok(reply) => reply != CancelReply::NotFound,
            Err(error) => {
                tracing::warn!(task = %id, %error, "a task that was not accepted could not be cancelled; it may run");
                true
            }
        }
    }
}

/// What stands behind a call.
enum Submitted {
    /// A job of its own, queued at this time, ms since the epoch.
    Queued { created_ms: i64 },
    /// One that was there before.
    Joined(Box<TaskView>),
}

/// A job that was just queued, as a poll would show it.
fn queued(job: &Submission<'_>, created_ms: i64) -> TaskView {
    TaskView {
        id: job.id,
        status: Status::Queued,
        tool: job.tool.name.to_string(),
        owner: job.owner.clone(),
        plain: false,
        created_ms,
        updated_ms: created_ms,
        ttl_ms: i64::try_from(job.ttl.as_millis()).unwrap_or(i64::MAX),
        poll_ms: job.tool.poll_interval_ms,
        poll_max_ms: job.tool.poll_interval_max_ms,
        message: None,
        is_error: false,
        progress: None,
        total: None,
        attempt: 0,
        waits: None,
        queue: job.tool.queue.to_string(),
        limit: job.tool.concurrency.map(u64::from),
        lease_ms: None,
        last_crash: false,
        served: None,
        result: None,
        error: None,
    }
}
