//! Queueing a job.

use std::borrow::Cow;
use std::time::Duration;

use crate::alias::Alias;
use crate::definition::DefinitionDigest;
use crate::error::Error;
use crate::ids::{Owner, ReplicaId, Shard, TaskId};
use crate::log::LogLevel;
use crate::record::TaskView;
use crate::script::TRANSITIONS;
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
    /// Which definition of the tool they were checked against; any worker that knows the tool runs the job if absent.
    pub definition: Option<&'a DefinitionDigest>,
    /// Whether it stands behind a plain call: then it is in no list, and its record goes soon after the end.
    pub plain: bool,
    /// How long the record lives from now on, if the end does not change it; in whole ms, at least one.
    pub ttl: Duration,
    /// How long it stays after the end: at least, for a task; at most, for a plain call. Zero leaves a task's ttl alone.
    pub keep: Duration,
    /// The name under which later submits find this job, if there is one. Its shard is [`Alias::shard`].
    pub alias: Option<&'a Alias>,
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

impl<'a> Submission<'a> {
    /// A task that its caller left all to the tool: its ttl, and nothing that need not be there. No caps.
    #[must_use]
    pub fn new(tool: &'a ToolDefinition, id: TaskId, owner: &'a Owner, arguments: &'a str) -> Self {
        Self {
            tool,
            id,
            owner,
            arguments,
            definition: None,
            plain: false,
            ttl: Duration::from_millis(tool.ttl.default_ms),
            keep: Duration::ZERO,
            alias: None,
            capabilities: None,
            trace: None,
            waiter: None,
            session: None,
            progress_token: None,
            answers: &[],
            asks: &[],
            log_level: None,
            queue_cap: 0,
            owner_cap: 0,
        }
    }
}

/// What became of a submit.
#[derive(Debug, Clone, PartialEq)]
pub enum SubmitReply {
    /// Queued at this time, ms since the epoch.
    Queued {
        /// The record's `created_ms`.
        created_ms: i64,
    },
    /// The alias stands for this job already; it is a task if this was to be one.
    Joined(Box<TaskView>),
    /// The idempotency key stands for another call.
    OtherCall,
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

impl Store {
    /// The job that an alias stands for on a shard, if its record is there.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn aliased(&self, shard: Shard, alias: &Alias) -> Result<Option<TaskView>, Error> {
        let mut read = redis::cmd("GET");
        read.arg(format!("{}{}", self.keys.base(shard), alias.name()));
        let value: Option<String> = self.connections.command("aliased", &read).await?;
        let id = value.as_deref().and_then(|value| value.split(' ').next());
        match id.and_then(|id| id.parse().ok()) {
            Some(id) => self.view(id).await,
            None => Ok(None),
        }
    }

    /// Queues a job: record, expiry and entry together, or nothing.
    ///
    /// # Errors
    ///
    /// If Redis fails, or, for a task, [`Error::NotReplicated`]; then the job may have been queued, and the same call again
    /// is safe.
    pub async fn submit(&self, job: &Submission<'_>) -> Result<SubmitReply, Error> {
        let shard = job.id.shard();
        let (record, queue) = (
            self.keys.task(job.id),
            self.keys.queue(shard, &job.tool.queue),
        );
        let args = submit_args(job, self.keys.base(shard));
        let args: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
        let (transition, keys) = (&TRANSITIONS.submit, [record.as_str(), queue.as_str()]);
        // Nobody is told of a plain call before its end: until then, losing it breaks no promise.
        let mut reply = if job.plain {
            self.call(transition, &keys, &args).await?
        } else {
            self.promise(transition, &keys, &args).await?
        };
        match reply.tag.as_str() {
            "OK" => Ok(SubmitReply::Queued {
                created_ms: reply.integer()?,
            }),
            "JOINED" => {
                let id = reply.integer()?;
                let view = TaskView::from_pairs(id, reply.pairs()?)?;
                Ok(SubmitReply::Joined(Box::new(view)))
            }
            "OTHER_CALL" => Ok(SubmitReply::OtherCall),
            "QUEUE_FULL" => Ok(SubmitReply::QueueFull {
                length: reply.integer()?,
            }),
            "LIMIT" => Ok(SubmitReply::OwnerLimit {
                live: reply.integer()?,
            }),
            _ => Err(reply.unknown()),
        }
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
        job.alias.map_or("", Alias::name).into(),
        job.alias.map_or("", Alias::call).into(),
        if job.plain { "1" } else { "0" }.into(),
        millis(job.ttl).to_string().into(),
        job.queue_cap.to_string().into(),
        job.owner_cap.to_string().into(),
        if job.asks.is_empty() { "0" } else { "1" }.into(),
    ];
    args.extend(record_fields(job));
    args
}

/// What a record says of a job beside its identity, as field, value …
pub(crate) fn record_fields<'a>(job: &Submission<'a>) -> Vec<Cow<'a, str>> {
    let tool = job.tool;
    let mut args: Vec<Cow<'a, str>> = Vec::new();
    let fields: [(&str, Option<Cow<'a, str>>); 15] = [
        ("arguments", Some(job.arguments.into())),
        ("definition", job.definition.map(|it| it.as_str().into())),
        ("poll_ms", Some(tool.poll_interval_ms.to_string().into())),
        (
            "poll_max_ms",
            Some(tool.poll_interval_max_ms.to_string().into()),
        ),
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
    args.extend(question_fields(job));
    args
}

/// The fields of questions that come first, and of answers that are there already.
fn question_fields<'a>(job: &Submission<'a>) -> Vec<Cow<'a, str>> {
    let mut args: Vec<Cow<'a, str>> = Vec::new();
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
