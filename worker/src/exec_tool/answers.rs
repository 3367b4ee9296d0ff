//! The answers to a command's questions, as the JSON that the command reads.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use taskferry_contract::compact;

use crate::sdk::JobContext;
use crate::sdk::ask::{AskError, checked_answer};

/// The most bytes of answers in the environment of a command. The operating system takes 128 KiB a variable, and the errors
/// that stand in place of larger answers need room too.
const LARGEST_ANSWERS: usize = 80 * 1024;

/// The answers that are stored when an attempt begins, as its command gets them in its environment.
pub(super) fn for_environment(job: &JobContext) -> String {
    let known = job.answers().borrow().clone();
    by_key(known.into_iter().collect())
}

fn by_key(answers: BTreeMap<String, String>) -> String {
    let mut size = 0;
    let entries = answers.into_iter().map(|(key, answer)| {
        let mut entry = match checked_answer(&answer) {
            Ok(result) => format!(r#"{{"result":{}}}"#, compact(result)),
            Err(error) => json!({ "error": refusal(&error) }).to_string(),
        };
        let length = key.len() + entry.len();
        if size + length > LARGEST_ANSWERS {
            let message = "the answers are too large for the environment: ask on standard input";
            let error = json!({ "reason": "too_large", "message": message });
            entry = json!({ "error": error }).to_string();
        } else {
            size += length;
        }
        format!("{}:{entry}", Value::from(key))
    });
    format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
}

/// An error as the JSON object that a command reads.
pub(super) fn refusal(error: &AskError) -> Value {
    let message = error.to_string();
    match error {
        AskError::Client { code, message } => {
            json!({ "reason": "client", "code": code, "message": message })
        }
        AskError::NotDeclared { .. } => json!({ "reason": "not_declared", "message": message }),
        AskError::Key(_) | AskError::Url(_) | AskError::UnknownMethod(_) => invalid(&message),
        AskError::Stopped | AskError::Answer(_) | AskError::Unreadable(_) | AskError::Store(_) => {
            json!({ "reason": "failed", "message": message })
        }
    }
}

pub(super) fn invalid(message: &str) -> Value {
    json!({ "reason": "invalid", "message": message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_the_environment_cannot_hold_are_told_from_those_that_it_can() {
        let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(50 << 10));
        let error = format!(r#"{{"error":{{"code":1,"message":"{large}"}}}}"#);
        let error = error.replace(&large, &"y".repeat(50 << 10));
        let answers = [("a", large.as_str()), ("b", &error), ("c", "{}")];
        let answers = answers.map(|(key, answer)| (key.to_owned(), answer.to_owned()));
        let told = by_key(answers.into_iter().collect());
        assert!(told.len() < LARGEST_ANSWERS);
        let told: Value = serde_json::from_str(&told).unwrap();
        assert!(told["a"]["result"]["text"].is_string());
        assert_eq!(told["b"]["error"]["reason"], "too_large");
        assert_eq!(told["c"], json!({ "result": {} }));
    }

    #[test]
    fn an_answer_stands_in_the_environment_as_the_client_wrote_it() {
        let answer = "{ \"z\": 123456789012345678901,\r\n\"a\": 1.50 }";
        let told = by_key(BTreeMap::from([("k".to_owned(), answer.to_owned())]));
        assert_eq!(
            told,
            r#"{"k":{"result":{"z":123456789012345678901,"a":1.50}}}"#
        );
    }

    #[test]
    fn a_command_is_told_why_it_has_no_answer() {
        let not_declared = AskError::NotDeclared {
            capability: "roots",
        };
        let client = AskError::Client {
            code: -1,
            message: "no".to_owned(),
        };
        for (error, reason) in [
            (not_declared, "not_declared"),
            (client, "client"),
            (AskError::Key(String::new()), "invalid"),
            (AskError::Url(String::new()), "invalid"),
            (AskError::Stopped, "failed"),
        ] {
            let told = refusal(&error);
            assert_eq!(told["reason"], reason);
            assert!(told["message"].is_string());
        }
    }
}
