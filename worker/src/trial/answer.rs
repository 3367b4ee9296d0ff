//! Answers to a tool's questions, as whoever tries the tool writes them.

use serde_json::value::RawValue;
use serde_json::{Value, json};
use taskferry_contract::{PART_DEPTH, check_readable, unique_names};

/// How an answer is written, for whoever has to write one.
pub(crate) const FORMS: &str = "accept, accept {…} with the content of a form, decline, cancel, or the response's result as a JSON object";

/// Reads an answer: a word, with the content of a form if it accepts one, or the JSON of the response's `result`. An object
/// that has an `error` alone is the client's error. Gives the JSON as it is stored.
///
/// # Errors
///
/// What is wrong, and what would be right.
pub(crate) fn read(text: &str) -> Result<String, String> {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    match (word, rest.trim()) {
        ("accept", "") => Ok(r#"{"action":"accept","content":{}}"#.to_owned()),
        ("accept", content) => {
            let content = object(content)?;
            Ok(format!(r#"{{"action":"accept","content":{content}}}"#))
        }
        ("decline" | "cancel", "") => Ok(json!({ "action": word }).to_string()),
        _ if text.starts_with('{') => object(text).map(str::to_owned),
        _ => Err(format!("it is none of these: {FORMS}")),
    }
}

/// The answer that is stored if nobody answers.
pub(crate) fn nobody(key: &str) -> String {
    let message =
        format!("nobody answered: there is no --answer {key}=…, and no line of standard input");
    json!({ "error": { "code": -1, "message": message } }).to_string()
}

/// Checks what a front end would take from a client.
fn object(json: &str) -> Result<&str, String> {
    check_readable(json, PART_DEPTH).map_err(|error| error.to_string())?;
    let value: Box<RawValue> =
        serde_json::from_str(json).map_err(|error| format!("it is not valid JSON: {error}"))?;
    unique_names(json).map_err(|duplicate| duplicate.to_string())?;
    let is_object = serde_json::from_str(value.get()).is_ok_and(|value: Value| value.is_object());
    if is_object {
        Ok(json)
    } else {
        Err("it must be a JSON object".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_objects_are_answers() {
        for (text, stored) in [
            ("accept", r#"{"action":"accept","content":{}}"#),
            (
                " accept  {\"n\": 1.50} \n",
                r#"{"action":"accept","content":{"n": 1.50}}"#,
            ),
            ("decline", r#"{"action":"decline"}"#),
            ("cancel\r\n", r#"{"action":"cancel"}"#),
            (r#"{"roots":[]}"#, r#"{"roots":[]}"#),
        ] {
            assert_eq!(read(text).as_deref(), Ok(stored), "{text:?}");
        }
    }

    #[test]
    fn anything_else_is_told_what_would_be_right() {
        for (text, told) in [
            ("", "none of these: accept"),
            ("yes", "none of these: accept"),
            ("decline {}", "none of these: accept"),
            ("accept yes", "not valid JSON"),
            ("accept [1]", "must be a JSON object"),
            ("{", "not valid JSON"),
            (r#"{"a":1,"a":2}"#, "twice"),
            (r#"{"a":"\ud83d"}"#, "half of a surrogate pair"),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.contains(told), "{text:?}: {refused}");
        }
    }
}
