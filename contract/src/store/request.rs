//! What a front end asks of the store.

use std::borrow::Cow;
use std::time::Duration;

use crate::error::Error;
use crate::ids::{Owner, ReplicaId, TaskId};
use crate::log::LogLevel;
use crate::record::{Question, TaskView, VIEW_FIELDS};
use crate::reply::Reply;
use crate::script::{TRANSITIONS, Transition};
use crate::session::SessionId;
use crate::store::{Store, millis};
use crate::tool::ToolDefinition;

/// A job to be queued.
#[derive(Debug, Clone)]
pub struct Submission<'a> {
    /// The tool to run; its limits go into the record.
    pub tool: &'a ToolDefinition,
    /// The id, made by the caller so that a repeated submit is the same submit.
    pub id: TaskId,
    /// Whose task it is.
    pub owner: &'a Owner,
    /// The arguments, a JSON object that fits the tool's input schema.
    pub arguments: &'a str,
    /// Whether it stands behind a plain call: then it is in no list, and its record goes soon after the end.
    pub plain: bool,
    /// How long the record lives.
    pub ttl: Duration,
    /// How long it stays after the end: at least, for a task; at most, for a plain call. Zero leaves a task's ttl alone.
    pub keep: Duration,
    /// A second submit by the same owner with the same key finds the first.
    pub idempotency_key: Option<&'a str>,
    /// The MCP client capabilities, a JSON object.
    pub capabilities: Option<&'a str>,
    /// The W3C `traceparent` of the call.
    pub trace: Option<&'a str>,
    /// A replica that waits for the outcome from the start.
    pub waiter: Option<&'a ReplicaId>,
    /// The legacy session that asked for it: it is told how a task goes, and may resume the stream of a plain call.
    pub session: Option<&'a str>,
    /// Under which token the session is told of progress: a JSON string or integer.
    pub progress_token: Option<&'a str>,
    /// Answers that are there before anything was asked: key and JSON.
    pub answers: &'a [(String, String)],
    /// Questions, key and JSON of method and params, without whose answers the job is not queued.
    pub asks: &'a [(String, String)],
    /// From which level on the client hears of the job's log; of none if absent.
    pub log_level: Option<LogLevel>,
    /// The most entries the queue may hold, 0 for no limit.
    pub queue_cap: u64,
    /// The most live jobs the owner may have, 0 for no limit.
    pub owner_cap: u64,
}

/// What became of a submit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmitReply {
    /// Queued at this time, ms since the epoch.
    Queued {
        /// The record's `created_ms`.
        created_ms: i64,
    },
    /// The idempotency key stands for this task already.
    Duplicate(TaskId),
    /// The queue is full.
    QueueFull {
        /// Its entries.
        length: u64,
    },
    /// The owner has too many live jobs.
    OwnerLimit {
        /// How many.
        live: u64,
    },
}

/// What became of a cancel.
#[derive(Debug, Clone, PartialEq)]
pub enum CancelReply {
    /// Cancelled now.
    Cancelled(TaskView),
    /// It had ended before.
    AlreadyTerminal(TaskView),
    /// There is no such task for this owner.
    NotFound,
}

/// What became of a plain call whose caller waits no longer.
#[derive(Debug, Clone, PartialEq)]
pub enum HandOutReply {
    /// It is a task.
    HandedOut(TaskView),
    /// It ended before; here is its outcome.
    AlreadyTerminal(TaskView),
    /// There is no such record for this owner.
    NotFound,
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerReply {
    /// Stored; so many questions are still open.
    Stored {
        /// Open questions.
        open: u64,
    },
    /// Nothing waits for this key.
    Ignored,
    /// There is no such task for this owner.
    NotFound,
}

/// Who asked for a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// The legacy session.
    pub session: SessionId,
    /// Under which token it wants progress: a JSON string or integer.
    pub progress_token: Option<String>,
}

/// What became of a wish to send a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliverReply {
    /// It is the caller's to send: a JSON object of method and params.
    Send(String),
    /// Another carrier has it.
    Taken,
    /// It is not open.
    Ignored,
    /// There is no such task for this owner.
    NotFound,
}

/// A page of an owner's tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The tasks, those that expire first at the front.
    pub tasks: Vec<TaskView>,
    /// Where the next page starts, if there is one: the expiry and id of the last task looked at.
    pub next: Option<(u64, TaskId)>,
}

