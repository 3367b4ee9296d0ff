//! Queueing jobs: once each, within the limits, and cancelled again if too few Redis replicas have them.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use taskferry_contract::{
    Alias, CancelReply, SessionLimits, Status, Store, Submission, SubmitReply, TaskId, TaskView,
    Waits, WaitsFor, local_ms,
};

use taskferry_process::settings::format_rate;

use super::error::retry_once;
use super::fleet::KnownFleet;
use super::{BridgeError, Call};
use crate::audit::{Act, Audit, Done};

/// Bounds on what callers may queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The most entries a queue may hold, 0 for no limit.
    pub(crate) queue_cap: u64,
    /// The most live jobs an owner may have, 0 for no limit.
    pub(crate) owner_cap: u64,
    /// How many jobs of an owner, of one tool, may be ready at once, 0 for no bound.
    pub(crate) owner_share: u64,
    /// What the tasks of an owner may take together, arguments and results, bytes; 0 for no limit.
    pub(crate) owner_bytes: u64,
    /// What one owner may have of a full queue, percent.
    pub(crate) queue_share: u64,
    /// How many sessions there may be.
    pub(crate) sessions: SessionLimits,
    /// How many requests a caller with a name may make in a second, on all front ends together; no limit if absent.
    pub(crate) owner_rate: Option<NonZeroU32>,
    /// After what time without a worker calls of a tool are refused; never if absent.
    pub(crate) no_worker_refuse: Option<Duration>,
    /// How long the record of a plain call stays after its end: so long a client whose stream broke can fetch the result.
    pub(crate) plain_keep: Duration,
}

impl Limits {
    /// The most live jobs an owner may have: no more than its share of a queue.
    fn most_of_owner(&self) -> u64 {
        let share = self.queue_cap.saturating_mul(self.queue_share) / 100;
        match (self.owner_cap, self.queue_cap) {
            (cap, 0) => cap,
            (0, _) => share.max(1),
            (cap, _) => cap.min(share.max(1)),
        }
    }
}

/// Queues jobs.
#[derive(Debug, Clone)]
pub(super) struct Submitter {
    pub(super) store: Store,
    pub(super) fleet: Arc<KnownFleet>,
    pub(super) limits: Limits,
    pub(super) audit: Audit,
}

