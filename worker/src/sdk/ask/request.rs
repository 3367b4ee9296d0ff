//! A question to the client: elicitation, sampling, roots.

use serde_json::value::RawValue;
use serde_json::{Value, json};
use taskferry_contract::{
    AskCapability, AskFirst, PART_DEPTH, check_readable, check_url, unique_names,
};

use super::error::AskError;
use super::key::check_key;
use super::params::{check_params, method_of};

/// A question as people write it in a manifest or on an `::ask` line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WrittenQuestion<'a> {
    /// `elicitation`, `sampling` or `roots`, or the method's whole name.
    pub(crate) kind_or_method: &'a str,
    /// The params as JSON, kept byte for byte, but for line ends, which become spaces; empty for an empty object.
    pub(crate) params: &'a str,
}

/// A question to the client: an MCP method and its params.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskRequest {
    method: String,
    /// A JSON object, as it goes to the client.
    params: String,
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

    /// A request by any method that asks a client: `elicitation/create`, `sampling/createMessage` or `roots/list`.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers build the value only for this call"
    )]
    pub fn new(method: impl Into<String>, params: Value) -> Self {
        Self {
            method: method.into(),
            params: params.to_string(),
        }
    }

    /// Whether a word names a method, as people write it in a manifest or on an `::ask` line.
    pub(crate) fn is_known(kind_or_method: &str) -> bool {
        method_of(kind_or_method).is_some()
    }

    /// Reads a question as people write it.
    pub(crate) fn read(
        WrittenQuestion {
            kind_or_method,
            params,
        }: WrittenQuestion<'_>,
    ) -> Result<Self, String> {
        let method = method_of(kind_or_method).ok_or_else(|| {
            format!("{kind_or_method:?} is not a question: write elicitation, sampling or roots")
        })?;
        let params = if params.is_empty() { "{}" } else { params };
        check_readable(params, PART_DEPTH)
            .map_err(|error| format!("the params cannot be read by every client: {error}"))?;
        let value: Value = serde_json::from_str(params)
            .map_err(|error| format!("the params are not valid JSON: {error}"))?;
        unique_names(params).map_err(|duplicate| format!("in the params {duplicate}"))?;
        check_params(method, &value)?;
        Ok(Self {
            method: method.to_owned(),
            // The request must be one line. Replacing line ends is safe: valid JSON has them only between values.
            params: params.replace(['\n', '\r'], " "),
        })
    }

    /// This question as part of a tool's definition ([`ToolDefinition::ask_first`]). The front end asks it before it queues
    /// the job. A handler that asks under this key gets the answer at once.
    ///
    /// [`ToolDefinition::ask_first`]: taskferry_contract::ToolDefinition::ask_first
    ///
    /// # Errors
    ///
    /// If the key is not valid.
    pub fn first(self, key: &str) -> Result<AskFirst, AskError> {
        check_key(key)?;
        // Cannot fail: params are always JSON.
        let params = RawValue::from_string(self.params).map_err(AskError::Answer)?;
        Ok(AskFirst {
            key: key.to_owned(),
            method: self.method,
            params,
        })
    }

    /// The request as the job's record holds it: an object of method and params.
    pub(crate) fn to_json(&self) -> String {
        let method = Value::from(self.method.as_str());
        format!(r#"{{"method":{method},"params":{}}}"#, self.params)
    }

    /// Checks that the question can be sent: it is JSON that every client can read, a URL in it is a web page, and the
    /// client has declared the capability for it.
    pub(crate) fn check(&self, capabilities: Option<&str>) -> Result<(), AskError> {
        check_readable(&self.params, PART_DEPTH).map_err(AskError::Unreadable)?;
        let params: Value = serde_json::from_str(&self.params).unwrap_or_default();
        let Some(needed) = AskCapability::needed(&self.method, &params) else {
            return Err(AskError::UnknownMethod(self.method.clone()));
        };
        check_url(&self.method, &params).map_err(AskError::Url)?;
        match needed.lacking_in(capabilities.unwrap_or_default()) {
            Some(capability) => Err(AskError::NotDeclared { capability }),
            None => Ok(()),
        }
    }
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
    fn a_question_that_nobody_could_read_is_not_put() {
        let nested = (0..120).fold(json!({}), |inner, _| json!({ "a": inner }));
        let ask = AskRequest::elicitation("Go on?", nested);
        let refused = ask.check(Some(r#"{"elicitation":{}}"#)).unwrap_err();
        assert!(
            refused.to_string().contains("deeper than 96 levels"),
            "{refused}"
        );
    }

    #[test]
    fn a_mode_of_elicitation_must_be_declared_too() {
        let form = AskRequest::elicitation("Go on?", json!({"type": "object"}));
        let url = json!({"mode": "url", "message": "Sign in", "url": "https://example.com"});
        let url = AskRequest::new("elicitation/create", url);
        for (capabilities, by_form, by_url) in [
            (r#"{"elicitation":{}}"#, true, false),
            (r#"{"elicitation":{"form":{}}}"#, true, false),
            (r#"{"elicitation":{"url":{}}}"#, false, true),
            (r#"{"elicitation":{"form":{},"url":{}}}"#, true, true),
        ] {
            let declared = Some(capabilities);
            assert_eq!(form.check(declared).is_ok(), by_form, "{capabilities}");
            assert_eq!(url.check(declared).is_ok(), by_url, "{capabilities}");
        }
    }

    #[test]
    fn nobody_is_asked_to_open_what_is_no_web_page() {
        let all = Some(r#"{"elicitation":{"form":{},"url":{}}}"#);
        for url in [
            json!("javascript:alert(1)"),
            json!("file:///etc/passwd"),
            json!(7),
        ] {
            let params = json!({"mode": "url", "message": "Sign in", "url": url});
            let refused = AskRequest::new("elicitation/create", params).check(all);
            assert!(matches!(refused, Err(AskError::Url(_))), "{refused:?}");
        }
    }

    #[test]
    fn a_model_is_given_tools_only_if_its_client_takes_them() {
        let without = AskRequest::sampling(json!({"messages": [], "maxTokens": 1}));
        let tools = AskRequest::sampling(json!({"messages": [], "maxTokens": 1, "tools": []}));
        let choice = json!({"messages": [], "maxTokens": 1, "toolChoice": {"mode": "none"}});
        let choice = AskRequest::sampling(choice);
        let (plain, all) = (r#"{"sampling":{}}"#, r#"{"sampling":{"tools":{}}}"#);
        assert!(without.check(Some(plain)).is_ok());
        for ask in [tools, choice] {
            assert!(ask.check(Some(all)).is_ok());
            let refused = ask.check(Some(plain)).unwrap_err().to_string();
            assert!(refused.contains("sampling.tools"), "{refused}");
        }
    }

    #[test]
    fn a_question_is_read_as_people_write_it_and_keeps_its_bytes() {
        let read = |kind_or_method, params| {
            AskRequest::read(WrittenQuestion {
                kind_or_method,
                params,
            })
        };
        let params = r#"{ "requestedSchema": {"type":"object"}, "message":"Go on?" }"#;
        for what in ["elicitation", "elicitation/create"] {
            let ask = read(what, params).unwrap();
            let expected = format!(r#"{{"method":"elicitation/create","params":{params}}}"#);
            assert_eq!(ask.to_json(), expected);
        }
        assert_eq!(read("roots", "").unwrap(), AskRequest::roots());
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(110), "]".repeat(110));
        for (what, params, wrong) in [
            ("elicit", "{}", "is not a question: write"),
            ("elicitation", "{", "not valid JSON"),
            ("elicitation", "[]", "must be a JSON object"),
            ("elicitation", "{}", "message is missing"),
            (
                "elicitation",
                r#"{"message":1}"#,
                "message must be a string",
            ),
            (
                "elicitation",
                r#"{"message":""}"#,
                "requestedSchema is missing",
            ),
            (
                "elicitation",
                r#"{"message":"","mode":"url"}"#,
                "url is missing",
            ),
            (
                "elicitation",
                r#"{"message":"","mode":"url","url":"javascript:alert(1)"}"#,
                "url must begin with https:// or http://",
            ),
            (
                "elicitation",
                r#"{"message":"a","message":"b","requestedSchema":{"type":"object"}}"#,
                "in the params the object has the name \"message\" twice",
            ),
            ("elicitation", r#"{"message":"","mode":1}"#, "mode must be"),
            ("sampling", "", "messages is missing"),
            ("sampling", r#"{"messages":[]}"#, "maxTokens is missing"),
            ("roots", r#"{"a":"\ud83d"}"#, "half of a surrogate pair"),
            ("roots", &deep, "nest deeper than 96 levels"),
        ] {
            let refused = read(what, params).unwrap_err();
            assert!(refused.contains(wrong), "{refused}");
        }
    }
}
