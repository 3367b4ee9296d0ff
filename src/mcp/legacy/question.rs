//! Questions to a legacy client: requests of ours, each sent once, whose answers may come in on any replica.

use std::collections::HashSet;

use serde_json::json;
use serde_json::value::RawValue;
use taskferry_contract::{DeliverReply, TaskId, TaskView};

use super::super::Caller;
use super::super::jsonrpc::{self, Response};
use super::super::object::RawObject;
use super::task::RELATED_TASK;
use crate::bridge::{Bridge, BridgeError};

/// A connection over which questions go out.
#[derive(Debug)]
pub(in super::super) struct Carrier {
    /// Its name among all replicas.
    pub(in super::super) name: String,
    /// What went out over it, by the id of the request.
    sent: HashSet<String>,
}

impl Carrier {
    pub(in super::super) fn new(bridge: &Bridge) -> Self {
        Self {
            name: bridge.new_carrier(),
            sent: HashSet::new(),
        }
    }

    /// The open questions of a job that nobody has sent yet, as requests for this connection to send. The id of each says
    /// where its answer belongs: `<task id>/<key>`. To be called every few seconds while questions are open, or the right
    /// to send them is lost.
    pub(in super::super) async fn questions(
        &mut self,
        bridge: &Bridge,
        view: &TaskView,
    ) -> Result<Vec<String>, BridgeError> {
        let mut messages = Vec::new();
        for question in bridge.questions(view.id).await? {
            let reply = bridge
                .deliver(view.id, &view.owner, &question.key, &self.name)
                .await?;
            let id = format!("{}/{}", view.id, question.key);
            if let DeliverReply::Send(request) = reply
                && self.sent.insert(id.clone())
            {
                messages.extend(message(view, &id, &request));
            }
        }
        Ok(messages)
    }
}

fn message(view: &TaskView, id: &str, request: &str) -> Option<String> {
    let stored = RawObject::parse(request).ok()?;
    let method: String = serde_json::from_str(stored.get("method")?.get()).ok()?;
    let params = stored.get("params").map_or("{}", RawValue::get).to_owned();
    let mut params = RawObject::parse(&params).ok()?;
    if !view.plain {
        params.set_meta(RELATED_TASK, &json!({ "taskId": view.id.to_string() }));
    }
    Some(jsonrpc::request(id, &method, &params))
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