impl Store {
    /// Queues a job: record, expiry and entry together, or nothing.
    ///
    /// # Errors
    ///
    /// If Redis fails; then the job may have been queued, and the same call again is safe.
    pub async fn submit(&self, job: &Submission<'_>) -> Result<SubmitReply, Error> {
        let shard = job.id.shard();
        let (record, queue) = (
            self.keys.task(job.id),
            self.keys.queue(shard, &job.tool.queue),
        );
        let args = submit_args(job, self.keys.base(shard));
        let args: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
        let mut reply = self
            .call(&TRANSITIONS.submit, &[&record, &queue], &args)
            .await?;
        match reply.tag.as_str() {
            "OK" => Ok(SubmitReply::Queued {
                created_ms: reply.integer()?,
            }),
            "DUPLICATE" => Ok(SubmitReply::Duplicate(reply.integer()?)),
            "QUEUE_FULL" => Ok(SubmitReply::QueueFull {
                length: reply.integer()?,
            }),
            "LIMIT" => Ok(SubmitReply::OwnerLimit {
                live: reply.integer()?,
            }),
            _ => Err(reply.unknown()),
        }
    }

    /// Reads a task without result and error; one Redis read, no write. Nothing if it expired or never was. Whether the
    /// caller may see it is the caller's to check, by its owner.
    ///
    /// # Errors
    ///
    /// If Redis fails, or the record cannot be read.
    pub async fn view(&self, id: TaskId) -> Result<Option<TaskView>, Error> {
        self.read_view(id, &[]).await
    }

    /// Reads a task with result and error; one Redis read, no write.
    ///
    /// # Errors
    ///
    /// As [`Self::view`].
    pub async fn view_with_outcome(&self, id: TaskId) -> Result<Option<TaskView>, Error> {
        self.read_view(id, &["result", "error"]).await
    }

    async fn read_view(&self, id: TaskId, more: &[&str]) -> Result<Option<TaskView>, Error> {
        let mut read = redis::cmd("HMGET");
        read.arg(self.keys.task(id)).arg(&VIEW_FIELDS[..]).arg(more);
        let values = self.connections.command("view", &read).await?;
        TaskView::from_values(id, values)
    }

