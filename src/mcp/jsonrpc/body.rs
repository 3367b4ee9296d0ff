//! Bodies: one message, or a batch of them.

use serde_json::value::RawValue;
use taskferry_contract::{MAX_DEPTH, unique_names};

use crate::mcp::jsonrpc::error::{RpcError, code};
use crate::mcp::jsonrpc::message::{Malformed, Message, read_message};

/// A body, by its first character.
#[derive(Debug)]
pub(crate) enum Body<'a> {
    /// One message.
    One(Message<'a>),
    /// An array, yet to be [read](super::read_batch).
    Batch(&'a str),
}

impl<'a> Body<'a> {
    /// The id of the one request or response.
    pub(crate) fn id(&self) -> Option<&'a RawValue> {
        match self {
            Self::One(message) => message.id(),
            Self::Batch(_) => None,
        }
    }
}

/// Reads a body.
pub(crate) fn parse(body: &[u8]) -> Result<Body<'_>, Malformed<'_>> {
    let refuse = |error| Malformed { id: None, error };
    let Ok(text) = std::str::from_utf8(body) else {
        return Err(refuse(RpcError::new(
            code::PARSE_ERROR,
            "the body is not UTF-8",
        )));
    };
    let first = text.trim_start().chars().next();
    match first {
        Some('{' | '[') => {}
        _ => {
            let message = "the body must be one JSON-RPC message, a JSON object";
            return Err(refuse(RpcError::new(code::PARSE_ERROR, message)));
        }
    }
    if is_too_deep(text) {
        let message = format!(
            "the body nests arrays and objects deeper than the {MAX_DEPTH} levels this server takes"
        );
        return Err(refuse(RpcError::invalid_request(message)));
    }
    if first == Some('[') {
        return Ok(Body::Batch(text));
    }
    read_message(text).map(Body::One)
}

/// Refuses a body in which an object, however deep, has a name twice: what is checked, compared and signed here would not
/// be what a tool or a proxy reads, if it takes the other of the two.
pub(crate) fn refuse_duplicates(body: &[u8]) -> Result<(), RpcError> {
    let text = std::str::from_utf8(body).unwrap_or_default();
    unique_names(text).map_err(|duplicate| RpcError::invalid_request(duplicate.to_string()))
}

/// Whether arrays and objects nest deeper than [`MAX_DEPTH`]. Text that is no JSON may pass: the next reader refuses it.
fn is_too_deep(text: &str) -> bool {
    let mut depth = 0_usize;
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> RpcError {
        parse(body.as_bytes()).expect_err(body).error
    }

    #[test]
    fn only_so_many_levels_are_read() {
        let nested = |levels: usize| {
            let (open, close) = ("[".repeat(levels), "]".repeat(levels));
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"[[\\\"[[":"{{{{","a":{open}{close}}}}}"#
            )
        };
        // The message and its params are two levels.
        assert!(parse(nested(MAX_DEPTH - 2).as_bytes()).is_ok());
        for levels in [MAX_DEPTH - 1, 200, 10_000, 1_000_000] {
            let error = refused(&nested(levels));
            assert_eq!(error.code, code::INVALID_REQUEST, "{levels}");
            assert!(error.message.contains("100 levels"), "{}", error.message);
        }
        let wide = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"a":[{}0]}}}}"#,
            "[[]],".repeat(10_000)
        );
        assert!(parse(wide.as_bytes()).is_ok());
    }

    #[test]
    fn a_name_that_is_there_twice_is_refused_with_its_place() {
        let body =
            br#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"arguments":{"s":"; rm","s":1}}}"#;
        let error = refuse_duplicates(body).unwrap_err();
        assert_eq!(error.code, code::INVALID_REQUEST);
        assert_eq!(
            error.message,
            "the object at /params/arguments has the name \"s\" twice"
        );
        assert!(refuse_duplicates(br#"{"a":{"b":1},"b":1}"#).is_ok());
    }

    #[test]
    fn a_body_is_text_that_holds_a_message() {
        for body in ["", "\"x\"", "{"] {
            assert_eq!(refused(body).code, code::PARSE_ERROR, "{body}");
        }
        assert!(parse(b"{\"\xff\":1}").is_err_and(|refused| refused.id.is_none()));
        assert!(matches!(parse(b" [] "), Ok(Body::Batch(_))));
    }
}
