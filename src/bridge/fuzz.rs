//! Fuzz targets of the use cases.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::bridge::canonical;
pub use crate::bridge::seal::fuzz::seal;

/// JSON, and its one spelling: it is read as the same, has no other spelling, and does not depend on how it was spelled.
///
/// # Panics
///
/// If that is not so.
pub fn canonical(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // Whoever asks for it has read the text as JSON.
    if serde_json::from_str::<&RawValue>(text).is_err() {
        return;
    }
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return;
    };
    let spelled = canonical::canonical(text);
    assert_eq!(
        serde_json::from_str::<Value>(&spelled).ok().as_ref(),
        Some(&value)
    );
    assert_eq!(canonical::canonical(&spelled), spelled);
    // Without a number, which stays as it is written, what is equal is spelled alike.
    if !has_numbers(&value) {
        for other in [
            value.to_string(),
            format!("{value:#}"),
            format!("\t{text}\r\n"),
        ] {
            assert_eq!(canonical::canonical(&other), spelled);
        }
    }
}

fn has_numbers(value: &Value) -> bool {
    match value {
        Value::Number(_) => true,
        Value::Array(items) => items.iter().any(has_numbers),
        Value::Object(members) => members.values().any(has_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}
