//! Questions of a plain call: the call ends with them, and is made again with the answers (2026-07-28, Multi Round-Trip
//! Requests).

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use taskferry_contract::{Leaver, Owner, PART_DEPTH, TaskView, check_readable, quoted};

use super::envelope::lacking;
use super::task::{InputRequests, input_requests};
use super::{RESULT_META, ResultMeta};
use crate::bridge::{Bridge, BridgeError, Call, Carried, Unsealed, Watch};
use crate::mcp::jsonrpc::{self, RpcError};
use crate::mcp::protocol::answer::Answer;
use crate::mcp::protocol::capabilities;
use crate::mcp::protocol::inbound::Caller;
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::wire;

/// Bounds on the answers that one call brings along.
const MOST_ANSWERS: usize = 32;
const LARGEST_ANSWERS: usize = 64 << 10;
/// No question has a longer key.
const LONGEST_KEY: usize = 64;

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

/// A call whose job asks.
#[derive(Debug)]
pub(in crate::mcp) struct Asked<'a> {
    pub(in crate::mcp) watch: &'a Watch,
    /// Which call it is.
    pub(in crate::mcp) call: &'a str,
    /// What its client can be asked, a JSON object.
    pub(in crate::mcp) capabilities: &'a str,
    /// The place of the log line that it was told last.
    pub(in crate::mcp) log: Option<&'a str>,
}

/// The answer to a call whose job asks; nothing if it asks no longer, or others of the same caller are asked.
pub(in crate::mcp) async fn input_required(
    bridge: &Bridge,
    request: &RawValue,
    view: &TaskView,
    asked: &Asked<'_>,
) -> Result<Option<Answer>, BridgeError> {
    let (watch, declared) = (asked.watch, asked.capabilities);
    let questions = bridge.questions(view.id).await?;
    let Some(first) = questions.first() else {
        return Ok(None);
    };
    let missing = capabilities::missing_to_be_asked(&first.request, declared);
    let requests = input_requests(questions, declared);
    if !requests.is_empty() {
        let carried = Carried {
            task: Some(view.id),
            holder: watch.has_joined().then(|| watch.holder()),
            answers: Vec::new(),
            log: asked.log.map(ToOwned::to_owned),
        };
        let sealed = (&carried, &view.owner, asked.call);
        return Ok(Some(returned(bridge, request, requests, sealed).await?));
    }
    if !view.plain {
        return Ok(None);
    }
    if watch.has_joined() {
        let leaver = Leaver {
            holder: watch.holder(),
            on_purpose: false,
        };
        bridge.leave_call(view.id, &view.owner, leaver).await?;
    }
    let text = capabilities::text(&view.tool, &missing);
    Ok(Some(lacking(text, &missing.into()).answer(request)))
}

