//! Records as they are read.

use std::collections::HashMap;

use crate::definition::DefinitionDigest;
use crate::error::Error;
use crate::fleet::Served;
use crate::ids::{Attempt, Owner, QueueName, TaskId, ToolName};
use crate::log::LogLevel;
use crate::remote::Remote;
use crate::state::Status;
use crate::waits::Waits;

/// A record as a poll sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskView {
    /// The task.
    pub id: TaskId,
    /// Where it stands.
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
    /// Until when its worker holds it while it is worked on, ms since the epoch.
    pub lease_ms: Option<i64>,
    /// Whether the job fails if the attempt that runs loses its worker: it reaches its crash limit then.
    pub last_crash: bool,
    /// Who serves its queue; only where the reader knows.
    pub served: Option<Served>,
    /// The result, byte for byte as the worker wrote it: a JSON object. Only once completed, and only where asked for.
    pub result: Option<String>,
    /// The JSON-RPC error object of a failed job. Only where asked for.
    pub error: Option<String>,
}

/// The fields of [`TaskView`] without result and error, in the order of [`TaskView::from_values`].
pub(crate) const VIEW_FIELDS: [&str; 20] = [
    "status",
    "tool",
    "owner",
    "plain",
    "created_ms",
    "updated_ms",
    "ttl_ms",
    "poll_ms",
    "poll_max_ms",
    "message",
    "is_error",
    "progress",
    "total",
    "attempt",
    "waits",
    "queue",
    "limit",
    "lease_ms",
    "crashes",
    "max_crashes",
];

impl TaskView {
    /// Reads `HMGET` values in the order of [`VIEW_FIELDS`], then result, then error. Nothing if there is no record.
    pub(crate) fn from_values(
        id: TaskId,
        values: Vec<Option<String>>,
    ) -> Result<Option<Self>, Error> {
        let mut values = values.into_iter();
        let mut next = || values.next().flatten();
        let Some(status) = next() else {
            return Ok(None);
        };
        let (tool, owner, plain) = (next(), next(), next());
        let (created, updated, ttl) = (next(), next(), next());
        let mut poll = || next().or_else(|| Some("0".to_owned()));
        let (poll, poll_max) = (poll(), poll());
        let view = Self {
            id,
            status: read(id, "status", Some(status))?,
            tool: tool.unwrap_or_default(),
            owner: owner_of(owner.unwrap_or_default()),
            plain: plain.as_deref() == Some("1"),
            created_ms: read(id, "created_ms", created)?,
            updated_ms: read(id, "updated_ms", updated)?,
            ttl_ms: read(id, "ttl_ms", ttl)?,
            poll_ms: read(id, "poll_ms", poll)?,
            poll_max_ms: read(id, "poll_max_ms", poll_max)?,
            message: next(),
            is_error: next().as_deref() == Some("1"),
            progress: next(),
            total: next(),
            attempt: read(id, "attempt", next())?,
            waits: next().and_then(|waits| Waits::read(&waits)),
            queue: next().unwrap_or_default(),
            limit: next().and_then(|limit| limit.parse().ok()),
            lease_ms: next().and_then(|lease| lease.parse().ok()),
            last_crash: is_last_crash(next(), next()),
            served: None,
            result: next(),
            error: next(),
        };
        Ok(Some(view))
    }

    /// Reads field, value pairs in any order.
    pub(crate) fn from_pairs(id: TaskId, pairs: Vec<(String, String)>) -> Result<Self, Error> {
        let mut fields: HashMap<String, String> = pairs.into_iter().collect();
        let values = VIEW_FIELDS
            .iter()
            .chain(&["result", "error"])
            .map(|name| fields.remove(*name))
            .collect();
        Self::from_values(id, values)?.ok_or_else(|| malformed(id, "status", ""))
    }
}

/// Whether one more crash is one too many; not if the record does not say how many may be.
fn is_last_crash(crashes: Option<String>, most: Option<String>) -> bool {
    let number = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok());
    let crashes = number(crashes).unwrap_or(0);
    number(most).is_some_and(|most| crashes.saturating_add(1) >= most)
}

/// A question to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Unique within the task for its whole life.
    pub key: String,
    /// The request as JSON: `method` and `params`.
    pub request: String,
    /// The client's own task that is to bring the answer, if it made one.
    pub remote: Option<Remote>,
}

