//! Queueing calls: as tasks, or as plain calls that someone waits for.

use std::time::Duration;

use taskferry_contract::{
    Asker, LogLevel, Owner, Status, Submission, SubmitReply, TaskId, TaskView,
};

use super::{Bridge, BridgeError, Tool, Watch};

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

impl Bridge {
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
            status: Status::Queued,
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
