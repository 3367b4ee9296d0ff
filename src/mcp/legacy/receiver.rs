//! Clients that answer a question by a task of their own (2025-11-25, tasks): they are the receivers then, and this side
//! asks how the task stands, fetches its outcome and cancels it when nothing waits for it any more.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use taskferry_contract::{
    Object, Owner, PART_DEPTH, RemoteStatus, Said, SaidBy, Session, SessionId, TaskId,
    check_readable, misfit,
};

use crate::bridge::{Bridge, BridgeError};
use crate::mcp::protocol::LEGACY_WITH_TASKS;
use crate::mcp::protocol::number::Number;
use crate::mcp::protocol::outgoing::{Method, Outgoing};

/// How often a client is asked that does not say how often it wants to be.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// The longest id of a client's task, and the longest message of one that is kept, bytes.
const LONGEST_ID: usize = 1024;
const LONGEST_MESSAGE: usize = 1024;
/// A client is asked no more often than this, and no less often than that, whatever it says.
const ASK_BETWEEN: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(3600)];

/// Which of our requests a client answers by tasks, as it declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::mcp) struct Receiver {
    elicitation: bool,
    sampling: bool,
    cancel: bool,
}

impl Receiver {
    pub(super) fn of(session: &Session) -> Self {
        if session.revision != LEGACY_WITH_TASKS {
            return Self::default();
        }
        let declared: Value = serde_json::from_str(&session.capabilities).unwrap_or_default();
        let has = |path: &str| declared.pointer(path).is_some_and(Value::is_object);
        Self {
            elicitation: has("/tasks/requests/elicitation/create"),
            sampling: has("/tasks/requests/sampling/createMessage"),
            cancel: has("/tasks/cancel"),
        }
    }

    /// Whether a request of this method may become a task of the client's.
    pub(super) fn takes(self, method: &str) -> bool {
        match method {
            "elicitation/create" => self.elicitation,
            "sampling/createMessage" => self.sampling,
            _ => false,
        }
    }

    /// Whether it may have tasks at all.
    pub(super) fn is_any(self) -> bool {
        self.elicitation || self.sampling
    }

    /// Whether a task of its own can be cancelled.
    pub(super) fn cancels(self) -> bool {
        self.is_any() && self.cancel
    }
}

/// What a message to or from a client's task is about; the last parts of its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// How the task stands.
    Status(u64),
    /// Its outcome.
    Outcome,
    /// Its end.
    Cancel,
}

impl About {
    /// Reads `get/<number>`, `result/<number>` or `cancel/<number>`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (what, number) = text.split_once('/')?;
        let number = number.parse().ok()?;
        match what {
            "get" => Some(Self::Status(number)),
            "result" => Some(Self::Outcome),
            "cancel" => Some(Self::Cancel),
            _ => None,
        }
    }
}

/// A request about a client's task. Its id says where the response belongs.
pub(super) fn message(question: &str, method: Method, number: u64, task: &str) -> Outgoing {
    let what = method.name().trim_start_matches("tasks/");
    let id = format!("{question}/{what}/{number}");
    Outgoing::request(&id, method, &json!({ "taskId": task }))
}

/// A request that cancels a client's task.
pub(super) fn cancellation(id: TaskId, key: &str, task: &str) -> Outgoing {
    message(
        &format!("{id}/{key}"),
        Method::CancelTask,
        u64::from(rand::random::<u32>()),
        task,
    )
}

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

    /// Nothing if it was cancelled, is in a state that nobody knows, or has an id that is too long to be kept.
    fn status(&self) -> Option<RemoteStatus> {
        match self.status.as_ref() {
            _ if self.task_id.len() > LONGEST_ID => None,
            "working" => Some(RemoteStatus::Working),
            "input_required" => Some(RemoteStatus::InputRequired),
            "completed" => Some(RemoteStatus::Completed),
            "failed" => Some(RemoteStatus::Failed),
            _ => None,
        }
    }

    /// What stands for the answer that does not come.
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

/// Where a client's word belongs: the job, the key of its question, and the session that it came in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) task: TaskId,
    pub(super) owner: &'a Owner,
    pub(super) key: &'a str,
    pub(super) session: SessionId,
}

/// Takes a client's answer that says that it made a task. False if that is not what the answer says.
pub(super) async fn made(
    bridge: &Bridge,
    place: Place<'_>,
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
        let answer = task.no_answer();
        bridge
            .answer(place.task, place.owner, &[(place.key, &answer)])
            .await?;
        return Ok(true);
    };
    let said = Said {
        session: place.session,
        by: SaidBy::Making(&task.task_id),
        status,
        message: task.message(),
        poll: Some(task.poll().unwrap_or(ASK_EVERY)),
    };
    bridge
        .note_remote(place.task, place.owner, place.key, said)
        .await?;
    Ok(true)
}

