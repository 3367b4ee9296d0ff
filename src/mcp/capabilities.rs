//! What a tool requires of its clients, and what a question does.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::object::RawObject;

/// What of `required` a client that declares `declared`, a JSON object, lacks.
pub(super) fn missing(required: &Map<String, Value>, declared: &str) -> Map<String, Value> {
    if required.is_empty() {
        return Map::new();
    }
    let mut declared: Map<String, Value> = serde_json::from_str(declared).unwrap_or_default();
    // Elicitation without a mode means forms.
    if let Some(Value::Object(modes)) = declared.get_mut("elicitation")
        && !modes.contains_key("url")
    {
        modes.entry("form").or_insert_with(|| json!({}));
    }
    lacking(required, &declared)
}

fn lacking(required: &Map<String, Value>, declared: &Map<String, Value>) -> Map<String, Value> {
    let lacks = |(name, wanted): (&String, &Value)| {
        let left = match (wanted, declared.get(name)) {
            (Value::Object(wanted), Some(Value::Object(has))) => {
                let left = lacking(wanted, has);
                (!left.is_empty()).then_some(Value::Object(left))
            }
            (wanted, has) => (has != Some(wanted)).then(|| wanted.clone()),
        };
        left.map(|left| (name.clone(), left))
    };
    required.iter().filter_map(lacks).collect()
}

/// What a client must declare to be sent a request; nothing if no client is asked by this method.
pub(super) fn needed(method: &str, params: &RawValue) -> Option<Map<String, Value>> {
    let params = RawObject::parse(params.get()).unwrap_or_default();
    let has = |name| params.get(name).is_some();
    let by_url = || {
        params
            .get("mode")
            .is_some_and(|mode| mode.get() == "\"url\"")
    };
    let needed = match method {
        "elicitation/create" if by_url() => json!({ "elicitation": { "url": {} } }),
        "elicitation/create" => json!({ "elicitation": { "form": {} } }),
        "sampling/createMessage" if has("tools") || has("toolChoice") => {
            json!({ "sampling": { "tools": {} } })
        }
        "sampling/createMessage" => json!({ "sampling": {} }),
        "roots/list" => json!({ "roots": {} }),
        _ => return None,
    };
    needed.as_object().cloned()
}

/// What a client that declares `declared` lacks to be asked a question of a job, JSON of method and params. One by another
/// method is for the client to refuse.
pub(super) fn missing_to_be_asked(question: &str, declared: &str) -> Map<String, Value> {
    #[derive(Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        method: Cow<'a, str>,
        #[serde(borrow)]
        params: &'a RawValue,
    }
    let request = serde_json::from_str::<Request<'_>>(question).ok();
    let needed = request.and_then(|request| needed(&request.method, request.params));
    missing(&needed.unwrap_or_default(), declared)
}

/// Says what is missing.
pub(super) fn text(tool: &str, missing: &Map<String, Value>) -> String {
    let names: Vec<&str> = missing.keys().map(String::as_str).collect();
    let (names, whole) = (names.join(", "), json!(missing));
    format!("{tool} needs client capabilities that were not declared: {names} ({whole})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(required: &Value, declared: &str) -> Value {
        Value::Object(missing(required.as_object().unwrap(), declared))
    }

    #[test]
    fn only_what_is_missing_is_told() {
        let both = json!({ "sampling": {}, "elicitation": { "url": {} } });
        assert_eq!(left(&both, "{}"), both);
        assert_eq!(
            left(
                &both,
                r#"{"sampling":{"tools":{}},"elicitation":{"form":{}}}"#
            ),
            json!({ "elicitation": { "url": {} } })
        );
        assert_eq!(
            left(&both, r#"{"sampling":{},"elicitation":{"url":{}}}"#),
            json!({})
        );
        let flag = json!({ "roots": { "listChanged": true } });
        assert_eq!(left(&flag, r#"{"roots":{"listChanged":false}}"#), flag);
        assert_eq!(left(&json!({}), "{}"), json!({}));
    }

    #[test]
    fn a_question_needs_what_its_params_use() {
        let left = |method: &str, params: Value, declared: &str| {
            let question = json!({ "method": method, "params": params }).to_string();
            Value::Object(missing_to_be_asked(&question, declared))
        };
        let (elicitation, sampling) = ("elicitation/create", "sampling/createMessage");
        let url = json!({ "mode": "url", "url": "https://example.com" });
        for (method, params, declared, lacks) in [
            (elicitation, json!({}), r#"{"elicitation":{}}"#, json!({})),
            (
                elicitation,
                json!({ "mode": "form" }),
                r#"{"sampling":{}}"#,
                json!({ "elicitation": { "form": {} } }),
            ),
            (
                elicitation,
                url,
                r#"{"elicitation":{}}"#,
                json!({ "elicitation": { "url": {} } }),
            ),
            (sampling, json!({}), r#"{"sampling":{}}"#, json!({})),
            (
                sampling,
                json!({ "tools": [] }),
                r#"{"sampling":{}}"#,
                json!({ "sampling": { "tools": {} } }),
            ),
            (
                sampling,
                json!({ "toolChoice": {} }),
                r#"{"sampling":{"tools":{}}}"#,
                json!({}),
            ),
            ("roots/list", json!({}), "{}", json!({ "roots": {} })),
            ("unheard/of", json!({}), "{}", json!({})),
        ] {
            assert_eq!(left(method, params, declared), lacks, "{method} {declared}");
        }
    }

    #[test]
    fn elicitation_without_a_mode_means_forms() {
        let forms = json!({ "elicitation": { "form": {} } });
        assert_eq!(left(&forms, r#"{"elicitation":{}}"#), json!({}));
        assert_eq!(left(&forms, r#"{"elicitation":{"url":{}}}"#), forms);
    }
}
