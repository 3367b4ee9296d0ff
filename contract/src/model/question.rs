//! Questions to clients: what is asked, and over which connection it goes out.

use serde_json::{Map, Value, json};
use std::time::Duration;

use crate::model::client_task::ClientTask;
use crate::model::ids::{SenderId, SessionId, TaskId};
use crate::model::names::Owner;

/// A question to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Unique within the task for its whole life.
    pub key: String,
    /// The request as JSON: `method` and `params`.
    pub request: String,
    /// The task by which the client answers, if the client made one (MCP 2025-11-25: a client may answer a request by a
    /// task of its own).
    pub client_task: Option<ClientTask>,
}

/// The legacy session that asked for a task, and how it wants progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requestor {
    /// The legacy session that asked for the task.
    pub session: SessionId,
    /// The progress token of its request, as JSON: a string or an integer. `None` if it wants no progress.
    pub progress_token: Option<String>,
}

/// A question that a worker puts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewQuestion<'a> {
    /// Stands for this one question for the job's whole life.
    pub key: &'a str,
    /// JSON with `method` and `params`.
    pub request: &'a str,
}

/// Which question is meant: of which task, as whose, and under which key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuestionRef<'a> {
    /// The task.
    pub task: TaskId,
    /// The owner. A call with another owner than the task's gets the answer that there is no such task.
    pub owner: &'a Owner,
    /// The key of the question, which it keeps for the job's whole life.
    pub key: &'a str,
}

/// A connection of a front end to a legacy client, over which it can send questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// Which connection it is.
    pub id: SenderId,
    /// The session whose connection it is.
    pub session: SessionId,
    /// Only one connection may send a question: the one that has the right to send it. How long this connection keeps that
    /// right without asking for it again.
    pub right_lasts: Duration,
}

/// What a client must declare to be sent one kind of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskCapability {
    /// Elicitation by a form.
    ElicitationForm,
    /// Elicitation by a web page.
    ElicitationUrl,
    /// Sampling.
    Sampling,
    /// Sampling in which the client's model is given tools.
    SamplingTools,
    /// Roots.
    Roots,
}

impl AskCapability {
    /// What a request of this method with these params needs (2025-11-25, Elicitation and Sampling, Capabilities). `None`
    /// if this method does not ask a client.
    #[must_use]
    pub fn needed(method: &str, params: &Value) -> Option<Self> {
        let has = |name| params.get(name).is_some_and(|value| !value.is_null());
        let by_url = || params.get("mode").is_some_and(|mode| mode == "url");
        Some(match method {
            "elicitation/create" if by_url() => Self::ElicitationUrl,
            "elicitation/create" => Self::ElicitationForm,
            "sampling/createMessage" if has("tools") || has("toolChoice") => Self::SamplingTools,
            "sampling/createMessage" => Self::Sampling,
            "roots/list" => Self::Roots,
            _ => return None,
        })
    }

    /// The least `capabilities` object with which a client declares this, for example `{"elicitation":{"form":{}}}`.
    #[must_use]
    pub fn as_declared(self) -> Map<String, Value> {
        let declared = match self {
            Self::ElicitationForm => json!({ "form": {} }),
            Self::ElicitationUrl => json!({ "url": {} }),
            Self::SamplingTools => json!({ "tools": {} }),
            Self::Sampling | Self::Roots => json!({}),
        };
        Map::from_iter([(self.capability().to_owned(), declared)])
    }

    /// What a client lacks to be asked this; `None` if nothing. `declared` is its `capabilities` as JSON. The answer is the
    /// capability's name (`elicitation`), or, if only a part of it is missing, the name of the part (`elicitation.url`).
    #[must_use]
    pub fn lacking_in(self, declared: &str) -> Option<&'static str> {
        let lacks = |required| !missing_capabilities(&required, declared).is_empty();
        let whole = Map::from_iter([(self.capability().to_owned(), json!({}))]);
        if lacks(whole) {
            Some(self.capability())
        } else {
            lacks(self.as_declared()).then(|| self.capability_with_part())
        }
    }

    const fn capability(self) -> &'static str {
        match self {
            Self::ElicitationForm | Self::ElicitationUrl => "elicitation",
            Self::Sampling | Self::SamplingTools => "sampling",
            Self::Roots => "roots",
        }
    }

    const fn capability_with_part(self) -> &'static str {
        match self {
            Self::ElicitationForm => "elicitation.form",
            Self::ElicitationUrl => "elicitation.url",
            Self::SamplingTools => "sampling.tools",
            Self::Sampling | Self::Roots => self.capability(),
        }
    }
}

