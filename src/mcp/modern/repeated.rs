//! A modern client repeats parts of the body in headers, so that proxies can route without reading it (2026-07-28,
//! Streamable HTTP, Request Metadata). This checks that headers and body agree. A transport without headers gives
//! `repeated: None`; then only the revision is checked, if the transport states one.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use taskferry_contract::{Arguments, Mirrored, quoted};

use crate::mcp::jsonrpc::{RpcError, code};
use crate::mcp::protocol::inbound::{Facts, Stated};
use crate::mcp::protocol::refusal::Refusal;

/// The names of the headers.
const REVISION: &str = "MCP-Protocol-Version";
const METHOD: &str = "Mcp-Method";
const NAME: &str = "Mcp-Name";

/// Whether a request must have the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Required,
    /// Some clients leave it out, so its absence is accepted.
    Optional,
}

/// Refuses a request whose revision header differs from its body.
pub(super) fn expect_revision(facts: &Facts<'_>, expected: &str) -> Result<(), Refusal> {
    let presence = match facts.repeated {
        Some(_) => Presence::Required,
        None => Presence::Optional,
    };
    compare(
        REVISION,
        raw_header(REVISION, facts.revision)?,
        expected,
        presence,
    )
}

/// Refuses a request whose method header differs from its body. The header of a method is never base64-encoded; those of
/// names and parameters may be.
pub(super) fn expect_method(facts: &Facts<'_>, expected: &str) -> Result<(), Refusal> {
    let Some(repeated) = &facts.repeated else {
        return Ok(());
    };
    let method = raw_header(METHOD, repeated.method)?;
    compare(METHOD, method, expected, Presence::Required)
}

/// Refuses a request whose name header (tool name or task id) differs from its body.
pub(super) fn expect_name(
    facts: &Facts<'_>,
    expected: &str,
    presence: Presence,
) -> Result<(), Refusal> {
    let Some(repeated) = &facts.repeated else {
        return Ok(());
    };
    let name = decoded_header(NAME, repeated.name)?;
    compare(NAME, name.as_deref(), expected, presence)
}

/// Refuses a call whose parameter headers differ from the arguments in its body. `mirrored` lists which arguments have a
/// header.
pub(super) fn expect_parameters(
    facts: &Facts<'_>,
    mirrored: &[Mirrored],
    arguments: &Arguments,
) -> Result<(), Refusal> {
    let Some(repeated) = facts.repeated.as_ref().filter(|_| !mirrored.is_empty()) else {
        return Ok(());
    };
    // The schema check, which comes next, refuses arguments that are not JSON.
    let Ok(arguments) = serde_json::from_str::<&RawValue>(arguments.as_str()) else {
        return Ok(());
    };
    for parameter in mirrored {
        let name = &parameter.header;
        expect_parameter(name, repeated.parameter(name), parameter.value(arguments))?;
    }
    Ok(())
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

fn expect_parameter(name: &str, stated: Stated<'_>, argument: Option<&str>) -> Result<(), Refusal> {
    let Some(json) = argument else {
        return match decoded_header(name, stated)? {
            None => Ok(()),
            Some(_) => Err(mismatch(format!(
                "the header {name} is set, but the body has no such argument"
            ))),
        };
    };
    // The first character tells the JSON type.
    match json.chars().next() {
        Some('"') => match serde_json::from_str::<String>(json) {
            Ok(text) => expect_same_argument(name, stated, |value| value == text),
            // The schema check refuses a string that is not Unicode.
            Err(_not_unicode) => Ok(()),
        },
        Some('-' | '0'..='9') => expect_same_argument(name, stated, |value| {
            value == json || same_number(value, json)
        }),
        Some('t' | 'f') => expect_same_argument(name, stated, |value| value == json),
        // Objects and arrays have no header: the schema check refuses them where a header is declared.
        _ => Ok(()),
    }
}

/// Refuses a header that differs from its argument. The message shows neither, since arguments may be secret.
fn expect_same_argument(
    name: &str,
    stated: Stated<'_>,
    is_same: impl FnOnce(&str) -> bool,
) -> Result<(), Refusal> {
    match decoded_header(name, stated)? {
        Some(value) if is_same(&value) => Ok(()),
        Some(_) => Err(mismatch(format!(
            "the header {name} says something else than the argument that it repeats"
        ))),
        None => Err(mismatch(format!(
            "the header {name} is missing: the body has the argument that it must repeat"
        ))),
    }
}

/// The value of a header, with base64 decoded. `None` if it is absent.
fn decoded_header<'a>(name: &str, stated: Stated<'a>) -> Result<Option<Cow<'a, str>>, Refusal> {
    let Some(text) = raw_header(name, stated)? else {
        return Ok(None);
    };
    decode(text)
        .map(Some)
        .ok_or_else(|| mismatch(format!("the header {name} is not valid base64 of UTF-8")))
}

