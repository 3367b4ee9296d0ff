//! A client's own task, by which it answers a question: reads what the client reports of it, and stores that.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use taskferry_contract::{
    ClientTaskReport, ClientTaskStatus, Object, PART_DEPTH, QuestionRef, ReportOccasion, SessionId,
    check_readable, misfit,
};

use crate::bridge::{Bridge, BridgeError};
use crate::mcp::legacy::own_request::About;
use crate::mcp::protocol::number::Number;

/// How often a client is polled that gives no poll interval.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// The longest id of a client's task, and the longest message of one that is kept, bytes.
const LONGEST_ID: usize = 1024;
const LONGEST_MESSAGE: usize = 1024;
/// A client is polled no more often than this, and no less often than that, whatever it asks for.
const ASK_BETWEEN: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(3600)];

/// A client's task as it describes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described<'a> {
    #[serde(borrow)]
    task_id: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow, default)]
    status_message: Option<Cow<'a, str>>,
    /// ms; a number in the schema, so a client may send a fraction.
    #[serde(default)]
    poll_interval: Option<Number>,
}

impl Described<'_> {
    fn poll(&self) -> Option<Duration> {
        let [least, most] = ASK_BETWEEN;
        let Number(ms) = self.poll_interval?;
        Some(Duration::from_secs_f64(
            (ms / 1e3).clamp(least.as_secs_f64(), most.as_secs_f64()),
        ))
    }

    /// In words, as far as that is kept.
    fn message(&self) -> &str {
        let message = self.status_message.as_deref().unwrap_or_default();
        message
            .get(..message.floor_char_boundary(LONGEST_MESSAGE))
            .unwrap_or_default()
    }

    /// `None` if it was cancelled, is in an unknown state, or has an id that is too long to be kept.
    fn status(&self) -> Option<ClientTaskStatus> {
        match self.status.as_ref() {
            _ if self.task_id.len() > LONGEST_ID => None,
            "working" => Some(ClientTaskStatus::Working),
            "input_required" => Some(ClientTaskStatus::InputRequired),
            "completed" => Some(ClientTaskStatus::Completed),
            "failed" => Some(ClientTaskStatus::Failed),
            _ => None,
        }
    }

    /// The answer that is stored if none comes.
    fn no_answer(&self) -> String {
        let (status, message) = (&self.status, self.status_message.as_deref());
        let why = message.map(|message| format!(": {message}"));
        let text = format!(
            "the client's task that was to bring the answer is {status}{}",
            why.unwrap_or_default()
        );
        json!({ "error": { "code": -32000, "message": text } }).to_string()
    }
}

/// The question that a client's report is about, and the session that it came in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addressee<'a> {
    pub(super) question: QuestionRef<'a>,
    pub(super) session: SessionId,
}

/// Stores that a client made a task, if its answer says so. False if it does not.
pub(super) async fn made(
    bridge: &Bridge,
    addressee: Addressee<'_>,
    result: &RawValue,
) -> Result<bool, BridgeError> {
    #[derive(Deserialize)]
    struct Created<'a> {
        #[serde(borrow)]
        task: Object<Described<'a>>,
    }
    let read = serde_json::from_str::<Object<Created<'_>>>(result.get());
    let Ok(Object(Created { task: Object(task) })) = read else {
        return Ok(false);
    };
    let Some(status) = task.status() else {
        let (question, answer) = (addressee.question, task.no_answer());
        bridge
            .questions()
            .answer(question.task, question.owner, &[(question.key, &answer)])
            .await?;
        return Ok(true);
    };
    let said = ClientTaskReport {
        session: addressee.session,
        by: ReportOccasion::Making(&task.task_id),
        status,
        message: task.message(),
        poll: Some(task.poll().unwrap_or(ASK_EVERY)),
    };
    bridge.client_tasks().note(addressee.question, said).await?;
    Ok(true)
}

/// Stores what a client reports of its task when it is polled.
pub(super) async fn note_poll_response(
    bridge: &Bridge,
    addressee: Addressee<'_>,
    about: About,
    outcome: Result<&RawValue, &RawValue>,
) -> Result<(), BridgeError> {
    let answer = match (about, outcome) {
        (About::Cancel(_), _) => return Ok(()),
        (About::Status(_), Err(error)) => format!("{{\"error\":{}}}", error.get()),
        (About::Outcome(_), outcome) => of_ended(bridge, addressee, outcome).await?,
        (About::Status(number), Ok(result)) => {
            match serde_json::from_str::<Object<Described<'_>>>(result.get()) {
                Ok(Object(task)) => match task.status() {
                    Some(status) => {
                        let said = ClientTaskReport {
                            session: addressee.session,
                            by: ReportOccasion::Poll(number),
                            status,
                            message: task.message(),
                            poll: task.poll(),
                        };
                        return bridge.client_tasks().note(addressee.question, said).await;
                    }
                    None => task.no_answer(),
                },
                Err(error) => {
                    let text = format!("the client described its task wrongly: {}", misfit(&error));
                    json!({ "error": { "code": -32000, "message": text } }).to_string()
                }
            }
        }
    };
    bridge
        .client_tasks()
        .answer(addressee.question, addressee.session, &answer)
        .await
}