/// The answer that ends a call with questions, and with what the caller is to bring back.
async fn returned(
    bridge: &Bridge,
    request: &RawValue,
    asked: InputRequests,
    (carried, owner, call): (&Carried, &Owner, &str),
) -> Result<Answer, BridgeError> {
    let result = InputRequired {
        result_type: "input_required",
        input_requests: asked,
        request_state: bridge.seal(carried, owner, call).await?,
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
    /// The place of the job's log line that was told last.
    pub(super) log: Option<String>,
}

impl Brought {
    /// The answer that asks what is asked first of a tool's callers and was not answered yet; nothing if nothing is
    /// missing, or the client cannot be asked it.
    pub(super) async fn ask_first(
        &self,
        bridge: &Bridge,
        request: &RawValue,
        call: &Call<'_>,
        digest: &str,
    ) -> Result<Option<Answer>, BridgeError> {
        let known = |key: &str| self.answers.iter().any(|(answered, _)| answered == key);
        let missing: InputRequests = wire::asked_first(call.tool, call.capabilities)
            .into_iter()
            .filter(|(key, _)| !known(key))
            .filter_map(|(key, asked)| Some((key, RawValue::from_string(asked).ok()?)))
            .collect();
        // A call that is made again is answered by its job, which has what it was asked.
        if missing.is_empty() || bridge.would_join(call).await? {
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
        call: &str,
    ) -> Result<Brought, Refusal> {
        let mut carried = match &self.request_state {
            None => Carried::default(),
            Some(state) => match bridge.unseal(state, &caller.owner, call).await {
                Ok(carried) => carried,
                Err(Unsealed::Store(error)) => return Err(BridgeError::from(error).into()),
                Err(refused) => return Err(RpcError::invalid_params(refused.to_string()).into()),
            },
        };
        let responses = self.input_responses.as_ref().into_iter().flatten();
        let answers = read_answers(responses)?;
        if let Some(task) = carried.task {
            let answers: Vec<(&str, &str)> = answers
                .iter()
                .map(|(key, answer)| (key.as_str(), answer.as_str()))
                .collect();
            let mut watch = bridge.resume(task, &caller.owner, &answers).await?;
            watch.hold_as(carried.holder.unwrap_or(task));
            return Ok(Brought {
                job: Some(watch),
                answers: Vec::new(),
                log: carried.log,
            });
        }
        carried
            .answers
            .retain(|(known, _)| !answers.iter().any(|(key, _)| key == known));
        carried.answers.extend(answers);
        Ok(Brought {
            job: None,
            answers: carried.answers,
            log: None,
        })
    }
}

/// The answers, each an object. What could be the key of no question is passed over.
pub(super) fn read_answers<'a>(
    responses: impl IntoIterator<Item = (&'a Cow<'a, str>, &'a &'a RawValue)>,
) -> Result<Vec<(String, String)>, Refusal> {
    let mut answers = Vec::new();
    for (key, answer) in responses {
        if !answer.get().starts_with('{') {
            let text = format!(
                "inputResponses[{0}] must be an object: the result of the request {0}",
                quoted(key)
            );
            return Err(RpcError::invalid_params(text).into());
        }
        if let Err(error) = check_readable(answer.get(), PART_DEPTH) {
            let text = format!("inputResponses.{key} cannot be used: {error}");
            return Err(RpcError::invalid_params(text).into());
        }
        if key.len() <= LONGEST_KEY {
            answers.push((key.to_string(), answer.get().to_owned()));
        }
    }
    let size: usize = answers.iter().map(|(_, answer)| answer.len()).sum();
    if answers.len() > MOST_ANSWERS || size > LARGEST_ANSWERS {
        let text = format!(
            "inputResponses must be at most {MOST_ANSWERS} answers of {LARGEST_ANSWERS} bytes together"
        );
        return Err(RpcError::invalid_params(text).into());
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many answers are taken.
    fn taken(answers: impl IntoIterator<Item = (String, String)>) -> Option<usize> {
        let answers = answers.into_iter();
        let raw: Vec<(Cow<'_, str>, Box<RawValue>)> = answers
            .map(|(key, answer)| (key.into(), RawValue::from_string(answer).unwrap()))
            .collect();
        let all: Vec<(&Cow<'_, str>, &RawValue)> =
            raw.iter().map(|(key, answer)| (key, &**answer)).collect();
        let read = read_answers(all.iter().map(|(key, answer)| (*key, answer)));
        read.ok().map(|read| read.len())
    }

    fn of_bytes(bytes: usize) -> String {
        let frame = r#"{"x":""}"#.len();
        format!(r#"{{"x":"{}"}}"#, "a".repeat(bytes - frame))
    }

    #[test]
    fn answers_are_bounded_in_number_and_size_and_each_is_an_object() {
        let many = |count: usize| (0..count).map(|n| (n.to_string(), "{}".to_owned()));
        assert_eq!(taken(many(MOST_ANSWERS)), Some(MOST_ANSWERS));
        assert_eq!(taken(many(MOST_ANSWERS + 1)), None);
        assert_eq!(taken(many(MOST_ANSWERS + 2)), None);
        let large = |bytes: usize| [("a".to_owned(), of_bytes(bytes))];
        assert_eq!(taken(large(LARGEST_ANSWERS)), Some(1));
        assert_eq!(taken(large(LARGEST_ANSWERS + 1)), None);
        assert_eq!(taken(large(LARGEST_ANSWERS * 2)), None);
        let halves = ["a", "b"].map(|key| (key.to_owned(), of_bytes(LARGEST_ANSWERS / 2 + 1)));
        assert_eq!(taken(halves), None, "together");
        let keyed = |key: &str, answer: &str| [(key.to_owned(), answer.to_owned())];
        let longest = "k".repeat(LONGEST_KEY);
        assert_eq!(taken(keyed(&longest, "{}")), Some(1));
        assert_eq!(taken(keyed(&format!("{longest}k"), "{}")), Some(0));
        assert_eq!(taken(keyed("a", "[]")), None);
        assert_eq!(taken(keyed("a", r#"{"x":"\ud83d"}"#)), None);
    }
}