/// Takes what a client says of its task when it was asked.
pub(super) async fn told(
    bridge: &Bridge,
    place: Place<'_>,
    about: About,
    outcome: Result<&RawValue, &RawValue>,
) -> Result<(), BridgeError> {
    let answer = match (about, outcome) {
        (About::Cancel, _) => return Ok(()),
        (About::Status(_), Err(error)) => format!("{{\"error\":{}}}", error.get()),
        (About::Outcome, outcome) => of_ended(bridge, place, outcome).await?,
        (About::Status(number), Ok(result)) => {
            match serde_json::from_str::<Object<Described<'_>>>(result.get()) {
                Ok(Object(task)) => match task.status() {
                    Some(status) => {
                        let said = Said {
                            session: place.session,
                            by: SaidBy::Poll(number),
                            status,
                            message: task.message(),
                            poll: task.poll(),
                        };
                        return bridge
                            .note_remote(place.task, place.owner, place.key, said)
                            .await;
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
    let key = (place.key, place.session);
    bridge
        .answer_by_remote(place.task, place.owner, key, &answer)
        .await
}

/// What a client answered, if it is an object, as every result is, that can be read; else an error in its place.
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
    place: Place<'_>,
    outcome: Result<&RawValue, &RawValue>,
) -> Result<String, BridgeError> {
    let remote = bridge.remote(place.task, place.key).await?;
    let failed = remote.filter(|remote| remote.status == RemoteStatus::Failed);
    let why = failed.as_ref().and_then(|remote| remote.message.as_deref());
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

    fn receiver(capabilities: &Value) -> Receiver {
        Receiver::of(&Session {
            revision: "2025-11-25".to_owned(),
            owner: Owner::anonymous(),
            capabilities: capabilities.to_string(),
            client: String::new(),
            log_level: None,
        })
    }

    #[test]
    fn only_what_is_declared_becomes_a_task_of_the_clients() {
        let none = receiver(&json!({ "elicitation": {}, "tasks": { "requests": {} } }));
        assert_eq!(none, Receiver::default());
        let both = json!({ "tasks": {
            "cancel": {}, "requests": { "elicitation": { "create": {} }, "sampling": { "createMessage": {} } },
        } });
        let both = receiver(&both);
        assert!(both.takes("elicitation/create") && both.takes("sampling/createMessage"));
        assert!(!both.takes("roots/list") && both.cancels());
        let one = json!({ "tasks": { "requests": { "sampling": { "createMessage": {} } } } });
        let one = receiver(&one);
        assert!(!one.takes("elicitation/create") && one.is_any() && !one.cancels());
    }

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
            ("working", RemoteStatus::Working),
            ("input_required", RemoteStatus::InputRequired),
            ("completed", RemoteStatus::Completed),
            ("failed", RemoteStatus::Failed),
        ] {
            assert_eq!(state(name, "t").0, Some(status));
        }
        let (cancelled, told) = state("cancelled", "t");
        assert!(
            cancelled.is_none() && told.contains("is cancelled"),
            "{told}"
        );
        let longest = "i".repeat(LONGEST_ID);
        assert_eq!(state("working", &longest).0, Some(RemoteStatus::Working));
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
        assert_eq!(poll("0.5"), Some(least));
        assert_eq!(poll("-1"), Some(least));
        assert_eq!(poll("1e300"), Some(most));
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

    #[test]
    fn the_id_of_a_message_says_what_it_is_about() {
        assert_eq!(About::read("get/3"), Some(About::Status(3)));
        assert_eq!(About::read("result/4"), Some(About::Outcome));
        assert_eq!(About::read("cancel/5"), Some(About::Cancel));
        for wrong in ["", "get", "get/", "get/x", "list/1", "get/1/2"] {
            assert_eq!(About::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_poll_interval_is_bounded_and_may_be_missing() {
        let poll = |interval: &str| {
            let text = format!(r#"{{"taskId":"t","status":"working","pollInterval":{interval}}}"#);
            serde_json::from_str::<Described<'_>>(&text).unwrap().poll()
        };
        assert_eq!(poll("null"), None);
        assert_eq!(poll("250.5"), Some(Duration::from_micros(250_500)));
        assert_eq!(poll("0"), Some(ASK_BETWEEN[0]));
        assert_eq!(poll("-1e300"), Some(ASK_BETWEEN[0]));
        assert_eq!(poll("1e300"), Some(ASK_BETWEEN[1]));
        assert_eq!(poll("1e400"), Some(ASK_BETWEEN[1]));
    }
}