/// The part of `required` that is not in `declared`, a client's `capabilities` as JSON.
#[must_use]
pub fn missing_capabilities(required: &Map<String, Value>, declared: &str) -> Map<String, Value> {
    if required.is_empty() {
        return Map::new();
    }
    let mut declared: Map<String, Value> = serde_json::from_str(declared).unwrap_or_default();
    // Elicitation without a mode means forms.
    if let Some(Value::Object(modes)) = declared.get_mut("elicitation")
        && ["form", "url"]
            .iter()
            .all(|mode| modes.get(*mode).is_none_or(Value::is_null))
    {
        modes.insert("form".to_owned(), json!({}));
    }
    difference(required, &declared)
}

/// What `required` has and `declared` has not, object by object. Other values must be equal.
fn difference(required: &Map<String, Value>, declared: &Map<String, Value>) -> Map<String, Value> {
    let lacks = |(name, wanted): (&String, &Value)| {
        let missing = match (wanted, declared.get(name)) {
            (Value::Object(wanted), Some(Value::Object(has))) => {
                let missing = difference(wanted, has);
                (!missing.is_empty()).then_some(Value::Object(missing))
            }
            (wanted, has) => (has != Some(wanted)).then(|| wanted.clone()),
        };
        missing.map(|missing| (name.clone(), missing))
    };
    required.iter().filter_map(lacks).collect()
}

/// The MCP methods by which a server asks a client.
pub(crate) const ASK_METHODS: [&str; 3] =
    ["elicitation/create", "sampling/createMessage", "roots/list"];

/// Refuses an elicitation in URL mode whose URL is not http or https: clients open any URL. Accepts every other request.
///
/// # Errors
///
/// What the URL must be.
pub fn check_url(method: &str, params: &Value) -> Result<(), String> {
    let by_url = params.get("mode").is_some_and(|mode| mode == "url");
    if method != "elicitation/create" || !by_url {
        return Ok(());
    }
    let url = params.get("url").and_then(Value::as_str).unwrap_or("");
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control();
    let begins = |scheme: &str| {
        let (start, rest) = url.split_at_checked(scheme.len()).unwrap_or_default();
        let host = rest.split(['/', '?', '#', '\\']).next().unwrap_or("");
        start.eq_ignore_ascii_case(scheme) && !host.is_empty()
    };
    if (begins("https://") || begins("http://")) && url.chars().all(is_plain) {
        return Ok(());
    }
    Err("url must begin with https:// or http://, name a host, and have no space in it".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(required: &Value, declared: &str) -> Value {
        Value::Object(missing_capabilities(
            required.as_object().unwrap(),
            declared,
        ))
    }

    #[test]
    fn only_missing_capabilities_are_returned() {
        let both = json!({ "sampling": {}, "elicitation": { "url": {} } });
        assert_eq!(missing(&both, "{}"), both);
        assert_eq!(
            missing(
                &both,
                r#"{"sampling":{"tools":{}},"elicitation":{"form":{}}}"#
            ),
            json!({ "elicitation": { "url": {} } })
        );
        assert_eq!(
            missing(&both, r#"{"sampling":{},"elicitation":{"url":{}}}"#),
            json!({})
        );
        let flag = json!({ "roots": { "listChanged": true } });
        assert_eq!(missing(&flag, r#"{"roots":{"listChanged":false}}"#), flag);
        assert_eq!(missing(&json!({}), "{}"), json!({}));
    }

    #[test]
    fn elicitation_without_a_mode_means_forms() {
        let forms = json!({ "elicitation": { "form": {} } });
        assert_eq!(missing(&forms, r#"{"elicitation":{}}"#), json!({}));
        assert_eq!(missing(&forms, r#"{"elicitation":{"url":{}}}"#), forms);
    }

    #[test]
    fn a_person_is_sent_to_web_pages_alone() {
        let checked =
            |url: Value| check_url("elicitation/create", &json!({ "mode": "url", "url": url }));
        for url in [
            "https://example.com/a?b#c",
            "http://localhost:8080",
            "HTTPS://é.example",
        ] {
            assert_eq!(checked(json!(url)), Ok(()), "{url}");
        }
        for url in [
            "javascript:alert(1)",
            " https://example.com",
            "https://",
            "https:///x",
            "http://?x",
            "file:///etc/passwd",
            "https://a b",
            "https://a\n",
            "data:text/html,x",
            "",
            "example.com",
        ] {
            assert!(checked(json!(url)).is_err(), "{url:?}");
        }
        assert!(checked(Value::Null).is_err());
        let form = json!({ "mode": "form", "url": "javascript:x" });
        assert_eq!(check_url("elicitation/create", &form), Ok(()));
        let other = json!({ "mode": "url" });
        assert_eq!(check_url("roots/list", &other), Ok(()));
    }
}
