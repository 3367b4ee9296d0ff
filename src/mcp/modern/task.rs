//! Tasks as the extension shows them, and the methods on them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use taskferry_contract::{SharedJson, Status, TaskId, TaskView};

use crate::bridge::Cancelled;
use crate::mcp::jsonrpc::{self, RpcError, Text};
use crate::mcp::modern::exchange::Exchange;
use crate::mcp::modern::questions::{InputRequests, input_requests, read_answers};
use crate::mcp::modern::repeated::{self, Presence};
use crate::mcp::modern::result::{COMPLETE, RESULT_META, ResultMeta};
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::time::timestamp;
use crate::mcp::protocol::wire::{self, Outcome};
use crate::mcp::protocol::{pace, standing};

/// A task as `tools/call` creates it, and as `tasks/get` and a subscription show it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ModernTask<'a, M = ResultMeta> {
    /// Absent in a notification, which is no result.
    #[serde(skip_serializing_if = "Option::is_none")]
    result_type: Option<&'static str>,
    task_id: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<Cow<'a, str>>,
    created_at: String,
    last_updated_at: String,
    ttl_ms: i64,
    poll_interval_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_requests: Option<InputRequests>,
    #[serde(rename = "_meta")]
    meta: M,
}

impl<'a> ModernTask<'a> {
    /// The task that a call became.
    pub(super) fn created(view: &'a TaskView) -> Self {
        let task = Self::new(Some("task"), view, RESULT_META);
        Self {
            // That it waits for its first worker goes without saying.
            status_message: task
                .status_message
                .filter(|_| standing::news(view).is_some()),
            ..task
        }
    }
}

impl<'a, M> ModernTask<'a, M> {
    fn new(result_type: Option<&'static str>, view: &'a TaskView, meta: M) -> Self {
        Self {
            result_type,
            task_id: view.id.to_string(),
            status: wire::status_word(view.status),
            status_message: Some(standing::message(view)),
            created_at: timestamp(view.created_ms),
            last_updated_at: timestamp(view.updated_ms),
            ttl_ms: view.ttl_ms,
            poll_interval_ms: pace::interval(view),
            input_requests: None,
            meta,
        }
    }

    /// The task as a subscription shows it, but for its [`outcome`].
    pub(super) fn notified(view: &'a TaskView, questions: InputRequests, meta: M) -> Self {
        Self::new(None, view, meta).asking(questions)
    }

    /// The task with what it asks, if it does.
    fn asking(self, questions: InputRequests) -> Self {
        let asks = self.status == wire::status_word(Status::InputRequired);
        Self {
            input_requests: asks.then_some(questions),
            ..self
        }
    }
}

/// The member of a task that has what it ended with, and its JSON.
pub(super) fn outcome(view: &TaskView) -> Option<(&'static str, Text)> {
    match (view.status, Outcome::of(view)?) {
        (Status::Completed, Outcome::Result(result)) => Some(("result", inlined(result)?)),
        (Status::Failed, Outcome::Stored(error)) => Some(("error", Text::of(error))),
        (Status::Failed, Outcome::Missing(error)) => {
            Some(("error", serde_json::to_string(&error).ok()?.into()))
        }
        _ => None,
    }
}

/// A result as the call would have returned it: in this era every result says what type it is.
fn inlined(result: &SharedJson) -> Option<Text> {
    let (name, _) = COMPLETE;
    let missing = if result.has_member(name) {
        &[][..]
    } else {
        &[COMPLETE]
    };
    let parts = result.with_members(missing, &[])?;
    Some(Text::of_parts(result, parts))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskParams<'a> {
    #[serde(borrow)]
    task_id: Cow<'a, str>,
    #[serde(borrow, default)]
    input_responses: Option<BTreeMap<Cow<'a, str>, &'a RawValue>>,
}

/// Serves `tasks/get`.
pub(super) async fn get(exchange: &Exchange<'_>) -> Result<Text, Refusal> {
    let (id, _) = named_task(exchange).await?;
    let bridge = exchange.bridge();
    let view = bridge
        .tasks()
        .poll_with_outcome(id, &exchange.caller.owner)
        .await?;
    let questions = if view.status == Status::InputRequired {
        bridge.questions().open(id).await?
    } else {
        Vec::new()
    };
    let questions = input_requests(questions, exchange.envelope.capabilities.get());
    let task = ModernTask::new(Some("complete"), &view, RESULT_META);
    let message = jsonrpc::success(exchange.request.id, &task.asking(questions));
    Ok(match outcome(&view) {
        Some((name, json)) => jsonrpc::with_last_member(&message, name, json),
        None => message.into(),
    })
}

/// Serves `tasks/update`.
pub(super) async fn update(exchange: &Exchange<'_>) -> Result<(), Refusal> {
    let (id, params) = named_task(exchange).await?;
    let Some(responses) = params.input_responses else {
        let text = "params must have inputResponses, an object";
        return Err(RpcError::invalid_params(text).into());
    };
    let answers = read_answers(&responses)?;
    let answers: Vec<(&str, &str)> = answers
        .iter()
        .map(|(key, answer)| (key.as_str(), answer.as_str()))
        .collect();
    let (bridge, owner) = (exchange.bridge(), &exchange.caller.owner);
    // The record of a plain call is no task, though one may know its id.
    bridge.tasks().poll(id, owner).await?;
    Ok(bridge.questions().answer(id, owner, &answers).await?)
}

/// Serves `tasks/cancel`.
pub(super) async fn cancel(exchange: &Exchange<'_>) -> Result<(), Refusal> {
    let (id, _) = named_task(exchange).await?;
    let tasks = exchange.bridge().tasks();
    // One that had ended before is acknowledged just the same.
    let (Cancelled::Now(_) | Cancelled::EndedBefore(_)) =
        tasks.cancel(id, &exchange.caller.owner).await?;
    Ok(())
}

/// The task a request names, if its caller has the scopes for it. A client that takes no tasks gets that error before any other, even for an unknown id.
async fn named_task<'a>(exchange: &Exchange<'a>) -> Result<(TaskId, TaskParams<'a>), Refusal> {
    exchange.envelope.require_tasks()?;
    let params: TaskParams<'a> = exchange.request.params()?;
    repeated::expect_name(exchange.facts, &params.task_id, Presence::Optional)?;
    let id = wire::task_id(&params.task_id)?;
    exchange.era.edge.allow_task(exchange.caller, id).await?;
    Ok((id, params))
}