    /// The open questions of a task, by key.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn questions(&self, id: TaskId) -> Result<Vec<Question>, Error> {
        let mut read = redis::cmd("HGETALL");
        read.arg(self.keys.task(id));
        let fields: std::collections::BTreeMap<String, String> =
            self.connections.command("questions", &read).await?;
        Ok(fields
            .iter()
            .filter_map(|(name, request)| Some((name.strip_prefix("ask:")?, request)))
            .filter(|(key, _)| !fields.contains_key(&format!("answer:{key}")))
            .map(|(key, request)| Question {
                key: key.to_owned(),
                request: request.clone(),
            })
            .collect())
    }

    /// Notes that `replica` waits for the task and reads where it stands, in one step: no change can fall between.
    /// Nothing if the task expired, never was, or is another owner's.
    ///
    /// # Errors
    ///
    /// If Redis fails, or the record cannot be read.
    pub async fn watch(
        &self,
        id: TaskId,
        owner: &Owner,
        replica: &ReplicaId,
    ) -> Result<Option<TaskView>, Error> {
        let (base, text) = (self.keys.base(id.shard()), id.to_string());
        let reply = self
            .call(
                &TRANSITIONS.watch,
                &[&self.keys.task(id)],
                &[&base, &text, owner.as_str(), replica.as_str()],
            )
            .await?;
        match reply.tag.as_str() {
            "OK" => TaskView::from_pairs(id, reply.pairs()?).map(Some),
            "GONE" => Ok(None),
            _ => Err(reply.unknown()),
        }
    }

    /// Makes the record of a plain call a task of `owner`, which stays for `keep` after its end at least.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn hand_out(
        &self,
        id: TaskId,
        owner: &Owner,
        keep: Duration,
    ) -> Result<HandOutReply, Error> {
        let keep_ms = millis(keep).to_string();
        let args = [owner.as_str(), &keep_ms];
        let reply = self.on_record(&TRANSITIONS.hand_out, id, &args).await?;
        match reply.tag.as_str() {
            "OK" => TaskView::from_pairs(id, reply.pairs()?).map(HandOutReply::HandedOut),
            "DONE" => TaskView::from_pairs(id, reply.pairs()?).map(HandOutReply::AlreadyTerminal),
            "GONE" => Ok(HandOutReply::NotFound),
            _ => Err(reply.unknown()),
        }
    }

    /// Cancels a task of `owner`.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn cancel(
        &self,
        id: TaskId,
        owner: &Owner,
        message: &str,
    ) -> Result<CancelReply, Error> {
        self.cancel_as(id, owner.as_str(), message).await
    }

    /// Cancels a task whoever owns it; for operators.
    ///
    /// # Errors
    ///
    /// As [`Self::cancel`].
    pub async fn cancel_any(&self, id: TaskId, message: &str) -> Result<CancelReply, Error> {
        self.cancel_as(id, "*", message).await
    }

    async fn cancel_as(
        &self,
        id: TaskId,
        owner: &str,
        message: &str,
    ) -> Result<CancelReply, Error> {
        let (base, text) = (self.keys.base(id.shard()), id.to_string());
        let reply = self
            .call(
                &TRANSITIONS.cancel,
                &[&self.keys.task(id)],
                &[&base, &text, owner, message],
            )
            .await?;
        match reply.tag.as_str() {
            "OK" => TaskView::from_pairs(id, reply.pairs()?).map(CancelReply::Cancelled),
            "DONE" => TaskView::from_pairs(id, reply.pairs()?).map(CancelReply::AlreadyTerminal),
            "GONE" => Ok(CancelReply::NotFound),
            _ => Err(reply.unknown()),
        }
    }

    /// Stores the client's answer, a JSON value, to the question `key`.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn answer_input(
        &self,
        id: TaskId,
        owner: &Owner,
        key: &str,
        answer: &str,
    ) -> Result<AnswerReply, Error> {
        let Some(view) = self.queue_of(id).await? else {
            return Ok(AnswerReply::NotFound);
        };
        let (base, text) = (self.keys.base(id.shard()), id.to_string());
        let queue = format!("{base}queue:{view}");
        let mut reply = self
            .call(
                &TRANSITIONS.answer_input,
                &[&self.keys.task(id), &queue],
                &[&base, &text, owner.as_str(), key, answer],
            )
            .await?;
        match reply.tag.as_str() {
            "OK" => Ok(AnswerReply::Stored {
                open: reply.integer()?,
            }),
            "IGNORED" => Ok(AnswerReply::Ignored),
            "GONE" => Ok(AnswerReply::NotFound),
            _ => Err(reply.unknown()),
        }
    }

    /// Asks for the right to send an open question to the client over the connection `carrier`, for `valid`. A carrier
    /// that has it keeps it; one that does not ask again in time loses it.
    ///
    /// # Errors
    ///
    /// If Redis fails; then the right may have been given, and the same call again is safe.
    pub async fn deliver_input(
        &self,
        id: TaskId,
        owner: &Owner,
        key: &str,
        (carrier, valid): (&str, Duration),
    ) -> Result<DeliverReply, Error> {
        let valid = millis(valid).to_string();
        let args = [owner.as_str(), key, carrier, &valid];
        let mut reply = self
            .on_record(&TRANSITIONS.deliver_input, id, &args)
            .await?;
        match reply.tag.as_str() {
            "OK" => Ok(DeliverReply::Send(reply.text()?)),
            "TAKEN" => Ok(DeliverReply::Taken),
            "IGNORED" => Ok(DeliverReply::Ignored),
            "GONE" => Ok(DeliverReply::NotFound),
            _ => Err(reply.unknown()),
        }
    }

    /// Gives the unanswered questions of a connection that closed to whoever has another.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn recall_input(
        &self,
        id: TaskId,
        owner: &Owner,
        carrier: &str,
    ) -> Result<u64, Error> {
        let args = [owner.as_str(), carrier];
        let mut reply = self.on_record(&TRANSITIONS.recall_input, id, &args).await?;
        match reply.tag.as_str() {
            "OK" => reply.integer(),
            "GONE" => Ok(0),
            _ => Err(reply.unknown()),
        }
    }

    /// Calls a transition that needs the record alone: base, id and `args`.
    async fn on_record(
        &self,
        transition: &Transition,
        id: TaskId,
        args: &[&str],
    ) -> Result<Reply, Error> {
        let (base, text) = (self.keys.base(id.shard()), id.to_string());
        let mut all = vec![base.as_str(), &text];
        all.extend(args);
        self.call(transition, &[&self.keys.task(id)], &all).await
    }

    /// The session that asked for a task and the token of the progress it wants; nothing if the record is gone or was
    /// asked for by no session.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn asker(&self, id: TaskId) -> Result<Option<Asker>, Error> {
        let mut read = redis::cmd("HMGET");
        read.arg(self.keys.task(id))
            .arg("session")
            .arg("progress_token");
        let (session, progress_token): (Option<String>, Option<String>) =
            self.connections.command("asker", &read).await?;
        let session = session.and_then(|session| session.parse().ok());
        Ok(session.map(|session| Asker {
            session,
            progress_token,
        }))
    }

    async fn queue_of(&self, id: TaskId) -> Result<Option<String>, Error> {
        let mut read = redis::cmd("HGET");
        read.arg(self.keys.task(id)).arg("queue");
        self.connections.command("answer_input", &read).await
    }

    /// A page of the owner's tasks of up to `limit`, after `after`. A record that cannot be read is left out and logged.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn list_owned(
        &self,
        owner: &Owner,
        after: Option<(u64, TaskId)>,
        limit: usize,
    ) -> Result<Page, Error> {
        let shard = self.shards.of(owner);
        let key = self.keys.owned(shard, owner);
        let start = after.map_or_else(|| "-inf".to_owned(), |(expiry, _)| expiry.to_string());
        let last = after.map(|(expiry, id)| (expiry, id.to_string()));
        let mut members: Vec<(String, u64)> = Vec::new();
        let mut offset = 0;
        // Members of equal expiry are in order of their text, so those up to the last one seen are skipped.
        while members.len() <= limit {
            let mut range = redis::cmd("ZRANGEBYSCORE");
            range.arg(&key).arg(&start).arg("+inf").arg("WITHSCORES");
            range.arg("LIMIT").arg(offset).arg(limit + 1);
            let batch: Vec<(String, u64)> = self.connections.command("list_owned", &range).await?;
            let whole = batch.len() > limit;
            offset += batch.len();
            let new = batch.into_iter().filter(|(id, expiry)| {
                last.as_ref()
                    .is_none_or(|(seen, last)| (*expiry, id) > (*seen, last))
            });
            members.extend(new);
            if !whole {
                break;
            }
        }
        let more = members.len() > limit;
        members.truncate(limit);
        let read: Vec<(TaskId, u64)> = members
            .iter()
            .filter_map(|(id, expiry)| Some((id.parse().ok()?, *expiry)))
            .collect();
        let mut pipe = redis::pipe();
        for (id, _) in &read {
            pipe.cmd("HMGET")
                .arg(self.keys.task(*id))
                .arg(&VIEW_FIELDS[..]);
        }
        let records: Vec<Vec<Option<String>>> = if read.is_empty() {
            Vec::new()
        } else {
            self.connections.pipeline("list_owned", &pipe).await?
        };
        let mut tasks = Vec::with_capacity(records.len());
        for ((id, _), values) in read.iter().zip(records) {
            match TaskView::from_values(*id, values) {
                Ok(task) => tasks.extend(task),
                Err(error) => tracing::warn!(%error, "a task cannot be read; it is not listed"),
            }
        }
        let next = if more {
            read.last().map(|(id, expiry)| (*expiry, *id))
        } else {
            None
        };
        Ok(Page { tasks, next })
    }
}

