//! Questions to clients: what is asked, and over which connection it goes out.

use serde_json::Value;
use std::time::Duration;

use crate::model::client_task::ClientTask;
use crate::model::ids::SessionId;

/// A question to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Unique within the task for its whole life.
    pub key: String,
    /// The request as JSON: `method` and `params`.
    pub request: String,
    /// The client's own task that is to bring the answer, if it made one.
    pub client_task: Option<ClientTask>,
}

/// Who asked for a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requestor {
    /// The legacy session.
    pub session: SessionId,
    /// Under which token it wants progress: a JSON string or integer.
    pub progress_token: Option<String>,
}

/// A connection over which messages of ours go out.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// Its name among all replicas, without a space.
    pub carrier: &'a str,
    /// The session whose connection it is.
    pub session: SessionId,
    /// How long its right to send lasts if it does not ask again.
    pub valid: Duration,
}

/// How clients can be asked.
pub(crate) const METHODS: [&str; 3] =
    ["elicitation/create", "sampling/createMessage", "roots/list"];

/// Refuses an elicitation that would send a person anywhere but to a web page: clients open what they are given.
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
    use serde_json::json;

    use super::*;

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
