//! Tasks as the legacy era shows them, and the methods on them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use taskferry_contract::{Status, TaskId, TaskView};

use super::cancel;
use super::question::Carrier;
use super::resume::{Awaited, Trail};
use super::session::Opened;
use crate::mcp::Mcp;
use crate::mcp::jsonrpc::{self, Request, RpcError};
use crate::mcp::protocol::answer::Answer;
use crate::mcp::protocol::inbound::Caller;
use crate::mcp::protocol::object::RawObject;
use crate::mcp::protocol::pace;
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::reply::Reply;
use crate::mcp::protocol::standing;
use crate::mcp::protocol::wire::{self, Outcome};
use crate::mcp::wait::{Awaits, Follow, OnDisconnect, OnQuestion};

/// How many tasks a page of tasks/list shows.
const PAGE: usize = 50;
/// Says which task a message belongs to.
pub(super) const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";

/// A task.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LegacyTask<'a> {
    task_id: String,
    pub(super) status: &'static str,
    status_message: Cow<'a, str>,
    created_at: String,
    last_updated_at: String,
    ttl: i64,
    poll_interval: u64,
}

impl<'a> LegacyTask<'a> {
    pub(super) fn new(view: &'a TaskView) -> Self {
        Self {
            task_id: view.id.to_string(),
            status: status(view),
            status_message: standing::message(view),
            created_at: wire::timestamp(view.created_ms),
            last_updated_at: wire::timestamp(view.updated_ms),
            ttl: view.ttl_ms,
            poll_interval: pace::interval(view),
        }
    }
}

/// A result that reports a tool error is a failure in this era (2025-11-25, tasks, Task Status).
fn status(view: &TaskView) -> &'static str {
    match view.status {
        Status::Completed if view.is_error => "failed",
        status => wire::status_word(status),
    }
}

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

impl Mcp {
    pub(super) async fn legacy_task(
        &self,
        caller: &Caller,
        session: &Opened,
        request: &Request<'_>,
    ) -> Result<Reply, Refusal> {
        let body = match request.method.as_ref() {
            "tasks/get" => {
                let view = self
                    .bridge
                    .poll(named_task(request)?, &caller.owner)
                    .await?;
                jsonrpc::success(request.id, &LegacyTask::new(&view))
            }
            "tasks/result" => return self.legacy_result(caller, session, request).await,
            "tasks/cancel" => self.legacy_cancel(caller, request).await?,
            "tasks/list" if !caller.owner.is_anonymous() => {
                self.legacy_list(caller, request).await?
            }
            "tasks/list" => return Err(RpcError::not_offered("tasks/list", "single_user").into()),
            unknown => return Err(RpcError::unknown_method(unknown).into()),
        };
        Ok(Reply::Json(Answer::ok(body)))
    }

    async fn legacy_result(
        &self,
        caller: &Caller,
        session: &Opened,
        request: &Request<'_>,
    ) -> Result<Reply, Refusal> {
        let id = named_task(request)?;
        // The record of a plain call is no task, though one may know its id.
        let watch = self.bridge.watch(id, &caller.owner).await?;
        if let Some(lasts) = watch.may_last() {
            cancel::begin(&self.bridge, session.id, request.id, lasts).await;
        }
        let trail = Some(Trail::new(session, request.id, (id, Awaited::Result)));
        let follow = Follow {
            request: request.id.to_owned(),
            watch,
            progress: None,
            log: None,
            on_disconnect: OnDisconnect::Leave,
            on_question: OnQuestion::send(
                Carrier::of_request(&self.bridge, session, request.id),
                true,
            ),
            client: session.client(),
            finish: result_answer,
            awaits: Awaits::Task,
            trail,
            deadline: None,
            as_task: None,
        };
        Ok(self.follow(follow))
    }

    async fn legacy_cancel(
        &self,
        caller: &Caller,
        request: &Request<'_>,
    ) -> Result<String, Refusal> {
        match self
            .bridge
            .cancel(named_task(request)?, &caller.owner)
            .await?
        {
            Ok(view) => Ok(jsonrpc::success(request.id, &LegacyTask::new(&view))),
            Err(view) => {
                let text = format!(
                    "this task cannot be cancelled: it is {} already",
                    status(&view)
                );
                Err(RpcError::invalid_params(text).into())
            }
        }
    }

    async fn legacy_list(&self, caller: &Caller, request: &Request<'_>) -> Result<String, Refusal> {
        let params: ListParams<'_> = request.params()?;
        let after = params.cursor.as_deref().map(read_cursor).transpose()?;
        let page = self.bridge.list(&caller.owner, after, PAGE).await?;
        let tasks: Vec<LegacyTask<'_>> = page.tasks.iter().map(LegacyTask::new).collect();
        let mut result = json!({ "tasks": tasks });
        if let (Some(next), Some(object)) = (page.next, result.as_object_mut()) {
            object.insert("nextCursor".to_owned(), json!(write_cursor(next)));
        }
        Ok(jsonrpc::success(request.id, &result))
    }
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
    let body = match Outcome::of(view)? {
        Outcome::Result(result) => match RawObject::parse(result) {
            Ok(mut object) => {
                object.set_meta(RELATED_TASK, &json!({ "taskId": view.id.to_string() }));
                jsonrpc::success(id, &object)
            }
            Err(_unreadable) => jsonrpc::failure(
                Some(id),
                &RpcError::internal("the stored result is not an object"),
            ),
        },
        Outcome::Stored(error) => jsonrpc::failure(Some(id), &error),
        Outcome::Missing(error) => jsonrpc::failure(Some(id), &error),
    };
    Some(Answer::ok(body))
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
