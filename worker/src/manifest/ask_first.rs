//! Questions that come before the job.

use taskferry_contract::AskFirst;
use toml::{Table, Value};

use super::near::hint;
use super::schema::object_json;
use super::table::TableReader;
use crate::sdk::ask::{AskRequest, WrittenQuestion};

const KEYS: [&str; 3] = ["key", "method", "params"];

/// Reads each `[[tool.ask_first]]`.
pub(super) fn read_ask_first(reader: &mut TableReader<'_, '_>) -> Vec<AskFirst> {
    let mut questions: Vec<AskFirst> = Vec::new();
    for (number, table) in reader
        .tables("ask_first")
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        let place = format!("ask_first[{number}]");
        for key in table.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            let hint = hint(key, KEYS);
            reader.problem(&format!("{place}.{key}"), format!("unknown key{hint}"));
        }
        match question(table) {
            Ok(question) if questions.iter().any(|other| other.key == question.key) => {
                let key = &question.key;
                reader.problem(
                    &format!("{place}.key"),
                    format!(
                        "an earlier question has the key {key:?} too; every key must be unique"
                    ),
                );
            }
            Ok(question) => questions.push(question),
            Err((key, problem)) => reader.problem(&format!("{place}.{key}"), problem),
        }
    }
    questions
}

/// A question, or which key is wrong and how.
fn question(table: &Table) -> Result<AskFirst, (&'static str, String)> {
    let text = |key: &'static str| match table.get(key) {
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(_) => Err((key, "must be a string".to_owned())),
        None => Err((key, "is required".to_owned())),
    };
    let (key, method) = (text("key")?, text("method")?);
    let params = match table.get("params") {
        None => String::new(),
        Some(value) => object_json(value).map_err(|problem| ("params", problem))?,
    };
    let request = AskRequest::read(WrittenQuestion {
        kind_or_method: method,
        params: &params,
    })
    .map_err(|problem| {
        let known = AskRequest::is_known(method);
        (if known { "params" } else { "method" }, problem)
    })?;
    let question = request.first(key);
    question.map_err(|error| ("key", error.to_string()))
}
