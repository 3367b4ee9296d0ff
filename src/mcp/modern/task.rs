//! Tasks as the extension shows them, and the methods on them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use taskferry_contract::{Question, Status, TaskId, TaskView};

use super::envelope::Envelope;
use super::input::read_answers;
use super::repeated::{self, Presence};
use super::{RESULT_META, ResultMeta};
use crate::mcp::Mcp;
use crate::mcp::jsonrpc::{self, Request, RpcError};
use crate::mcp::protocol::capabilities::missing_to_be_asked;
use crate::mcp::protocol::inbound::{Facts, Inbound};
use crate::mcp::protocol::object::RawObject;
use crate::mcp::protocol::pace;
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::standing;
use crate::mcp::protocol::wire::{self, Outcome};

/// A task as `tools/call` creates it, `tasks/get` shows it, and a subscription tells of it.
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
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Box<RawValue>>,
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
            created_at: wire::timestamp(view.created_ms),
            last_updated_at: wire::timestamp(view.updated_ms),
            ttl_ms: view.ttl_ms,
            poll_interval_ms: pace::interval(view),
            input_requests: None,
            result: None,
            error: None,
            meta,
        }
    }

    /// The task as a subscription tells of it.
    pub(super) fn notified(view: &'a TaskView, questions: InputRequests, meta: M) -> Self {
        Self::new(None, view, meta).detailed(view, questions)
    }

    /// The task with what its status brings along.
    fn detailed(self, view: &'a TaskView, questions: InputRequests) -> Self {
        let mut task = self;
        match (view.status, Outcome::of(view)) {
            (Status::InputRequired, _) => task.input_requests = Some(questions),
            (Status::Completed, Some(Outcome::Result(result))) => task.result = inlined(result),
            (Status::Failed, Some(outcome)) => {
                task.error = match outcome {
                    Outcome::Stored(error) => Some(error),
                    Outcome::Missing(error) => serde_json::value::to_raw_value(&error).ok(),
                    Outcome::Result(_) => None,
                };
            }
            _ => {}
        }
        task
    }
}

/// A result as the call would have returned it: in this era every result says what type it is.
fn inlined(result: &str) -> Option<Box<RawValue>> {
    let mut object = RawObject::parse(result).ok()?;
    if object.get("resultType").is_none() {
        object.set("resultType", &"complete");
    }
    serde_json::value::to_raw_value(&object).ok()
}

/// Questions by key.
pub(super) type InputRequests = BTreeMap<String, Box<RawValue>>;

/// Those that a client which declares `declared` can be asked; another client of the same caller may have begun the job.
pub(super) fn input_requests(questions: Vec<Question>, declared: &str) -> InputRequests {
    questions
        .into_iter()
        .filter(|question| missing_to_be_asked(&question.request, declared).is_empty())
        .filter_map(|question| Some((question.key, RawValue::from_string(question.request).ok()?)))
        .collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskParams<'a> {
    #[serde(borrow)]
    task_id: Cow<'a, str>,
    #[serde(borrow, default)]
    input_responses: Option<BTreeMap<Cow<'a, str>, &'a RawValue>>,
}

impl Mcp {
    pub(super) async fn modern_task(
        &self,
        inbound: &Inbound<'_>,
        envelope: &Envelope<'_>,
        request: &Request<'_>,
    ) -> Result<String, Refusal> {
        let (id, _) = named_task(inbound.facts, envelope, request)?;
        let view = self
            .bridge
            .poll_with_outcome(id, &inbound.caller.owner)
            .await?;
        let questions = if view.status == Status::InputRequired {
            self.bridge.questions(id).await?
        } else {
            Vec::new()
        };
        let questions = input_requests(questions, envelope.capabilities.get());
        let task = ModernTask::new(Some("complete"), &view, RESULT_META);
        Ok(jsonrpc::success(
            request.id,
            &task.detailed(&view, questions),
        ))
    }

    pub(super) async fn modern_update(
        &self,
        inbound: &Inbound<'_>,
        envelope: &Envelope<'_>,
        request: &Request<'_>,
    ) -> Result<(), Refusal> {
        let (id, params) = named_task(inbound.facts, envelope, request)?;
        let Some(responses) = params.input_responses else {
            return Err(
                RpcError::invalid_params("params must have inputResponses, an object").into(),
            );
        };
        let answers = read_answers(&responses)?;
        let answers: Vec<(&str, &str)> = answers
            .iter()
            .map(|(key, answer)| (key.as_str(), answer.as_str()))
            .collect();
        // The record of a plain call is no task, though one may know its id.
        self.bridge.poll(id, &inbound.caller.owner).await?;
        Ok(self
            .bridge
            .answer(id, &inbound.caller.owner, &answers)
            .await?)
    }

    pub(super) async fn modern_cancel(
        &self,
        inbound: &Inbound<'_>,
        envelope: &Envelope<'_>,
        request: &Request<'_>,
    ) -> Result<(), Refusal> {
        let (id, _) = named_task(inbound.facts, envelope, request)?;
        // One that had ended before is acknowledged just the same.
        self.bridge
            .cancel(id, &inbound.caller.owner)
            .await?
            .map_or(Ok(()), |_cancelled| Ok(()))
    }
}

/// The task a request names. A client that takes no tasks is told so before anything else, even for an unknown id.
fn named_task<'a>(
    facts: &Facts<'_>,
    envelope: &Envelope<'_>,
    request: &Request<'a>,
) -> Result<(TaskId, TaskParams<'a>), Refusal> {
    envelope.require_tasks()?;
    let params: TaskParams<'a> = request.params()?;
    repeated::expect_name(facts, &params.task_id, Presence::Optional)?;
    Ok((wire::task_id(&params.task_id)?, params))
}
