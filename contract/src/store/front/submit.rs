//! Queueing a job.

use std::borrow::Cow;

use crate::error::Error;
use crate::model::alias::Alias;
use crate::model::job::TaskView;
use crate::model::shard::Shard;
use crate::model::submission::Submission;
use crate::script::TRANSITIONS;
use crate::store::record::{record_fields, view_from_pairs};
use crate::store::{Store, millis};

/// What became of a submit.
#[derive(Debug, Clone, PartialEq)]
pub enum SubmitReply {
    /// Queued at this time, ms since the epoch.
    Queued {
        /// The record's `created_ms`.
        created_ms: i64,
    },
    /// The call joined this job, which its alias already stood for. If the call wanted a task, the job has been made one.
    Joined(Box<TaskView>),
    /// The idempotency key stands for another call.
    OtherCall,
    /// The job was to begin when its record is gone already.
    TooLate {
        /// When it would expire, ms since the epoch.
        expires_ms: i64,
    },
    /// The queue is full.
    QueueFull {
        /// The stream's entries, and the jobs of this tool that wait for a slot; what `queue_cap` is held against.
        length: u64,
    },
    /// The owner has too many live jobs.
    OwnerLimit {
        /// How many.
        live: u64,
    },
    /// The tool refuses what is beyond its rate, and that is used up.
    RateUsedUp {
        /// About so long it stays so, ms.
        wait_ms: u64,
    },
    /// What the owner has stored leaves no room for this.
    OwnerBytes {
        /// How much its records take, bytes.
        stored: u64,
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
            self.keys.record(job.id),
            self.keys.queue(shard, &job.tool.queue),
        );
        let args = submit_args(job, self.keys.base(shard));
        let args: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
        let (transition, keys) = (&TRANSITIONS.submit, [record.as_str(), queue.as_str()]);
        // A plain call promises its client nothing durable before its answer: a job that is lost with a failover ends its
        // call with an error, also a resumed one. Promotion to a task is replicated.
        let mut reply = if job.plain {
            self.call(transition, &keys, &args).await?
        } else {
            self.call_replicated(transition, &keys, &args).await?
        };
        match reply.tag.as_str() {
            "OK" => Ok(SubmitReply::Queued {
                created_ms: reply.integer()?,
            }),
            "JOINED" => {
                let id = reply.integer()?;
                let view = view_from_pairs(id, reply.pairs()?)?;
                Ok(SubmitReply::Joined(Box::new(view)))
            }
            "OTHER_CALL" => Ok(SubmitReply::OtherCall),
            "LATE" => Ok(SubmitReply::TooLate {
                expires_ms: reply.integer()?,
            }),
            "QUEUE_FULL" => Ok(SubmitReply::QueueFull {
                length: reply.integer()?,
            }),
            "LIMIT" => Ok(SubmitReply::OwnerLimit {
                live: reply.integer()?,
            }),
            "RATE" => Ok(SubmitReply::RateUsedUp {
                wait_ms: reply.integer()?,
            }),
            "BYTES" => Ok(SubmitReply::OwnerBytes {
                stored: reply.integer()?,
            }),
            _ => Err(reply.unknown()),
        }
    }
}

/// The arguments of `submit`, in the order of its header.
fn submit_args<'a>(job: &'a Submission<'_>, base: String) -> Vec<Cow<'a, str>> {
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
        job.owner_bytes.to_string().into(),
        if job.asks.is_empty() { "0" } else { "1" }.into(),
    ];
    args.extend(record_fields(job));
    args
}
