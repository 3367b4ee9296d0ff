//! What the product does, in no protocol's words: start a job, wait for it, poll, cancel, answer, list.

mod catalog;
mod error;
mod mirrored;
mod seal;
mod waiters;

use std::sync::Arc;
use std::time::Duration;

use taskferry_contract::{
    AnswerReply, Asker, CancelReply, DeliverReply, HandOutReply, LogLevel, LogLine, Owner, Page,
    Question, ReplicaId, Ring, Store, Submission, SubmitReply, TaskId, TaskView,
};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

pub(crate) use catalog::{Catalog, Tool};
pub(crate) use error::BridgeError;
pub(crate) use mirrored::Mirrored;
use seal::Seal;
pub(crate) use seal::{Carried, Unsealed, digest};
use waiters::Waiters;
pub(crate) use waiters::Watch;

/// The registry is read again this often, in case a bell was missed.
const CATALOG_REFRESH: Duration = Duration::from_secs(5);

/// How long a connection that says nothing more of a question keeps the right to send it.
const RIGHT_TO_SEND: Duration = Duration::from_secs(15);

/// So many log lines are read at once.
const LINES_AT_ONCE: usize = 100;

/// So many rings wait for one who listens to all of them.
const RINGS_KEPT: usize = 4096;

/// Bounds on what callers may queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The most entries a queue may hold, 0 for no limit.
    pub(crate) queue_cap: u64,
    /// The most live jobs an owner may have, 0 for no limit.
    pub(crate) owner_cap: u64,
    /// How long the record of a plain call stays after its end: so long a client whose stream broke can fetch the result.
    pub(crate) plain_keep: Duration,
}

/// A call to be carried to the workers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    /// The tool.
    pub(crate) tool: &'a Tool,
    /// The arguments, a JSON object that fits the tool's schema.
    pub(crate) arguments: &'a str,
    /// Who calls.
    pub(crate) owner: &'a Owner,
    /// What the client can be asked, a JSON object.
    pub(crate) capabilities: &'a str,
    /// W3C trace context of the call.
    pub(crate) trace: Option<&'a str>,
    /// From which level on the caller hears of the job's log; of none if absent.
    pub(crate) log_level: Option<LogLevel>,
    /// Answers that the caller gave before it was asked: key and JSON.
    pub(crate) answers: &'a [(String, String)],
    /// Questions to be answered before the job is queued: key and JSON of method and params.
    pub(crate) asks: &'a [(String, String)],
}

/// What a caller wants of a task.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// How long it should live, ms; the tool's bounds decide.
    pub(crate) ttl_ms: Option<u64>,
    /// How long it stays readable after its end at least, zero to leave the ttl alone.
    pub(crate) keep: Duration,
    /// The session that is told how it goes.
    pub(crate) asker: Option<&'a Asker>,
}

/// The use cases of one replica. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Bridge(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    replica: ReplicaId,
    catalog: Catalog,
    waiters: Arc<Waiters>,
    rings: broadcast::Sender<TaskId>,
    seal: Seal,
    limits: Limits,
}

impl Bridge {
    pub(crate) fn new(store: Store, limits: Limits) -> Self {
        Self(Arc::new(Inner {
            catalog: Catalog::new(store.clone()),
            seal: Seal::new(store.clone()),
            store,
            replica: ReplicaId::random(),
            waiters: Arc::default(),
            rings: broadcast::Sender::new(RINGS_KEPT),
            limits,
        }))
    }

    /// Keeps the catalog and the waiters awake until `stop`.
    pub(crate) async fn run(&self, stop: &CancellationToken) {
        let bell = self.0.store.replica_bell(&self.0.replica);
        let rings = bell.listen(stop, |ring| match ring {
            Ring::Task(id) => {
                self.0.waiters.wake(id);
                // Without a receiver there is nobody to tell.
                let _nobody = self.0.rings.send(id);
            }
            Ring::Tools => self.0.catalog.wake(),
            Ring::Connected => {
                self.0.waiters.wake_all();
                self.0.catalog.wake();
            }
        });
        tokio::join!(rings, self.0.catalog.keep_fresh(CATALOG_REFRESH, stop));
    }

    /// The tools.
    pub(crate) fn catalog(&self) -> &Catalog {
        &self.0.catalog
    }

    /// Whether requests can be served: Redis answers and knows every transition.
    pub(crate) async fn ready(&self) -> Result<(), BridgeError> {
        Ok(self.0.store.ready().await?)
    }