/// A record as the worker that claimed it sees it.
#[derive(Debug, Clone)]
pub struct Job {
    /// The task behind which it stands.
    pub id: TaskId,
    /// The first task of the job, through however many retries of dead letters; `id` if it never was retried so.
    pub origin: TaskId,
    /// The tool to run.
    pub tool: ToolName,
    /// The queue it came from.
    pub queue: QueueName,
    /// Who asked for it.
    pub owner: Owner,
    /// The arguments: a JSON object, validated against the tool's input schema before the job was queued.
    pub arguments: String,
    /// This attempt; the fence of all its writes.
    pub attempt: Attempt,
    /// Attempts that ended in a retry so far.
    pub retries: u64,
    /// Attempts whose worker died so far.
    pub crashes: u64,
    /// After so many attempts that ended in a retry it is retried no more; as its tool had it when it was submitted.
    pub max_attempts: u64,
    /// After so many attempts whose worker died it is failed; as its tool had it when it was submitted.
    pub max_crashes: u64,
    /// When the task was created, ms since the epoch.
    pub created_ms: i64,
    /// How long it lives from then, ms.
    pub ttl_ms: i64,
    /// How long it was ready before this attempt began, ms: since its call, its backoff, its last answer, or the end of the
    /// lease of the attempt that was lost before.
    pub waited_ms: u64,
    /// The worker that fell silent and that it was taken over from, if this is what began the attempt.
    pub taken_from: Option<String>,
    /// How long one attempt may take, ms.
    pub timeout_ms: u64,
    /// What the client can be asked: a JSON object of MCP client capabilities.
    pub capabilities: Option<String>,
    /// W3C trace context of the call.
    pub trace: Option<String>,
    /// From which level on the client hears of the log; of none if absent.
    pub log_level: Option<LogLevel>,
    /// Which definition of the tool the arguments were checked against; absent if whoever queued it knew none.
    pub definition: Option<DefinitionDigest>,
    /// Answers stored by earlier attempts: key to JSON.
    pub answers: HashMap<String, String>,
}

impl Job {
    pub(crate) fn from_pairs(
        id: TaskId,
        attempt: Attempt,
        pairs: Vec<(String, String)>,
    ) -> Result<Self, Error> {
        let mut fields: HashMap<String, String> = pairs.into_iter().collect();
        let answers = fields
            .iter()
            .filter_map(|(name, value)| {
                Some((name.strip_prefix("answer:")?.to_owned(), value.clone()))
            })
            .collect();
        let mut take = |name: &'static str| fields.remove(name);
        let created_ms = read(id, "created_ms", take("created_ms"))?;
        // What only the log tells stops no job.
        let waits = take("waits").and_then(|waits| Waits::read(&waits));
        let ready_ms = waits.map_or(created_ms, Waits::ready_ms);
        let started_ms = take("started_ms").and_then(|started| started.parse().ok());
        let started_ms: i64 = started_ms.unwrap_or(ready_ms);
        let origin = take("origin").map(|origin| read(id, "origin", Some(origin)));
        Ok(Self {
            id,
            origin: origin.transpose()?.unwrap_or(id),
            tool: read(id, "tool", take("tool"))?,
            queue: read(id, "queue", take("queue"))?,
            owner: owner_of(take("owner").unwrap_or_default()),
            arguments: take("arguments").unwrap_or_else(|| "{}".to_owned()),
            attempt,
            retries: read(id, "retries", take("retries"))?,
            crashes: read(id, "crashes", take("crashes"))?,
            max_attempts: read(id, "max_attempts", take("max_attempts"))?,
            max_crashes: read(id, "max_crashes", take("max_crashes"))?,
            created_ms,
            ttl_ms: read(id, "ttl_ms", take("ttl_ms"))?,
            waited_ms: started_ms
                .saturating_sub(ready_ms)
                .try_into()
                .unwrap_or_default(),
            taken_from: take("taken_from"),
            timeout_ms: read(id, "timeout_ms", take("timeout_ms"))?,
            capabilities: take("capabilities"),
            trace: take("trace"),
            log_level: take("log_level").and_then(|level| level.parse().ok()),
            definition: take("definition").and_then(|digest| digest.parse().ok()),
            answers,
        })
    }
}

fn owner_of(name: String) -> Owner {
    // A name that breaks today's rule was written by another version; nobody is that owner, so nobody sees the task.
    if name.is_empty() {
        Owner::anonymous()
    } else {
        Owner::named(&name).unwrap_or_else(|_foreign| Owner::unmatched())
    }
}

fn read<T: std::str::FromStr>(
    id: TaskId,
    field: &'static str,
    value: Option<String>,
) -> Result<T, Error> {
    let value = value.unwrap_or_default();
    value
        .parse()
        .map_err(|_unreadable| malformed(id, field, &value))
}

pub(crate) fn malformed(id: TaskId, field: &'static str, value: &str) -> Error {
    Error::Malformed {
        key: format!("the record of {id}"),
        field,
        value: value.chars().take(80).collect(),
    }
}
