//! The methods on tasks.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use taskferry_contract::{SharedJson, TaskId, TaskView};

use crate::bridge::Cancelled;
use crate::identity::Needs;
use crate::mcp::allow::{allow, lacks_of};
use crate::mcp::jsonrpc::{self, Request, RpcError, Text};
use crate::mcp::legacy::call::FORMAT;
use crate::mcp::legacy::cancel;
use crate::mcp::legacy::delivery::SessionDelivery;
use crate::mcp::legacy::event_ids::EventIds;
use crate::mcp::legacy::exchange::Exchange;
use crate::mcp::legacy::related::{RELATED_TASK, related};
use crate::mcp::legacy::sender::QuestionSender;
use crate::mcp::legacy::shown::{LegacyTask, status};
use crate::mcp::protocol::answer::Answer;
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::reply::Reply;
use crate::mcp::protocol::wire::{self, Outcome};
use crate::mcp::wait::Wait;
use crate::mcp::wait::answers::Waiting;

/// How many tasks a page of tasks/list shows.
const PAGE: usize = 50;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskParams<'a> {
    #[serde(borrow)]
    task_id: Cow<'a, str>,
}

#[derive(Deserialize)]
struct ListParams<'a> {
    #[serde(borrow, default)]
    cursor: Option<Cow<'a, str>>,
}

fn named_task(request: &Request<'_>) -> Result<TaskId, Refusal> {
    let params: TaskParams<'_> = request.params()?;
    wire::task_id(&params.task_id)
}

/// Serves the methods on tasks.
pub(super) async fn serve(exchange: &Exchange<'_>) -> Result<Reply, Refusal> {
    let is_anonymous = exchange.caller.owner.is_anonymous();
    let body = match exchange.request.method.as_ref() {
        "tasks/get" => get(exchange).await?,
        "tasks/result" => return result(exchange).await,
        "tasks/cancel" => cancel_task(exchange).await?,
        "tasks/list" if !is_anonymous => list(exchange).await?,
        "tasks/list" => return Err(RpcError::not_offered("tasks/list", "single_user").into()),
        unknown => return Err(RpcError::unknown_method(unknown).into()),
    };
    Ok(Reply::Json(Answer::ok(body)))
}

async fn get(exchange: &Exchange<'_>) -> Result<String, Refusal> {
    let (bridge, request) = (exchange.bridge(), exchange.request);
    let task = named_task(request)?;
    exchange.era.edge.allow_task(exchange.caller, task).await?;
    let view = bridge.tasks().poll(task, &exchange.caller.owner).await?;
    Ok(jsonrpc::success(request.id, &LegacyTask::new(&view)))
}

async fn result(exchange: &Exchange<'_>) -> Result<Reply, Refusal> {
    let (bridge, session, request) = (exchange.bridge(), exchange.session, exchange.request);
    let id = named_task(request)?;
    exchange.era.edge.allow_task(exchange.caller, id).await?;
    // The record of a plain call is no task, though one may know its id.
    let watch = bridge.tasks().watch(id, &exchange.caller.owner).await?;
    if let Some(lasts) = watch.may_last() {
        cancel::begin(exchange, lasts).await;
    }
    let ids = EventIds::new(session, request.id, (id, Waiting::Task));
    let sender = QuestionSender::of_request(bridge, session, request.id);
    let delivery = SessionDelivery::for_task(exchange.era, sender, Some(ids));
    let (awaited, to) = (FORMAT.of_task(result_answer), (session.client(), delivery));
    let wait = Wait::new(request.id, watch, awaited, to, exchange.caller);
    Ok(wait.reply(&exchange.era.edge))
}

async fn cancel_task(exchange: &Exchange<'_>) -> Result<String, Refusal> {
    let (bridge, request) = (exchange.bridge(), exchange.request);
    let task = named_task(request)?;
    exchange.era.edge.allow_task(exchange.caller, task).await?;
    match bridge.tasks().cancel(task, &exchange.caller.owner).await? {
        Cancelled::Now(view) => Ok(jsonrpc::success(request.id, &LegacyTask::new(&view))),
        Cancelled::EndedBefore(view) => {
            let status = status(&view);
            let text = format!("this task cannot be cancelled: it is {status} already");
            Err(RpcError::invalid_params(text).into())
        }
    }
}

async fn list(exchange: &Exchange<'_>) -> Result<String, Refusal> {
    let (bridge, request) = (exchange.bridge(), exchange.request);
    allow(exchange.caller, Needs::of_tasks(&[]))?;
    let params: ListParams<'_> = request.params()?;
    let after = params.cursor.as_deref().map(read_cursor).transpose()?;
    let page = bridge
        .tasks()
        .list(&exchange.caller.owner, after, PAGE)
        .await?;
    let allowed = |view: &&TaskView| lacks_of(exchange.caller, view).is_none();
    let tasks = page.tasks.iter().filter(allowed).map(LegacyTask::new);
    let tasks: Vec<LegacyTask<'_>> = tasks.collect();
    let mut result = json!({ "tasks": tasks });
    if let (Some(next), Some(object)) = (page.next, result.as_object_mut()) {
        object.insert("nextCursor".to_owned(), json!(write_cursor(next)));
    }
    Ok(jsonrpc::success(request.id, &result))
}

fn write_cursor((expiry, id): (u64, TaskId)) -> String {
    URL_SAFE_NO_PAD.encode(format!("{expiry} {id}"))
}

fn read_cursor(cursor: &str) -> Result<(u64, TaskId), Refusal> {
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let (expiry, id) = text.split_once(' ')?;
        Some((expiry.parse().ok()?, id.parse().ok()?))
    };
    read()
        .ok_or_else(|| RpcError::invalid_params("this cursor was not given by this server").into())
}

/// The answer to tasks/result: exactly what the call would have returned, and which task it belongs to.
pub(super) fn result_answer(id: &RawValue, view: &TaskView) -> Option<Answer> {
    let related = serde_json::to_string(&related(view.id)).ok()?;
    let shown = |result: &SharedJson| {
        let parts = result.with_members(&[], &[(RELATED_TASK, &related)])?;
        Some(Text::of_parts(result, parts))
    };
    Some(Outcome::of(view)?.answer(id, shown))
}

#[cfg(test)]
mod tests {
    use taskferry_contract::Shards;

    use super::*;

    #[test]
    fn a_cursor_reads_back_and_a_made_up_one_is_refused() {
        let shard = Shards::default().all().next().unwrap();
        let place = (1_764_068_645_007, TaskId::random(shard));
        assert_eq!(read_cursor(&write_cursor(place)).unwrap(), place);
        for wrong in ["", "x", "MTIz", "%%%"] {
            assert!(read_cursor(wrong).is_err(), "{wrong}");
        }
    }
}