    /// This replica.
    pub(crate) fn replica(&self) -> &ReplicaId {
        &self.0.replica
    }

    /// Every ring of this replica's bell.
    pub(crate) fn rings(&self) -> broadcast::Receiver<TaskId> {
        self.0.rings.subscribe()
    }

    /// A name for a connection over which questions are sent.
    pub(crate) fn new_carrier(&self) -> String {
        format!("{}:{:08x}", self.0.replica, rand::random::<u32>())
    }

    /// Asks for the right to send an open question over the connection `carrier`, or to keep it.
    pub(crate) async fn deliver(
        &self,
        id: TaskId,
        owner: &Owner,
        key: &str,
        carrier: &str,
    ) -> Result<DeliverReply, BridgeError> {
        let right = (carrier, RIGHT_TO_SEND);
        Ok(self.0.store.deliver_input(id, owner, key, right).await?)
    }

    /// Gives the unanswered questions of a connection that closed to whoever has another.
    pub(crate) async fn recall(&self, id: TaskId, owner: &Owner, carrier: &str) {
        if let Err(error) = self.0.store.recall_input(id, owner, carrier).await {
            tracing::warn!(task = %id, %error, "questions that were sent over a closed connection could not be recalled");
        }
    }

    /// The store, for sessions.
    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    /// Queues a call as a task; it is durable when this returns.
    pub(crate) async fn start(
        &self,
        call: &Call<'_>,
        wanted: &Wanted<'_>,
    ) -> Result<TaskView, BridgeError> {
        let definition = &call.tool.definition;
        let ttl_ms = definition.ttl.choose(wanted.ttl_ms);
        let id = TaskId::random(self.0.store.shards().of(call.owner));
        let session = wanted.asker.map(|asker| asker.session);
        let listener = match session {
            Some(session) => self.0.store.session_stream(session).await?,
            None => None,
        };
        let session_text = session.map(|session| session.to_string());
        let submission = Submission {
            plain: false,
            ttl: Duration::from_millis(ttl_ms),
            keep: wanted.keep,
            waiter: listener.as_ref(),
            session: session_text.as_deref(),
            progress_token: wanted
                .asker
                .and_then(|asker| asker.progress_token.as_deref()),
            ..self.submission(call, id)
        };
        let created_ms = self.submit(&submission).await?;
        let lives_ms = i64::try_from(ttl_ms).unwrap_or(i64::MAX);
        if let Some(session) = session {
            let expires = created_ms.saturating_add(lives_ms);
            self.0.store.note_session_task(session, id, expires).await?;
        }
        Ok(TaskView {
            id,
            status: taskferry_contract::Status::Queued,
            tool: definition.name.to_string(),
            owner: call.owner.clone(),
            plain: false,
            created_ms,
            updated_ms: created_ms,
            ttl_ms: lives_ms,
            poll_ms: definition.poll_interval_ms,
            message: None,
            is_error: false,
            progress: None,
            total: None,
            attempt: 0,
            result: None,
            error: None,
        })
    }

    /// Queues a plain call and watches it. `asker` is the session that may go on watching it over another connection.
    pub(crate) async fn call(
        &self,
        call: &Call<'_>,
        asker: Option<&Asker>,
    ) -> Result<Watch, BridgeError> {
        let id = TaskId::random(self.0.store.shards().of(call.owner));
        let watch = self.0.waiters.watch(&self.0.store, id, call.owner);
        let session = asker.map(|asker| asker.session.to_string());
        let submission = Submission {
            plain: true,
            ttl: Duration::from_millis(call.tool.definition.ttl.default_ms),
            keep: self.0.limits.plain_keep,
            waiter: Some(&self.0.replica),
            session: session.as_deref(),
            progress_token: asker.and_then(|asker| asker.progress_token.as_deref()),
            ..self.submission(call, id)
        };
        self.submit(&submission).await?;
        Ok(watch)
    }

