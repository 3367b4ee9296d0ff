//! A job to be queued.

use std::time::Duration;

use crate::model::alias::Alias;
use crate::model::arguments::Arguments;
use crate::model::ids::TaskId;
use crate::model::log::LogLevel;
use crate::model::names::{FrontEndId, Owner};
use crate::model::tool::{DefinitionDigest, ToolDefinition};

/// A job to be queued.
#[derive(Debug, Clone)]
pub struct Submission<'a> {
    /// The tool to run; its limits go into the record.
    pub tool: &'a ToolDefinition,
    /// The id, made by the caller so that a repeated submit is the same submit.
    pub id: TaskId,
    /// Whose task it is.
    pub owner: &'a Owner,
    /// The arguments, which fit the tool's input schema.
    pub arguments: Arguments,
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
    /// The W3C trace context of the call.
    pub trace: TraceContext<'a>,
    /// When the job may run at the earliest, ms since the epoch; within its ttl. At once if absent or past.
    pub not_before_ms: Option<i64>,
    /// The front end that waits for the outcome from the start.
    pub waiter: Option<&'a FrontEndId>,
    /// The legacy session that asked for it: it gets the status of a task, and may resume the stream of a plain call.
    pub session: Option<&'a str>,
    /// The token with which the session gets progress: a JSON string or integer.
    pub progress_token: Option<&'a str>,
    /// Answers that are there before anything was asked: key and JSON.
    pub answers: &'a [(String, String)],
    /// Questions, key and JSON of method and params, without whose answers the job is not queued.
    pub asks: &'a [(String, String)],
    /// From which level on the client gets the job's log lines. `None` for none.
    pub log_level: Option<LogLevel>,
    /// The most entries of the queue, with the jobs of this tool that wait for a slot, to which one is added; 0 for no
    /// limit.
    pub queue_cap: u64,
    /// The most live jobs the owner may have, 0 for no limit.
    pub owner_cap: u64,
    /// How many jobs of the owner, of this tool, may be ready at once; 0 for no bound. Of no meaning for an owner without a
    /// name.
    pub owner_share: u64,
    /// What the records of the owner may take together, arguments and outcomes, bytes; 0 for no limit.
    pub owner_bytes: u64,
}

/// What the client says of the trace that a call belongs to, as the W3C writes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TraceContext<'a> {
    /// `traceparent`.
    pub parent: Option<&'a str>,
    /// `tracestate`.
    pub state: Option<&'a str>,
    /// `baggage`.
    pub baggage: Option<&'a str>,
}

impl<'a> Submission<'a> {
    /// A task with the tool's own ttl, no caps, and no optional field.
    #[must_use]
    pub fn new(
        tool: &'a ToolDefinition,
        id: TaskId,
        owner: &'a Owner,
        arguments: Arguments,
    ) -> Self {
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
            trace: TraceContext::default(),
            not_before_ms: None,
            waiter: None,
            session: None,
            progress_token: None,
            answers: &[],
            asks: &[],
            log_level: None,
            queue_cap: 0,
            owner_cap: 0,
            owner_share: 0,
            owner_bytes: 0,
        }
    }
}
