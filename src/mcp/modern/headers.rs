//! Headers that repeat what the body says (2026-07-28, Streamable HTTP, Request Metadata).

use std::borrow::Cow;

use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use taskferry_contract::{Mirrored, quoted};

use crate::mcp::jsonrpc::{RpcError, code};
use crate::mcp::protocol::reply::Refusal;

/// Repeats `method`.
pub(super) const METHOD: &str = "Mcp-Method";
/// Repeats the name of the tool, or the id of the task.
pub(super) const NAME: &str = "Mcp-Name";

/// Whether a header must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Required,
    /// Clients exist that leave it out.
    Optional,
}

/// A header's value, decoded; nothing if it is not there.
fn read<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
    let Some(text) = read_plain(headers, name)? else {
        return Ok(None);
    };
    decode(text)
        .map(Some)
        .ok_or_else(|| mismatch(format!("the header {name} is not valid base64 of UTF-8")))
}

/// A header's value as it is; nothing if it is not there.
fn read_plain<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(mismatch(format!(
            "the header {name} is there more than once"
        )));
    }
    value.to_str().map(Some).map_err(|_not_ascii| {
        mismatch(format!(
            "the header {name} has characters outside ASCII; a name or a parameter is encoded as =?base64?…?="
        ))
    })
}

/// Refuses a header that differs from the body's `expected`, or is missing. It is never encoded: only names and
/// parameters are.
pub(super) fn expect_plain(headers: &HeaderMap, name: &str, expected: &str) -> Result<(), Refusal> {
    compare(
        name,
        read_plain(headers, name)?,
        expected,
        Presence::Required,
    )
}

/// Refuses a header that, decoded, differs from the body's `expected`, or is missing though required.
pub(super) fn expect(
    headers: &HeaderMap,
    name: &str,
    expected: &str,
    presence: Presence,
) -> Result<(), Refusal> {
    compare(name, read(headers, name)?.as_deref(), expected, presence)
}

fn compare(
    name: &str,
    value: Option<&str>,
    expected: &str,
    presence: Presence,
) -> Result<(), Refusal> {
    match value {
        Some(value) if value == expected => Ok(()),
        Some(value) => Err(mismatch(format!(
            "the header {name} is {}, but the body says {}",
            quoted(value),
            quoted(expected)
        ))),
        None if presence == Presence::Optional => Ok(()),
        None => Err(mismatch(format!(
            "the header {name} is missing; the body says {}",
            quoted(expected)
        ))),
    }
}

/// Refuses headers that do not repeat the arguments' mirrored parameters.
pub(super) fn expect_mirrored(
    headers: &HeaderMap,
    mirrored: &[Mirrored],
    arguments: &str,
) -> Result<(), Refusal> {
    if mirrored.is_empty() {
        return Ok(());
    }
    // What is not JSON is told by the check against the schema.
    let Ok(arguments) = serde_json::from_str::<&RawValue>(arguments) else {
        return Ok(());
    };
    for parameter in mirrored {
        expect_parameter(headers, &parameter.header, parameter.value(arguments))?;
    }
    Ok(())
}

fn expect_parameter(
    headers: &HeaderMap,
    name: &str,
    argument: Option<&str>,
) -> Result<(), Refusal> {
    let Some(json) = argument else {
        return match read(headers, name)? {
            None => Ok(()),
            Some(_) => Err(mismatch(format!(
                "the header {name} repeats an argument that is not there"
            ))),
        };
    };
    match json.chars().next() {
        Some('"') => match serde_json::from_str::<String>(json) {
            Ok(text) => repeats(headers, name, |value| value == text),
            // The check against the schema tells of it.
            Err(_not_unicode) => Ok(()),
        },
        Some('-' | '0'..='9') => repeats(headers, name, |value| {
            value == json || same_number(value, json)
        }),
        Some('t' | 'f') => repeats(headers, name, |value| value == json),
        // The check against the schema refuses it: only plain values are mirrored.
        _ => Ok(()),
    }
}

/// Refuses a header that does not repeat its argument, without saying what either is.
fn repeats(
    headers: &HeaderMap,
    name: &str,
    is_same: impl FnOnce(&str) -> bool,
) -> Result<(), Refusal> {
    match read(headers, name)? {
        Some(value) if is_same(&value) => Ok(()),
        Some(_) => Err(mismatch(format!(
            "the header {name} says something else than the argument that it repeats"
        ))),
        None => Err(mismatch(format!(
            "the header {name} is missing, which repeats an argument"
        ))),
    }
}

/// Whether two texts are the same number: digit by digit if both are written as whole numbers.
fn same_number(one: &str, other: &str) -> bool {
    if let (Some(one), Some(other)) = (whole_number(one), whole_number(other)) {
        return one == other;
    }
    match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => one.is_finite() && one == other,
        _ => false,
    }
}

/// Whether a whole number is negative, and its digits.
fn whole_number(text: &str) -> Option<(bool, &str)> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let digits = digits.trim_start_matches('0');
    is_whole.then_some((text.starts_with('-') && !digits.is_empty(), digits))
}