    /// Watches a task of `owner`; the first look is its state now.
    pub(crate) async fn watch(&self, id: TaskId, owner: &Owner) -> Result<Watch, BridgeError> {
        let mut watch = self.0.waiters.watch(&self.0.store, id, owner);
        let now = self.0.store.watch(id, owner, &self.0.replica).await?;
        watch.seed(owned(now, owner)?);
        Ok(watch)
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

    /// Makes the plain call that is watched a task, since its caller waits no longer. Nothing if it ended meanwhile: the
    /// next look shows that.
    pub(crate) async fn hand_out(
        &self,
        watch: &mut Watch,
        keep: Duration,
    ) -> Result<Option<TaskView>, BridgeError> {
        let handed = self.0.store.hand_out(watch.id(), watch.owner(), keep);
        match handed.await? {
            HandOutReply::HandedOut(view) => {
                tracing::info!(task = %view.id, tool = %view.tool, "handed out");
                Ok(Some(view))
            }
            HandOutReply::AlreadyTerminal(view) => {
                watch.seed(view);
                Ok(None)
            }
            HandOutReply::NotFound => Err(BridgeError::NotFound),
        }
    }

    /// Cancels a plain call of `owner`; one that was handed out is a task, and goes on.
    pub(crate) async fn cancel_call(&self, id: TaskId, owner: &Owner) -> Result<(), BridgeError> {
        match self.0.store.view(id).await? {
            Some(view) if view.plain => self.cancel(id, owner).await.map(drop),
            _ => Ok(()),
        }
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

    /// Reads a task of `owner`.
    pub(crate) async fn poll(&self, id: TaskId, owner: &Owner) -> Result<TaskView, BridgeError> {
        owned(self.0.store.view(id).await?, owner)
    }

    /// Reads a task of `owner` with its outcome.
    pub(crate) async fn poll_with_outcome(
        &self,
        id: TaskId,
        owner: &Owner,
    ) -> Result<TaskView, BridgeError> {
        owned(self.0.store.view_with_outcome(id).await?, owner)
    }

    /// The open questions of a task that `poll` showed to its owner.
    pub(crate) async fn questions(&self, id: TaskId) -> Result<Vec<Question>, BridgeError> {
        Ok(self.0.store.questions(id).await?)
    }

    /// Lines of a job's log after a place, a batch at a time.
    pub(crate) async fn log_lines(
        &self,
        id: TaskId,
        after: Option<&str>,
    ) -> Result<Vec<LogLine>, BridgeError> {
        Ok(self.0.store.log_lines(id, after, LINES_AT_ONCE).await?)
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

    /// Cancels a task. `Err(view)` inside if it had ended before.
    pub(crate) async fn cancel(
        &self,
        id: TaskId,
        owner: &Owner,
    ) -> Result<Result<TaskView, TaskView>, BridgeError> {
        let message = "The task was cancelled by request.";
        match self.0.store.cancel(id, owner, message).await? {
            CancelReply::Cancelled(view) => {
                tracing::info!(task = %id, tool = %view.tool, "cancelled");
                Ok(Ok(view))
            }
            CancelReply::AlreadyTerminal(view) => Ok(Err(view)),
            CancelReply::NotFound => Err(BridgeError::NotFound),
        }
    }

    /// A page of the owner's tasks.
    pub(crate) async fn list(
        &self,
        owner: &Owner,
        after: Option<(u64, TaskId)>,
        limit: usize,
    ) -> Result<Page, BridgeError> {
        Ok(self.0.store.list_owned(owner, after, limit).await?)
    }

    fn submission<'a>(&self, call: &Call<'a>, id: TaskId) -> Submission<'a> {
        Submission {
            tool: &call.tool.definition,
            id,
            owner: call.owner,
            arguments: call.arguments,
            plain: false,
            ttl: Duration::ZERO,
            keep: Duration::ZERO,
            idempotency_key: None,
            capabilities: Some(call.capabilities),
            trace: call.trace,
            waiter: None,
            session: None,
            progress_token: None,
            log_level: call.log_level,
            answers: call.answers,
            asks: call.asks,
            queue_cap: self.0.limits.queue_cap,
            owner_cap: self.0.limits.owner_cap,
        }
    }

    async fn submit(&self, job: &Submission<'_>) -> Result<i64, BridgeError> {
        match self.0.store.submit(job).await? {
            SubmitReply::Queued { created_ms } => {
                tracing::debug!(task = %job.id, tool = %job.tool.name, plain = job.plain, "queued");
                Ok(created_ms)
            }
            SubmitReply::QueueFull { length } => Err(BridgeError::QueueFull {
                queue: job.tool.queue.to_string(),
                length,
            }),
            SubmitReply::OwnerLimit { live } => Err(BridgeError::OwnerLimit { live }),
            SubmitReply::Duplicate(id) => Err(BridgeError::Duplicate(id)),
        }
    }
}

/// Another owner's task is not found, just as one that never was. So is the record of a plain call: it is no task.
fn owned(view: Option<TaskView>, owner: &Owner) -> Result<TaskView, BridgeError> {
    view.filter(|view| view.owner == *owner && !view.plain)
        .ok_or(BridgeError::NotFound)
}
