//! Questions of a plain call: the call ends with them, and is made again with the answers (2026-07-28, Multi Round-Trip
//! Requests).

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use taskferry_contract::{CallDigest, Owner};

use crate::bridge::{Bridge, BridgeError, Call, Carried, Unsealed, Watch};
use crate::identity::Caller;
use crate::mcp::jsonrpc::{self, RpcError};
use crate::mcp::modern::questions::{InputRequests, read_answers, together};
use crate::mcp::modern::result::{RESULT_META, ResultMeta};
use crate::mcp::protocol::answer::Answer;
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::wire;

/// What a call may bring along.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Retry<'a> {
    #[serde(borrow, default)]
    input_responses: Option<BTreeMap<Cow<'a, str>, &'a RawValue>>,
    #[serde(borrow, default)]
    request_state: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InputRequired {
    result_type: &'static str,
    input_requests: InputRequests,
    request_state: String,
    #[serde(rename = "_meta")]
    meta: ResultMeta,
}

/// The answer that ends a call with questions, and with what the caller is to bring back.
pub(super) async fn returned(
    bridge: &Bridge,
    request: &RawValue,
    asked: InputRequests,
    (carried, owner, call): (&Carried, &Owner, &CallDigest),
) -> Result<Answer, BridgeError> {
    let result = InputRequired {
        result_type: "input_required",
        input_requests: asked,
        request_state: bridge.seal().seal(carried, owner, call).await?,
        meta: RESULT_META,
    };
    Ok(Answer::ok(jsonrpc::success(request, &result)))
}

/// What a call brought along.
pub(super) struct Brought {
    /// The job that waits for the answers, which were delivered to it.
    pub(super) job: Option<Watch>,
    /// Answers that were given before there is a job: key and JSON.
    pub(super) answers: Vec<(String, String)>,
    /// The place of the job's log line that was sent last.
    pub(super) log: Option<String>,
}

impl Brought {
    /// The answer that asks what is asked first of a tool's callers and was not answered yet. `None` if nothing is missing,
    /// or the client cannot be asked it.
    pub(super) async fn ask_first(
        &self,
        bridge: &Bridge,
        request: &RawValue,
        call: &Call<'_>,
        digest: &CallDigest,
    ) -> Result<Option<Answer>, BridgeError> {
        let known = |key: &str| self.answers.iter().any(|(answered, _)| answered == key);
        let missing: InputRequests = wire::asked_first(call.tool, call.capabilities)
            .into_iter()
            .filter(|(key, _)| !known(key))
            .filter_map(|(key, asked)| Some((key, RawValue::from_string(asked).ok()?)))
            .collect();
        // A call that is made again is answered by its job, which has what it was asked.
        if missing.is_empty() || bridge.calls().would_join(call).await? {
            return Ok(None);
        }
        let carried = Carried {
            answers: self.answers.clone(),
            ..Carried::default()
        };
        let answer = returned(bridge, request, missing, (&carried, call.owner, digest)).await?;
        Ok(Some(answer))
    }
}

impl Retry<'_> {
    /// Takes what the call brought along: its state, and the answers to what it was asked.
    pub(super) async fn take(
        &self,
        bridge: &Bridge,
        caller: &Caller,
        call: &CallDigest,
    ) -> Result<Brought, Refusal> {
        let carried = match &self.request_state {
            None => Carried::default(),
            Some(state) => match bridge.seal().open(state, &caller.owner, call).await {
                Ok(carried) => carried,
                Err(Unsealed::Failed(error)) => return Err(error.into()),
                Err(Unsealed::Refused(why)) => {
                    let text = format!(
                        "requestState is not valid here: {why}; make the call again without it"
                    );
                    return Err(RpcError::invalid_params(text).into());
                }
            },
        };
        let responses = self.input_responses.as_ref().into_iter().flatten();
        let answers = read_answers(responses)?;
        if let Some(task) = carried.task {
            let answers: Vec<(&str, &str)> = answers
                .iter()
                .map(|(key, answer)| (key.as_str(), answer.as_str()))
                .collect();
            let mut watch = bridge.calls().resume(task, &caller.owner, &answers).await?;
            watch.join_as(carried.joined_as.unwrap_or(task));
            return Ok(Brought {
                job: Some(watch),
                answers: Vec::new(),
                log: carried.log,
            });
        }
        Ok(Brought {
            job: None,
            answers: together(carried.answers, answers)?,
            log: None,
        })
    }
}