impl Submitter {
    /// A submission of a call, with what plain calls and tasks have in common.
    pub(super) fn submission<'a>(
        &self,
        call: &Call<'a>,
        alias: Option<&'a Alias>,
    ) -> Submission<'a> {
        let shard = Alias::shard(alias, call.owner, self.store.shards());
        let (tool, id) = (&call.tool.definition, TaskId::random(shard));
        Submission {
            definition: Some(&call.tool.digest),
            alias,
            capabilities: Some(call.capabilities),
            trace: call.trace,
            not_before_ms: call.not_before_ms,
            log_level: call.log_level,
            answers: call.answers,
            asks: call.asks,
            queue_cap: self.limits.queue_cap,
            owner_cap: self.limits.most_of_owner(),
            owner_share: self.limits.owner_share,
            owner_bytes: self.limits.owner_bytes,
            ..Submission::new(tool, id, call.owner, call.arguments.clone())
        }
    }

    /// Queues a job, or finds the one that it joins. It is durable when this returns.
    pub(super) async fn submit(&self, job: &Submission<'_>) -> Result<Submitted, BridgeError> {
        self.refuse_unserved(job).await?;
        // The id makes it the same submit: one whose reply was lost is not queued twice.
        let submitted = retry_once(|| self.store.submit(job)).await;
        let reply = match submitted.map_err(BridgeError::from) {
            Err(BridgeError::NotReplicated(too_few)) => {
                return Err(if self.take_back(job.id).await {
                    BridgeError::NotAccepted(too_few)
                } else {
                    BridgeError::NotReplicated(too_few)
                });
            }
            outcome => outcome?,
        };
        match reply {
            SubmitReply::Queued { created_ms } => {
                self.fleet
                    .called((job.tool.queue.as_str(), job.tool.name.as_str()));
                self.note(Act::Create, job, job.id);
                Ok(Submitted::Queued { created_ms })
            }
            SubmitReply::Joined(view) => {
                self.note(Act::Join, job, view.id);
                Ok(Submitted::Joined(view))
            }
            SubmitReply::TooLate { .. } => Err(BridgeError::TooLate {
                ttl_ms: job.ttl.as_millis(),
            }),
            SubmitReply::QueueFull { length } => Err(BridgeError::QueueFull {
                queue: job.tool.queue.to_string(),
                length,
            }),
            SubmitReply::OwnerLimit { live } => Err(BridgeError::OwnerLimit { live }),
            SubmitReply::RateUsedUp { wait_ms } => Err(BridgeError::RateUsedUp {
                tool: job.tool.name.to_string(),
                rate: job.tool.rate.map(format_rate).unwrap_or_default(),
                wait: Duration::from_millis(wait_ms),
            }),
            SubmitReply::OwnerBytes { stored } => Err(BridgeError::OwnerBytes {
                stored,
                most: self.limits.owner_bytes,
            }),
            SubmitReply::OtherCall => Err(BridgeError::OtherCall),
        }
    }

    /// Refuses a job that no worker could begin now, nor could have for as long as is set. Not one that is to begin later, and
    /// not a call that is made again: that joins the job it made.
    async fn refuse_unserved(&self, job: &Submission<'_>) -> Result<(), BridgeError> {
        let (queue, tool) = (job.tool.queue.as_str(), job.tool.name.as_str());
        if job.not_before_ms.is_some_and(|start| start > local_ms()) {
            return Ok(());
        }
        let Some(long) = self.fleet.refuses((queue, tool)).await else {
            return Ok(());
        };
        self.fleet.called((queue, tool));
        if let Some(alias) = job.alias
            && self.store.aliased(job.id.shard(), alias).await?.is_some()
        {
            return Ok(());
        }
        Err(BridgeError::NoWorker {
            tool: tool.to_owned(),
            long,
        })
    }

    fn note(&self, act: Act, job: &Submission<'_>, task: TaskId) {
        self.audit.done(Done {
            act,
            owner: job.owner,
            task,
            tool: Some(job.tool.name.as_str()),
        });
    }

    /// Cancels a job whose id no client got. If that fails, it runs, and nobody asks for it. False if there is no such job:
    /// the call joined another, which stays.
    async fn take_back(&self, id: TaskId) -> bool {
        let message = "Too few Redis replicas acknowledged the task.";
        match self.store.cancel_any(id, message).await {
            Ok(reply) => reply != CancelReply::NotFound,
            Err(error) => {
                tracing::warn!(task = %id.digest(), %error, "a task that was not accepted could not be cancelled; it may run");
                true
            }
        }
    }
}

/// What stands behind a call.
pub(super) enum Submitted {
    /// A job of its own, queued at this time, ms since the epoch.
    Queued { created_ms: i64 },
    /// One that was there before.
    Joined(Box<TaskView>),
}

/// A job that was just queued, as a poll would show it.
pub(super) fn queued(job: &Submission<'_>, created_ms: i64) -> TaskView {
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
        waits: later(job, created_ms),
        queue: job.tool.queue.to_string(),
        limit: job.tool.concurrency.map(u64::from),
        rate: job.tool.rate,
        lease_ms: None,
        task_scopes: job.tool.task_scopes.clone(),
        last_crash: false,
        served: None,
        paused: None,
        ahead: None,
        result: None,
        error: None,
    }
}

/// What a job waits for that is not to begin yet.
fn later(job: &Submission<'_>, created_ms: i64) -> Option<Waits> {
    let due_ms = job.not_before_ms.filter(|start| *start > created_ms)?;
    Some(Waits {
        what: WaitsFor::Time,
        since_ms: created_ms,
        again: None,
        due_ms: Some(due_ms),
        turn_ms: None,
    })
}
