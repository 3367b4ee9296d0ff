//! Reads and writes records: which field of the hash means what.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::error::Error;
use crate::model::client_task::ClientTask;
use crate::model::ids::{AttemptNumber, TaskId};
use crate::model::job::{Job, TaskView};
use crate::model::names::Owner;
use crate::model::submission::Submission;
use crate::model::tool::Rate;
use crate::model::waits::Waits;
use crate::store::millis;

/// The fields of [`TaskView`] without result and error, in the order of [`view_from_values`].
pub(crate) const VIEW_FIELDS: [&str; 22] = [
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
    "rate",
    "lease_ms",
    "crashes",
    "max_crashes",
    "task_scopes",
];

/// Reads `HMGET` values in the order of [`VIEW_FIELDS`]. `None` if there is no record.
pub(crate) fn view_from_values(
    id: TaskId,
    values: Vec<Option<String>>,
) -> Result<Option<TaskView>, Error> {
    let mut values = values.into_iter();
    let mut next = || values.next().flatten();
    let Some(status) = next() else {
        return Ok(None);
    };
    let (tool, owner, plain) = (next(), next(), next());
    let (created, updated, ttl) = (next(), next(), next());
    let mut poll = || next().or_else(|| Some("0".to_owned()));
    let (poll, poll_max) = (poll(), poll());
    let view = TaskView {
        id,
        status: read(id, "status", Some(status))?,
        tool: tool.unwrap_or_default(),
        owner: Owner::stored_or_nobody(&owner.unwrap_or_default()),
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
        rate: next().and_then(|rate| Rate::stored(&rate)),
        lease_ms: next().and_then(|lease| lease.parse().ok()),
        last_crash: is_last_crash(next(), next()),
        task_scopes: scopes(next()),
        served: None,
        paused: None,
        ahead: None,
        result: None,
        error: None,
    };
    Ok(Some(view))
}

/// Reads field, value pairs in any order.
pub(crate) fn view_from_pairs(id: TaskId, pairs: Vec<(String, String)>) -> Result<TaskView, Error> {
    let mut fields: HashMap<String, String> = pairs.into_iter().collect();
    let values = VIEW_FIELDS
        .iter()
        .map(|name| fields.remove(*name))
        .collect();
    view_from_values(id, values)?.ok_or_else(|| malformed(id, "status", ""))
}

/// The scopes of a list with spaces between them.
fn scopes(text: Option<String>) -> Vec<String> {
    let text = text.unwrap_or_default();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// Whether one more crash is one too many; not if the record does not say how many may be.
fn is_last_crash(crashes: Option<String>, most: Option<String>) -> bool {
    let number = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok());
    let crashes = number(crashes).unwrap_or(0);
    number(most).is_some_and(|most| crashes.saturating_add(1) >= most)
}

/// Reads the record that a claim returned, field, value pairs in any order.
pub(crate) fn job_from_pairs(
    id: TaskId,
    attempt: AttemptNumber,
    pairs: Vec<(String, String)>,
) -> Result<Job, Error> {
    let mut fields: HashMap<String, String> = pairs.into_iter().collect();
    let answers = fields
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("answer:")?.to_owned(), value.clone())))
        .collect();
    let mut take = |name: &'static str| fields.remove(name);
    let created_ms = read(id, "created_ms", take("created_ms"))?;
    // A field that only the log uses stops no job if it cannot be read.
    let waits = take("waits").and_then(|waits| Waits::read(&waits));
    let ready_ms = waits.map_or(created_ms, Waits::ready_ms);
    let started_ms = take("started_ms").and_then(|started| started.parse().ok());
    let started_ms: i64 = started_ms.unwrap_or(ready_ms);
    let origin = take("origin").map(|origin| read(id, "origin", Some(origin)));
    Ok(Job {
        id,
        origin: origin.transpose()?.unwrap_or(id),
        tool: read(id, "tool", take("tool"))?,
        queue: read(id, "queue", take("queue"))?,
        owner: Owner::stored_or_nobody(&take("owner").unwrap_or_default()),
        arguments: take("arguments").map(Into::into).unwrap_or_default(),
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
        trace_state: take("tracestate"),
        baggage: take("baggage"),
        log_level: take("log_level").and_then(|level| level.parse().ok()),
        definition: take("definition").and_then(|digest| digest.parse().ok()),
        answers,
    })
}

/// What a record says of a job beside its identity, as field, value …
pub(crate) fn record_fields<'a>(job: &'a Submission<'_>) -> Vec<Cow<'a, str>> {
    let tool = job.tool;
    let mut args: Vec<Cow<'a, str>> = Vec::new();
    let fields: [(&str, Option<Cow<'a, str>>); 21] = [
        ("arguments", Some(job.arguments.as_str().into())),
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
        ("rate", tool.rate.map(|rate| rate.to_stored().into())),
        (
            "share",
            (job.owner_share > 0 && !job.owner.is_anonymous())
                .then(|| job.owner_share.to_string().into()),
        ),
        ("capabilities", job.capabilities.map(Into::into)),
        ("trace", job.trace.parent.map(Into::into)),
        ("tracestate", job.trace.state.map(Into::into)),
        ("baggage", job.trace.baggage.map(Into::into)),
        (
            "not_before_ms",
            job.not_before_ms.map(|ms| ms.to_string().into()),
        ),
        (
            "log_level",
            job.log_level.map(|level| level.as_str().into()),
        ),
        (
            "task_scopes",
            (!tool.task_scopes.is_empty()).then(|| tool.task_scopes.join(" ").into()),
        ),
        ("session", job.session.map(Into::into)),
        ("progress_token", job.progress_token.map(Into::into)),
        (
            "waiters",
            job.waiter.map(|front_end| front_end.as_str().into()),
        ),
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
fn question_fields<'a>(job: &'a Submission<'_>) -> Vec<Cow<'a, str>> {
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

/// Reads the field that notes a client's task. One that cannot be read was written by another version, and is as good as not
/// there.
pub(crate) fn client_task(id: TaskId, stored: Option<&String>) -> Option<ClientTask> {
    let stored = stored?;
    let task = ClientTask::read(stored);
    if task.is_none() {
        tracing::warn!(task = %id.digest(), "a client's task cannot be read");
    }
    task
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
        key: format!("the record of {}", id.digest()),
        field,
        value: value.chars().take(80).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_that_a_script_returns_has_the_fields_of_a_poll() {
        let source = include_str!("../../lua/prelude/records.lua");
        let (_, list) = source.split_once("local VIEW = {").unwrap();
        let (list, _) = list.split_once('}').unwrap();
        let names: Vec<&str> = list.split('\'').skip(1).step_by(2).collect();
        assert_eq!(names, VIEW_FIELDS);
    }
}