/// What a client answered, if it is an object, as every result is, that can be read; else an error in its addressee.
pub(super) fn object(result: &RawValue) -> Cow<'_, str> {
    let json = result.get();
    let text = if !json.starts_with('{') {
        "the client's answer is no object, as a result must be".to_owned()
    } else if let Err(error) = check_readable(json, PART_DEPTH) {
        format!("the client's answer cannot be used: {error}")
    } else {
        return json.into();
    };
    json!({ "error": { "code": -32000, "message": text } })
        .to_string()
        .into()
}

/// The answer that a client's task brings. One that the client said had failed brings an error, whatever it holds.
async fn of_ended(
    bridge: &Bridge,
    addressee: Addressee<'_>,
    outcome: Result<&RawValue, &RawValue>,
) -> Result<String, BridgeError> {
    let task = bridge
        .client_tasks()
        .find(addressee.question.task, addressee.question.key)
        .await?;
    let failed = task.filter(|task| task.status == ClientTaskStatus::Failed);
    let why = failed.as_ref().and_then(|task| task.message.as_deref());
    Ok(match (outcome, failed.is_some()) {
        (Ok(result), false) => object(result).into_owned(),
        (Ok(result), true) => {
            let why = why.unwrap_or(result.get());
            let text = format!("the client's task that was to bring the answer is failed: {why}");
            json!({ "error": { "code": -32000, "message": text } }).to_string()
        }
        (Err(error), _) => {
            let mut error: Value = serde_json::from_str(error.get()).unwrap_or_default();
            if let (Some(why), Some(said)) = (why, error.get_mut("message")) {
                *said = json!(format!("{} ({why})", said.as_str().unwrap_or_default()));
            }
            json!({ "error": error }).to_string()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(status: &str, id: &str, more: &str) -> String {
        format!(r#"{{"taskId":"{id}","status":"{status}"{more}}}"#)
    }

    #[test]
    fn a_clients_task_is_in_a_state_that_is_known_or_brings_no_answer() {
        let state = |status: &str, id: &str| {
            let text = described(status, id, "");
            let task: Described<'_> = serde_json::from_str(&text).unwrap();
            (task.status(), task.no_answer())
        };
        for (name, status) in [
            ("working", ClientTaskStatus::Working),
            ("input_required", ClientTaskStatus::InputRequired),
            ("completed", ClientTaskStatus::Completed),
            ("failed", ClientTaskStatus::Failed),
        ] {
            assert_eq!(state(name, "t").0, Some(status));
        }
        let (cancelled, told) = state("cancelled", "t");
        assert!(
            cancelled.is_none() && told.contains("is cancelled"),
            "{told}"
        );
        let longest = "i".repeat(LONGEST_ID);
        assert_eq!(
            state("working", &longest).0,
            Some(ClientTaskStatus::Working)
        );
        assert_eq!(state("working", &format!("{longest}i")).0, None);
    }

    #[test]
    fn a_client_is_asked_as_often_as_it_wishes_within_bounds() {
        let poll = |wish: &str| {
            let text = described("working", "t", &format!(r#","pollInterval":{wish}"#));
            let task: Described<'_> = serde_json::from_str(&text).unwrap();
            task.poll()
        };
        let [least, most] = ASK_BETWEEN;
        assert_eq!(poll("1500"), Some(Duration::from_millis(1500)));
        assert_eq!(poll("250.5"), Some(Duration::from_micros(250_500)));
        for little in ["0.5", "0", "-1", "-1e300"] {
            assert_eq!(poll(little), Some(least), "{little}");
        }
        for much in ["1e300", "1e400"] {
            assert_eq!(poll(much), Some(most), "{much}");
        }
        assert_eq!(poll("null"), None);
    }

    #[test]
    fn an_answer_that_cannot_be_read_becomes_an_error_that_says_so() {
        let taken = |json: &str| {
            let result = RawValue::from_string(json.to_owned()).unwrap();
            object(&result).into_owned()
        };
        let whole = r#"{ "action":"accept", "content":{"n":"\ud83d\ude00"} }"#;
        assert_eq!(taken(whole), whole);
        assert!(taken("[]").contains("no object"));
        let half = taken(r#"{"action":"accept","content":{"n":"\ud83d"}}"#);
        assert!(
            half.starts_with(r#"{"error""#) && half.contains("at content/n"),
            "{half}"
        );
        let deep = format!(r#"{{"content":{}{}}}"#, "[".repeat(120), "]".repeat(120));
        assert!(taken(&deep).contains("deeper than 96 levels"));
    }
}
