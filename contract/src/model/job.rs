//! What is read from a job's record: by callers who poll its task, and by the worker that runs it.

use std::collections::HashMap;

use crate::json::shared::SharedJson;
use crate::model::arguments::Arguments;
use crate::model::ids::{AttemptNumber, TaskId};
use crate::model::log::LogLevel;
use crate::model::names::{Owner, QueueName, ToolName};
use crate::model::pause::Pause;
use crate::model::status::Status;
use crate::model::tool::{DefinitionDigest, Rate};
use crate::model::waits::Waits;
use crate::model::worker::Served;

/// A record as a poll sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskView {
    /// The task.
    pub id: TaskId,
    /// The status of the job behind it.
    pub status: Status,
    /// The tool it calls.
    pub tool: String,
    /// Who may see it.
    pub owner: Owner,
    /// Whether it stands behind a plain call, which shows no task to its caller.
    pub plain: bool,
    /// When it was created, ms since the epoch, by Redis's clock.
    pub created_ms: i64,
    /// When it last changed, ms since the epoch.
    pub updated_ms: i64,
    /// How long it lives from its creation, ms: exactly what the key's expiry is set to.
    pub ttl_ms: i64,
    /// How often the caller should poll while the task is young, ms.
    pub poll_ms: u64,
    /// How often the caller should poll once the task is old, ms.
    pub poll_max_ms: u64,
    /// What the worker, or the transition that ended the job, says about it.
    pub message: Option<String>,
    /// Whether a completed result reports a tool error.
    pub is_error: bool,
    /// Progress, as the worker wrote the number.
    pub progress: Option<String>,
    /// What progress counts towards.
    pub total: Option<String>,
    /// Attempts started so far.
    pub attempt: u64,
    /// What it waits for while it is queued; absent if it only ever waited for a worker. Once an attempt began, what it waited
    /// for last.
    pub waits: Option<Waits>,
    /// The queue it came to.
    pub queue: String,
    /// How many jobs of its tool run at a time, if there is a limit.
    pub limit: Option<u64>,
    /// How many attempts of the jobs of its tool begin in a time, if that is bounded.
    pub rate: Option<Rate>,
    /// Until when its worker holds it, ms since the epoch. Means something only while an attempt runs; else it is left over
    /// from the last one.
    pub lease_ms: Option<i64>,
    /// The scopes that a caller needs for all that can be done with it as a task, as its tool said when it was called.
    pub task_scopes: Vec<String>,
    /// Whether the job fails if the attempt that runs loses its worker: it reaches its crash limit then.
    pub last_crash: bool,
    /// How many workers serve its queue. Not in the record: the store leaves it `None`, a front end fills it in.
    pub served: Option<Served>,
    /// What pauses its tool or its queue. Not in the record, either.
    pub paused: Option<Pause>,
    /// How many jobs of the same caller and tool come before it, if it waits in their line. As `served`.
    pub ahead: Option<u64>,
    /// The result, byte for byte as the worker wrote it: a JSON object. Only once completed, and only where asked for.
    pub result: Option<SharedJson>,
    /// The JSON-RPC error object of a failed job. Only where asked for.
    pub error: Option<SharedJson>,
}

/// A record as the worker that claimed it sees it.
#[derive(Debug, Clone)]
pub struct Job {
    /// The task behind which it stands.
    pub id: TaskId,
    /// The task for which the work was first asked: `id`, unless the job itself came from a dead letter.
    pub origin: TaskId,
    /// The tool to run.
    pub tool: ToolName,
    /// The queue it came from.
    pub queue: QueueName,
    /// Who asked for it.
    pub owner: Owner,
    /// The arguments, which fitted the tool's input schema when the job was queued.
    pub arguments: Arguments,
    /// This attempt; the fence of all its writes.
    pub attempt: AttemptNumber,
    /// Attempts that ended in a retry so far.
    pub retries: u64,
    /// Attempts whose worker died so far.
    pub crashes: u64,
    /// How many attempts may end in a retryable error: the last of them ends the job. Crashes and releases do not count.
    /// The tool's `attempts` when it was submitted.
    pub max_attempts: u64,
    /// After so many attempts whose worker died it fails: the tool's `crash_limit` when it was submitted.
    pub max_crashes: u64,
    /// When the task was created, ms since the epoch.
    pub created_ms: i64,
    /// How long it lives from then, ms.
    pub ttl_ms: i64,
    /// How long it was ready before this attempt began, ms: since its call, its backoff, its last answer, or the end of the
    /// lease of the attempt that was lost before.
    pub waited_ms: u64,
    /// The silent worker that this attempt took the job over from, if it did.
    pub taken_from: Option<String>,
    /// How long one attempt may take, ms.
    pub timeout_ms: u64,
    /// What the client can be asked: a JSON object of MCP client capabilities.
    pub capabilities: Option<String>,
    /// The W3C `traceparent` of the call.
    pub trace: Option<String>,
    /// The W3C `tracestate` of the call.
    pub trace_state: Option<String>,
    /// The W3C `baggage` of the call.
    pub baggage: Option<String>,
    /// The least level of log lines that the client gets. `None`: it gets no lines.
    pub log_level: Option<LogLevel>,
    /// Which definition of the tool the arguments were checked against; absent if whoever queued it knew none.
    pub definition: Option<DefinitionDigest>,
    /// Answers stored by earlier attempts: key to JSON.
    pub answers: HashMap<String, String>,
}
