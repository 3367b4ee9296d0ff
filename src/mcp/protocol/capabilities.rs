//! What a tool requires of its clients, and what a question does.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use taskferry_contract::{AskCapability, missing_capabilities};

/// The longest declaration of a client, bytes: it is kept with its session, its streams and its jobs.
const LONGEST: usize = 16 << 10;

/// Refuses a declaration that is no object, or too long to be kept.
pub(crate) fn check(declared: &RawValue) -> Result<(), String> {
    // An array would be read as the members of the object in their order.
    if !declared.get().starts_with('{') {
        return Err("must be an object".to_owned());
    }
    if declared.get().len() > LONGEST {
        return Err(format!("must be at most {LONGEST} bytes"));
    }
    Ok(())
}

/// Capabilities that came later than the oldest revision served: where they stand, and the revision that brought them.
const CAME_WITH: [(&[&str], &str); 5] = [
    (&["elicitation"], "2025-06-18"),
    (&["elicitation", "url"], "2025-11-25"),
    (&["sampling", "tools"], "2025-11-25"),
    (&["sampling", "context"], "2025-11-25"),
    (&["tasks"], "2025-11-25"),
];

/// What a client of a revision declares by `given`, a JSON object: a null is as good as absent, and so is what its revision
/// does not have. As it was given if all of it counts.
pub(crate) fn in_revision<'a>(revision: &str, given: &'a str) -> Cow<'a, str> {
    let Ok(all) = serde_json::from_str::<Map<String, Value>>(given) else {
        return Cow::Borrowed(given);
    };
    let mut counts = all.clone();
    drop_nulls(&mut counts);
    // Revisions are dates, so they compare as texts.
    let unknown = CAME_WITH.iter().filter(|(_, since)| revision < *since);
    for (path, _) in unknown {
        remove(&mut counts, path);
    }
    if counts == all {
        return Cow::Borrowed(given);
    }
    Cow::Owned(Value::Object(counts).to_string())
}

fn drop_nulls(object: &mut Map<String, Value>) {
    object.retain(|_, value| !value.is_null());
    for value in object.values_mut() {
        if let Value::Object(inner) = value {
            drop_nulls(inner);
        }
    }
}

fn remove(object: &mut Map<String, Value>, path: &[&str]) {
    match path {
        [] => {}
        [name] => {
            object.remove(*name);
        }
        [name, rest @ ..] => {
            if let Some(Value::Object(inner)) = object.get_mut(*name) {
                remove(inner, rest);
            }
        }
    }
}

/// What a client must declare to be sent a request. `None` if this method does not ask a client.
pub(crate) fn needed(method: &str, params: &RawValue) -> Option<Map<String, Value>> {
    let params: Value = serde_json::from_str(params.get()).unwrap_or_default();
    Some(AskCapability::needed(method, &params)?.as_declared())
}

/// What a client that declares `declared` lacks to be asked a question of a job, JSON of method and params. By another
/// method no client is asked.
pub(crate) fn missing_to_be_asked(question: &str, declared: &str) -> Map<String, Value> {
    #[derive(Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        method: Cow<'a, str>,
        #[serde(borrow)]
        params: &'a RawValue,
    }
    let request = serde_json::from_str::<Request<'_>>(question).ok();
    let needed = request.and_then(|request| needed(&request.method, request.params));
    missing_capabilities(&needed.unwrap_or_default(), declared)
}

/// Says what is missing.
pub(crate) fn text(tool: &str, missing: &Map<String, Value>) -> String {
    let names: Vec<&str> = missing.keys().map(String::as_str).collect();
    let (names, whole) = (names.join(", "), json!(missing));
    format!("{tool} needs client capabilities that were not declared: {names} ({whole})")
}

#[cfg(test)]
mod tests {
    use super::*;

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
                json!({ "tools": null, "toolChoice": null }),
                r#"{"sampling":{}}"#,
                json!({}),
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
    fn only_what_a_revision_has_counts_and_null_is_absent() {
        let given = r#"{"x":null,"elicitation":{"url":{},"form":null},"sampling":{"tools":{},"context":{}},"tasks":{},"roots":{}}"#;
        for (revision, counts) in [
            ("2025-03-26", r#"{"roots":{},"sampling":{}}"#),
            (
                "2025-06-18",
                r#"{"elicitation":{},"roots":{},"sampling":{}}"#,
            ),
            (
                "2025-11-25",
                r#"{"elicitation":{"url":{}},"roots":{},"sampling":{"context":{},"tools":{}},"tasks":{}}"#,
            ),
        ] {
            assert_eq!(in_revision(revision, given), counts, "{revision}");
        }
        let extension = r#"{"extensions":{"io.modelcontextprotocol/tasks":null}}"#;
        assert_eq!(in_revision("2026-07-28", extension), r#"{"extensions":{}}"#);
        let verbatim = r#"{ "sampling" : {}, "elicitation":{"form":{}} }"#;
        assert_eq!(in_revision("2025-11-25", verbatim), verbatim);
    }
}
