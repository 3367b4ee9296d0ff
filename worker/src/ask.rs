//! Questions to the client: elicitation, sampling, roots.

use serde_json::value::RawValue;
use serde_json::{Value, json};
use taskferry_contract::AskFirst;

/// The longest key of a question.
const LONGEST_KEY: usize = 64;

/// A request that is put to the client.
#[derive(Debug, Clone, PartialEq)]
pub struct AskRequest {
    method: String,
    params: Value,
}

impl AskRequest {
    /// Asks the person for values that fit `requested_schema`, a flat JSON Schema (MCP `elicitation/create`, form mode).
    #[must_use]
    pub fn elicitation(message: impl Into<String>, requested_schema: Value) -> Self {
        let message: String = message.into();
        Self::new(
            "elicitation/create",
            json!({ "mode": "form", "message": message, "requestedSchema": requested_schema }),
        )
    }

    /// Asks the client's model (MCP `sampling/createMessage`).
    #[must_use]
    pub fn sampling(params: Value) -> Self {
        Self::new("sampling/createMessage", params)
    }

    /// Asks for the client's roots (MCP `roots/list`).
    #[must_use]
    pub fn roots() -> Self {
        Self::new("roots/list", json!({}))
    }

    /// Any of these methods with parameters of your own.
    #[must_use]
    pub fn new(method: impl Into<String>, params: Value) -> Self {
        Self {
            method: method.into(),
            params,
        }
    }

    /// The same question as part of a tool's definition ([`ToolDefinition::ask_first`]): it is put before the job is
    /// queued, and a handler that asks under this key gets the answer at once.
    ///
    /// [`ToolDefinition::ask_first`]: taskferry_contract::ToolDefinition::ask_first
    ///
    /// # Errors
    ///
    /// If the key is not valid.
    pub fn first(self, key: &str) -> Result<AskFirst, AskError> {
        check_key(key)?;
        let params = RawValue::from_string(self.params.to_string()).map_err(AskError::Answer)?;
        Ok(AskFirst {
            key: key.to_owned(),
            method: self.method,
            params,
        })
    }

    /// As the record holds it.
    pub(crate) fn to_json(&self) -> String {
        json!({ "method": self.method, "params": self.params }).to_string()
    }

    /// Checks that the client, by its declared capabilities, can be asked this.
    pub(crate) fn check(&self, capabilities: Option<&str>) -> Result<(), AskError> {
        let capability = match self.method.as_str() {
            "elicitation/create" => "elicitation",
            "sampling/createMessage" => "sampling",
            "roots/list" => "roots",
            _ => return Err(AskError::UnknownMethod(self.method.clone())),
        };
        let declared: Option<Value> = capabilities.and_then(|json| serde_json::from_str(json).ok());
        if declared.is_some_and(|all| all.get(capability).is_some_and(Value::is_object)) {
            Ok(())
        } else {
            Err(AskError::NotDeclared { capability })
        }
    }
}

/// Checks the key of a question.
pub(crate) fn check_key(key: &str) -> Result<(), AskError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    if (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(allowed) {
        Ok(())
    } else {
        Err(AskError::Key(key.chars().take(LONGEST_KEY).collect()))
    }
}

/// Reads a stored answer. One that consists of an `error` alone is what a client says in place of a result.
pub(crate) fn read_answer(answer: &str) -> Result<Value, AskError> {
    let answer: Value = serde_json::from_str(answer).map_err(AskError::Answer)?;
    let error = answer
        .get("error")
        .filter(|_| answer.as_object().is_some_and(|all| all.len() == 1));
    match error {
        None => Ok(answer),
        Some(error) => Err(AskError::Client {
            code: error
                .get("code")
                .and_then(Value::as_i64)
                .unwrap_or_default(),
            message: error
                .get("message")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
        }),
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The client did not say that it can be asked this, so it was not asked.
    #[error("the client cannot be asked: it does not declare the capability {capability}")]
    NotDeclared {
        /// What it would have to declare.
        capability: &'static str,
    },
    /// The client answered with a JSON-RPC error.
    #[error("the client answered with an error: {message} ({code})")]
    Client {
        /// The error's code.
        code: i64,
        /// The error's message.
        message: String,
    },
    /// No client is asked by this method.
    #[error(
        "a client cannot be asked by {0}: use elicitation/create, sampling/createMessage or roots/list"
    )]
    UnknownMethod(String),
    /// The key is not valid.
    #[error("{0:?} cannot be the key of a question: write 1 to {LONGEST_KEY} of A-Z a-z 0-9 _ . -")]
    Key(String),
    /// The attempt must stop: the task was cancelled, or another attempt holds it.
    #[error("the attempt was stopped before the answer came")]
    Stopped,
    /// The answer is not JSON.
    #[error("the answer cannot be read: {0}")]
    Answer(#[source] serde_json::Error),
    /// Redis failed for good.
    #[error("the question could not be put: {0}")]
    Store(#[source] taskferry_contract::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_client_declares_is_asked() {
        let ask = AskRequest::elicitation("Go on?", json!({"type": "object"}));
        assert!(ask.check(Some(r#"{"elicitation":{}}"#)).is_ok());
        for capabilities in [
            None,
            Some("{}"),
            Some(r#"{"sampling":{}}"#),
            Some("nonsense"),
        ] {
            let refused = ask.check(capabilities).unwrap_err().to_string();
            assert!(refused.contains("elicitation"), "{refused}");
        }
        assert!(AskRequest::roots().check(Some(r#"{"roots":{}}"#)).is_ok());
        let unknown = AskRequest::new("tools/call", json!({}));
        assert!(unknown.check(Some(r#"{"tools":{}}"#)).is_err());
    }

    #[test]
    fn an_error_alone_is_no_answer() {
        assert!(read_answer(r#"{"action":"accept","error":{"code":1}}"#).is_ok());
        let refused = read_answer(r#"{"error":{"code":-32000,"message":"nobody is here"}}"#);
        assert!(
            matches!(refused, Err(AskError::Client { code: -32000, message }) if message == "nobody is here")
        );
        assert!(matches!(read_answer("nonsense"), Err(AskError::Answer(_))));
    }

    #[test]
    fn a_key_is_a_word() {
        assert!(check_key("confirm-1.a_b").is_ok());
        for key in ["", "a b", "a/b", "ä", &"x".repeat(65)] {
            assert!(check_key(key).is_err(), "{key}");
        }
    }
}
