//! Questions of a plain call: the call ends with them, and is made again with the answers (2026-07-28, Multi Round-Trip
//! Requests).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use taskferry_contract::TaskView;

use super::super::Caller;
use super::super::jsonrpc::{self, RpcError};
use super::super::reply::{Answer, Refusal};
use super::task::{InputRequests, input_requests};
use super::{RESULT_META, ResultMeta};
use crate::bridge::{Bridge, BridgeError, Unsealed, Watch};

/// A tool that asks several things asks them one after the other; they are returned together.
const MORE_QUESTIONS: Duration = Duration::from_millis(40);

/// What a retried call brings along.
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

/// The answer to a call whose job asks; nothing if it asks no longer.
pub(in super::super) async fn input_required(
    bridge: &Bridge,
    request: &RawValue,
    view: &TaskView,
    call: &str,
) -> Result<Option<Answer>, BridgeError> {
    tokio::time::sleep(MORE_QUESTIONS).await;
    let questions = bridge.questions(view.id).await?;
    if questions.is_empty() {
        return Ok(None);
    }
    let result = InputRequired {
        result_type: "input_required",
        input_requests: input_requests(questions),
        request_state: bridge.seal(view.id, &view.owner, call).await?,
        meta: RESULT_META,
    };
    Ok(Some(Answer::ok(jsonrpc::success(request, &result))))
}

impl Retry<'_> {
    /// The job that this call waited for, with the answers delivered to it; nothing if the call is made for the first
    /// time.
    pub(super) async fn resume(
        &self,
        bridge: &Bridge,
        caller: &Caller,
        call: &str,
    ) -> Result<Option<Watch>, Refusal> {
        let Some(state) = &self.request_state else {
            return Ok(None);
        };
        let task = match bridge.unseal(state, &caller.owner, call).await {
            Ok(Some(task)) => task,
            Ok(None) => return Ok(None),
            Err(Unsealed::Store(error)) => return Err(BridgeError::from(error).into()),
            Err(refused) => return Err(RpcError::invalid_params(refused.to_string()).into()),
        };
        let responses = self.input_responses.as_ref();
        let answers: Vec<(&str, &str)> = responses
            .into_iter()
            .flatten()
            .map(|(key, answer)| (key.as_ref(), answer.get()))
            .collect();
        if let Some((key, _)) = answers.iter().find(|(_, answer)| !answer.starts_with('{')) {
            let text = format!(
                "inputResponses.{key} must be an object: the result of the request {key:?}"
            );
            return Err(RpcError::invalid_params(text).into());
        }
        Ok(Some(bridge.resume(task, &caller.owner, &answers).await?))
    }
}
