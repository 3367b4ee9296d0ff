//! Attempts: the entry that lets a worker begin one, what its writes are checked against, and how it is lost.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::ids::{AttemptNumber, EntryId, TaskId};
use crate::model::names::{QueueName, ToolName, WorkerId};
use crate::model::queue::QueueStream;
use crate::model::shard::Shard;

/// An entry that a worker took off a stream, and by it the right to claim the job. A claim that is repeated with the same
/// value is given the same attempt. The same entry delivered once more is another value: by it, no attempt is given out that
/// a handler may have begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveredEntry {
    /// The job.
    pub id: TaskId,
    /// The queue it came from.
    pub queue: QueueName,
    /// The entry.
    pub entry: EntryId,
    /// The number of this delivery to this process.
    pub(crate) delivery: u64,
}

/// Deliveries to this process so far.
static DELIVERIES: AtomicU64 = AtomicU64::new(0);

impl DeliveredEntry {
    /// An entry that was just delivered.
    #[must_use]
    pub fn new(id: TaskId, queue: QueueName, entry: EntryId) -> Self {
        Self {
            id,
            queue,
            entry,
            delivery: DELIVERIES.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// The stream that the entry stands on.
    #[must_use]
    pub fn stream(&self) -> QueueStream<'_> {
        QueueStream {
            shard: self.id.shard(),
            queue: &self.queue,
        }
    }
}

/// An entry that a worker took off a stream, and whose id is no task id of that shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableEntry {
    /// The shard of the stream.
    pub shard: Shard,
    /// The queue it came from.
    pub queue: QueueName,
    /// The entry.
    pub entry: EntryId,
    /// Its id field, empty if there is none.
    pub id: String,
    /// Its tool field, empty if there is none.
    pub tool: String,
}

/// An attempt: what its writes are checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldAttempt {
    /// The job, its queue and its entry.
    pub claimed: DeliveredEntry,
    /// The number of the attempt.
    pub attempt: AttemptNumber,
    /// The worker that runs it.
    pub worker: WorkerId,
}

/// What an attempt reports to pollers. Absent parts keep their last value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProgressReport {
    /// How far it is. Finite.
    pub progress: Option<f64>,
    /// The number at which `progress` is complete. Finite.
    pub total: Option<f64>,
    /// What it does now, in one line that callers are shown.
    pub message: Option<String>,
}

/// A job that expired before it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// The tool that its entry named; empty if it named none.
    pub tool: String,
    /// Whether an attempt may have begun; if none did, the job is counted as expired.
    pub begun: bool,
}

/// An attempt whose worker fell silent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// How many attempts of the job were lost so, this one included.
    pub crashes: u64,
    /// The tool that it ran, as the record has it.
    pub tool: String,
    /// The number of the attempt that was lost.
    pub attempt: u64,
    /// The worker that fell silent.
    pub worker: String,
}

/// A job that is over, and that another system may still run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOutside {
    /// The job.
    pub id: TaskId,
    /// Its tool.
    pub tool: ToolName,
    /// When its record was to expire, ms since the epoch.
    pub until_ms: i64,
    /// Its arguments, JSON. `None` if the record is gone, or they are large.
    pub arguments: Option<String>,
}

/// Why an attempt must stop: none of its writes counts any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The caller cancelled the task.
    Cancelled,
    /// The task ended otherwise.
    AlreadyTerminal,
    /// The record expired.
    Gone,
    /// The lease was lost: another attempt holds the job, or nobody.
    LeaseLost,
}