/// The value of a header as it was sent. `None` if it is absent. An error if it occurs twice or is not ASCII.
fn raw_header<'a>(name: &str, stated: Stated<'a>) -> Result<Option<&'a str>, Refusal> {
    match stated {
        Stated::Absent => Ok(None),
        Stated::Once(text) => Ok(Some(text)),
        Stated::Several(_) => Err(mismatch(format!(
            "the header {name} is there more than once"
        ))),
        Stated::Unreadable => Err(mismatch(format!(
            "the header {name} has characters outside ASCII; a name or a parameter is encoded as =?base64?…?="
        ))),
    }
}

/// Whether two texts are the same number. Whole numbers are compared by their digits: as floating-point numbers, large ones
/// would seem equal.
fn same_number(one: &str, other: &str) -> bool {
    if let (Some(one), Some(other)) = (whole_number(one), whole_number(other)) {
        return one == other;
    }
    match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => one.is_finite() && one == other,
        _ => false,
    }
}

/// The sign and the digits of a whole number, without leading zeros. `None` if it is not one.
fn whole_number(text: &str) -> Option<(bool, &str)> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let digits = digits.trim_start_matches('0');
    is_whole.then_some((text.starts_with('-') && !digits.is_empty(), digits))
}

fn mismatch(message: String) -> Refusal {
    Refusal::malformed(RpcError::new(code::HEADER_MISMATCH, message))
}

/// Decodes `=?base64?…?=`; any other text stays as it is. `None` if the base64 or its UTF-8 is broken.
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
    use crate::mcp::protocol::inbound::Repeated;

    fn with_headers(repeated: Repeated<'_>) -> Facts<'_> {
        Facts {
            repeated: Some(repeated),
            ..Facts::default()
        }
    }

    fn with_name(name: Stated<'_>) -> Facts<'_> {
        with_headers(Repeated {
            name,
            ..Repeated::default()
        })
    }

    fn with_method(method: Stated<'_>) -> Facts<'_> {
        with_headers(Repeated {
            method,
            ..Repeated::default()
        })
    }

    #[test]
    fn encoded_headers_are_compared_decoded() {
        let facts = with_name(Stated::Once("=?base64?SGVsbG8sIOS4lueVjA==?="));
        assert!(expect_name(&facts, "Hello, 世界", Presence::Required).is_ok());
        assert!(expect_name(&facts, "hello", Presence::Optional).is_err());
        let facts = with_name(Stated::Once("=?base64?%%%?="));
        assert!(expect_name(&facts, "x", Presence::Optional).is_err());
    }

    #[test]
    fn a_parameter_header_must_equal_its_argument() {
        let parameter = Mirrored {
            path: vec!["v".to_owned()],
            header: "Mcp-Param-V".to_owned(),
        };
        let fits = |header: Option<&str>, arguments: &str| {
            let repeated = Repeated {
                parameters: header
                    .map(|value| ("mcp-param-v", Stated::Once(value)))
                    .into_iter()
                    .collect(),
                ..Repeated::default()
            };
            let mirrored = std::slice::from_ref(&parameter);
            expect_parameters(&with_headers(repeated), mirrored, &arguments.into()).is_ok()
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
        let absent = with_name(Stated::Absent);
        assert!(expect_name(&absent, "echo", Presence::Required).is_err());
        assert!(expect_name(&absent, "echo", Presence::Optional).is_ok());
        assert!(expect_method(&absent, "ping").is_err());
        let once = with_name(Stated::Once("echo"));
        assert!(expect_name(&once, "echo", Presence::Required).is_ok());
        assert!(expect_method(&with_method(Stated::Once("ping")), "ping").is_ok());
        let several = with_name(Stated::Several(Some("echo")));
        assert!(expect_name(&several, "echo", Presence::Required).is_err());
        let several = with_method(Stated::Several(Some("ping")));
        assert!(expect_method(&several, "ping").is_err());
    }

    #[test]
    fn a_method_is_not_encoded() {
        let encoded = with_method(Stated::Once("=?base64?cGluZw==?="));
        assert!(expect_method(&encoded, "ping").is_err());
        let unreadable = with_method(Stated::Unreadable);
        assert!(expect_method(&unreadable, "p\u{ef}ng").is_err());
    }

    #[test]
    fn a_transport_without_headers_is_checked_for_the_revision_alone() {
        let facts = Facts::default();
        assert!(expect_revision(&facts, "2026-07-28").is_ok());
        assert!(expect_method(&facts, "ping").is_ok());
        assert!(expect_name(&facts, "echo", Presence::Required).is_ok());
        let other = Facts {
            revision: Stated::Once("2025-11-25"),
            ..facts
        };
        assert!(expect_revision(&other, "2026-07-28").is_err());
    }
}
