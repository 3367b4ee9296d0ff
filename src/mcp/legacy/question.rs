//! Questions to a legacy client: requests of ours, each sent once, whose answers may come in on any replica.

use serde_json::json;
use serde_json::value::RawValue;
use taskferry_contract::{DeliverReply, TaskId, TaskView};

use super::super::Caller;
use super::super::jsonrpc::{self, Response};
use super::super::object::RawObject;
use super::task::RELATED_TASK;
use crate::bridge::{Bridge, BridgeError};

/// The open questions of a job that nobody has sent yet, as requests for the connection `carrier` to send. The id of
/// each says where its answer belongs: `<task id>/<key>`.
pub(in super::super) async fn questions(
    bridge: &Bridge,
    view: &TaskView,
    carrier: &str,
) -> Result<Vec<String>, BridgeError> {
    let mut messages = Vec::new();
    for question in bridge.questions(view.id).await? {
        let reply = bridge
            .deliver(view.id, &view.owner, &question.key, carrier)
            .await?;
        if let DeliverReply::Send(request) = reply {
            messages.extend(message(view, &question.key, &request));
        }
    }
    Ok(messages)
}

fn message(view: &TaskView, key: &str, request: &str) -> Option<String> {
    let stored = RawObject::parse(request).ok()?;
    let method: String = serde_json::from_str(stored.get("method")?.get()).ok()?;
    let params = stored.get("params").map_or("{}", RawValue::get).to_owned();
    let mut params = RawObject::parse(&params).ok()?;
    if !view.plain {
        params.set_meta(RELATED_TASK, &json!({ "taskId": view.id.to_string() }));
    }
    Some(jsonrpc::request(
        &format!("{}/{key}", view.id),
        &method,
        &params,
    ))
}

/// Takes a client's answer. One that answers nothing of ours changes nothing.
pub(super) async fn answered(
    bridge: &Bridge,
    caller: &Caller,
    response: &Response<'_>,
) -> Result<(), BridgeError> {
    let Some((task, key)) = response.id.and_then(addressee) else {
        return Ok(());
    };
    let answer = match response.outcome {
        Ok(result) => result.get().to_owned(),
        Err(error) => format!("{{\"error\":{}}}", error.get()),
    };
    match bridge.answer(task, &caller.owner, &[(&key, &answer)]).await {
        // The task may have ended while the client thought.
        Err(BridgeError::NotFound) => Ok(()),
        outcome => outcome,
    }
}

fn addressee(id: &RawValue) -> Option<(TaskId, String)> {
    let id: String = serde_json::from_str(id.get()).ok()?;
    let (task, key) = id.split_once('/')?;
    Some((task.parse().ok()?, key.to_owned()))
}