pub(super) fn mismatch(message: String) -> Refusal {
    Refusal::new(
        StatusCode::BAD_REQUEST,
        RpcError::new(code::HEADER_MISMATCH, message),
    )
}

/// Undoes the base64 sentinel.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    match text
        .strip_prefix("=?base64?")
        .and_then(|text| text.strip_suffix("?="))
    {
        None => Some(Cow::Borrowed(text)),
        Some(encoded) => {
            let bytes = STANDARD.decode(encoded).ok()?;
            String::from_utf8(bytes).ok().map(Cow::Owned)
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn encoded_values_are_compared_decoded() {
        let mut headers = HeaderMap::new();
        headers.insert(NAME, "=?base64?SGVsbG8sIOS4lueVjA==?=".parse().unwrap());
        assert!(expect(&headers, NAME, "Hello, 世界", Presence::Required).is_ok());
        assert!(expect(&headers, NAME, "hello", Presence::Optional).is_err());
        headers.insert(NAME, "=?base64?%%%?=".parse().unwrap());
        assert!(expect(&headers, NAME, "x", Presence::Optional).is_err());
    }

    #[test]
    fn mirrored_parameters_are_repeated_and_nothing_else_is() {
        let parameter = Mirrored {
            path: vec!["v".to_owned()],
            header: "Mcp-Param-V".to_owned(),
        };
        let fits = |header: Option<&str>, arguments: &str| {
            let mut headers = HeaderMap::new();
            if let Some(value) = header {
                headers.insert("mcp-param-v", value.parse().unwrap());
            }
            expect_mirrored(&headers, std::slice::from_ref(&parameter), arguments).is_ok()
        };
        for (header, arguments) in [
            (Some("a"), r#"{"v":"a"}"#),
            (Some("=?base64?5LiW?="), r#"{"v":"世"}"#),
            (Some("SGVsbG8="), r#"{"v":"SGVsbG8="}"#),
            (Some("=?base64?SGVsbG8="), r#"{"v":"=?base64?SGVsbG8="}"#),
            (Some(""), r#"{"v":""}"#),
            (Some("42.0"), r#"{"v":42}"#),
            (Some("0"), r#"{"v":-0}"#),
            (
                Some("123456789012345678901"),
                r#"{"v":123456789012345678901}"#,
            ),
            (Some("100"), r#"{"v":1e2}"#),
            (Some("true"), r#"{"v":true}"#),
            (None, r#"{"v":null}"#),
            (None, "{}"),
            (None, "[]"),
        ] {
            assert!(fits(header, arguments), "{header:?} {arguments}");
        }
        for (header, arguments) in [
            (None, r#"{"v":"a"}"#),
            (None, r#"{"v":7}"#),
            (Some("A"), r#"{"v":"a"}"#),
            (Some("=?base64?SGVsbG8?="), r#"{"v":"Hello"}"#),
            (Some("=?base64?SGVs!!!bG8=?="), r#"{"v":"Hello"}"#),
            (Some("43"), r#"{"v":42}"#),
            (Some("9007199254740993"), r#"{"v":9007199254740992}"#),
            (
                Some("123456789012345678902"),
                r#"{"v":123456789012345678901}"#,
            ),
            (Some("-42"), r#"{"v":42}"#),
            (Some("inf"), r#"{"v":42}"#),
            (Some("True"), r#"{"v":true}"#),
            (Some("a"), r#"{"v":null}"#),
            (Some(""), "{}"),
        ] {
            assert!(!fits(header, arguments), "{header:?} {arguments}");
        }
    }

    #[test]
    fn a_required_header_must_be_there_once() {
        let mut headers = HeaderMap::new();
        assert!(expect(&headers, NAME, "echo", Presence::Required).is_err());
        assert!(expect(&headers, NAME, "echo", Presence::Optional).is_ok());
        assert!(expect_plain(&headers, METHOD, "ping").is_err());
        for (name, value) in [(NAME, "echo"), (METHOD, "ping")] {
            headers.append(name, value.parse().unwrap());
        }
        assert!(expect(&headers, NAME, "echo", Presence::Required).is_ok());
        assert!(expect_plain(&headers, METHOD, "ping").is_ok());
        for (name, value) in [(NAME, "echo"), (METHOD, "ping")] {
            headers.append(name, value.parse().unwrap());
        }
        assert!(expect(&headers, NAME, "echo", Presence::Required).is_err());
        assert!(expect_plain(&headers, METHOD, "ping").is_err());
    }

    #[test]
    fn a_method_is_not_encoded() {
        let mut headers = HeaderMap::new();
        headers.insert(METHOD, "=?base64?cGluZw==?=".parse().unwrap());
        assert!(expect_plain(&headers, METHOD, "ping").is_err());
        headers.insert(METHOD, HeaderValue::from_bytes(b"p\xefng").unwrap());
        assert!(expect_plain(&headers, METHOD, "p\u{ef}ng").is_err());
    }
}