/// The arguments of `submit`, in the order of its header.
fn submit_args<'a>(job: &Submission<'a>, base: String) -> Vec<Cow<'a, str>> {
    let tool = job.tool;
    let mut args: Vec<Cow<'a, str>> = vec![
        base.into(),
        job.id.to_string().into(),
        tool.name.as_str().into(),
        tool.queue.as_str().into(),
        job.owner.as_str().into(),
        job.idempotency_key.unwrap_or("").into(),
        if job.plain { "1" } else { "0" }.into(),
        millis(job.ttl).to_string().into(),
        job.queue_cap.to_string().into(),
        job.owner_cap.to_string().into(),
        if job.asks.is_empty() { "0" } else { "1" }.into(),
    ];
    let fields: [(&str, Option<Cow<'a, str>>); 13] = [
        ("arguments", Some(job.arguments.into())),
        ("poll_ms", Some(tool.poll_interval_ms.to_string().into())),
        ("timeout_ms", Some(tool.timeout_ms.to_string().into())),
        ("max_attempts", Some(tool.attempts.to_string().into())),
        ("max_crashes", Some(tool.crash_limit.to_string().into())),
        ("keep_ms", Some(millis(job.keep).to_string().into())),
        ("limit", tool.concurrency.map(|n| n.to_string().into())),
        ("capabilities", job.capabilities.map(Into::into)),
        ("trace", job.trace.map(Into::into)),
        (
            "log_level",
            job.log_level.map(|level| level.as_str().into()),
        ),
        ("session", job.session.map(Into::into)),
        ("progress_token", job.progress_token.map(Into::into)),
        ("waiters", job.waiter.map(|replica| replica.as_str().into())),
    ];
    for (name, value) in fields {
        args.extend(
            value
                .map(|value| [name.into(), value])
                .into_iter()
                .flatten(),
        );
    }
    for (key, answer) in job.answers {
        args.extend([format!("answer:{key}").into(), answer.into()]);
    }
    for (key, request) in job.asks {
        args.extend([format!("ask:{key}").into(), request.into()]);
    }
    if !job.asks.is_empty() {
        let open = job.asks.len().to_string();
        args.extend([
            "asked".into(),
            open.clone().into(),
            "open".into(),
            open.into(),
        ]);
    }
    args
}
