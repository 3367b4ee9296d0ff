//! Reads the answers that clients gave.

use serde_json::Value;
use serde_json::value::RawValue;
use taskferry_contract::{PART_DEPTH, RawObject, check_readable};

use super::error::AskError;

/// Reads a stored answer into a tree of values.
pub(crate) fn read_answer(answer: &str) -> Result<Value, AskError> {
    serde_json::from_str(checked_answer(answer)?).map_err(AskError::Answer)
}

/// A stored answer, as the client wrote it. One that consists of an `error` alone is what a client says in place of a
/// result.
pub(crate) fn checked_answer(answer: &str) -> Result<&str, AskError> {
    let answer: &RawValue = serde_json::from_str(answer).map_err(AskError::Answer)?;
    let answer = answer.get();
    check_readable(answer, PART_DEPTH).map_err(AskError::Unreadable)?;
    let object = RawObject::parse(answer).unwrap_or_default();
    let Some(error) = object.only("error") else {
        return Ok(answer);
    };
    let error: Value = serde_json::from_str(error).unwrap_or_default();
    Err(AskError::Client {
        code: error
            .get("code")
            .and_then(Value::as_i64)
            .unwrap_or_default(),
        message: error
            .get("message")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_alone_is_no_answer() {
        assert!(read_answer(r#"{"action":"accept","error":{"code":1}}"#).is_ok());
        let refused = read_answer(r#"{"error":{"code":-32000,"message":"nobody is here"}}"#);
        assert!(
            matches!(refused, Err(AskError::Client { code: -32000, message }) if message == "nobody is here")
        );
        assert!(matches!(read_answer("nonsense"), Err(AskError::Answer(_))));
        let half = read_answer(r#"{"content":{"a":"\ud83d"}}"#).unwrap_err();
        assert!(half.to_string().contains("at content/a"), "{half}");
    }
}
