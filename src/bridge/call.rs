//! What a caller brings: a call of a tool, and what is wanted of the task that it becomes.

use std::time::Duration;

use taskferry_contract::{Arguments, LogLevel, Owner, Requestor, TraceContext};

use super::Tool;

/// A call to be carried to the workers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    /// The tool.
    pub(crate) tool: &'a Tool,
    /// The arguments, which fit the tool's schema.
    pub(crate) arguments: &'a Arguments,
    /// Who calls.
    pub(crate) owner: &'a Owner,
    /// The key by which the caller says that calls are the same.
    pub(crate) idempotency_key: Option<&'a str>,
    /// What the client can be asked, a JSON object.
    pub(crate) capabilities: &'a str,
    /// W3C trace context of the call.
    pub(crate) trace: TraceContext<'a>,
    /// When it may run at the earliest, ms since the epoch.
    pub(crate) not_before_ms: Option<i64>,
    /// From which level on the caller gets the job's log lines. `None` for none.
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
    /// The session that gets the status of the task.
    pub(crate) requestor: Option<&'a Requestor>,
}
