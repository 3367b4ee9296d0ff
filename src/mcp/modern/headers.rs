//! Headers that repeat what the body says (2026-07-28, Streamable HTTP, Request Metadata).

use std::borrow::Cow;

use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::jsonrpc::{RpcError, code};
use super::super::reply::Refusal;

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
pub(super) fn read<'a>(
    headers: &'a HeaderMap,
    name: &str,
) -> Result<Option<Cow<'a, str>>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(mismatch(format!(
            "the header {name} is there more than once"
        )));
    }
    let text = value.to_str().map_err(|_not_ascii| {
        mismatch(format!(
            "the header {name} has characters outside ASCII; encode it as =?base64?…?="
        ))
    })?;
    decode(text)
        .map(Some)
        .ok_or_else(|| mismatch(format!("the header {name} is not valid base64 of UTF-8")))
}

/// Refuses a header that differs from the body's `expected`, or is missing though required.
pub(super) fn expect(
    headers: &HeaderMap,
    name: &str,
    expected: &str,
    presence: Presence,
) -> Result<(), Refusal> {
    match read(headers, name)? {
        Some(value) if value == expected => Ok(()),
        Some(value) => Err(mismatch(format!(
            "the header {name} is {value:?}, but the body says {expected:?}"
        ))),
        None if presence == Presence::Optional => Ok(()),
        None => Err(mismatch(format!(
            "the header {name} is missing; the body says {expected:?}"
        ))),
    }
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
    fn a_required_header_must_be_there_once() {
        let mut headers = HeaderMap::new();
        assert!(expect(&headers, METHOD, "ping", Presence::Required).is_err());
        assert!(expect(&headers, METHOD, "ping", Presence::Optional).is_ok());
        headers.append(METHOD, "ping".parse().unwrap());
        assert!(expect(&headers, METHOD, "ping", Presence::Required).is_ok());
        headers.append(METHOD, "ping".parse().unwrap());
        assert!(expect(&headers, METHOD, "ping", Presence::Required).is_err());
    }
}
