//! Which era a message belongs to.

use axum::http::HeaderMap;
use serde::Deserialize;
use taskferry_contract::Object;

use super::jsonrpc::Message;
use super::protocol::LEGACY;
use super::{legacy, modern};

/// An era of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// Sessions opened by `initialize`.
    Legacy,
    /// Every request stands for itself.
    Modern,
}

/// A modern request says its revision in `_meta` or in the header; `initialize` and a session id are legacy. What says
/// nothing is legacy too, and is told to `initialize`. An `initialize` with a modern `_meta` asks the modern era for a
/// method that it does not have.
pub(crate) fn of(headers: &HeaderMap, message: &Message<'_>) -> Era {
    if let Message::Request(request) = message {
        if request
            .params
            .is_some_and(|params| names_revision(params.get()))
        {
            return Era::Modern;
        }
        if request.method == "initialize" {
            return Era::Legacy;
        }
    }
    by_headers(headers)
}

/// The era of what says nothing itself.
pub(crate) fn by_headers(headers: &HeaderMap) -> Era {
    if headers.contains_key(legacy::SESSION_HEADER) {
        return Era::Legacy;
    }
    match headers.get(modern::VERSION_HEADER) {
        Some(version) if !LEGACY.iter().any(|legacy| version == legacy) => Era::Modern,
        _ => Era::Legacy,
    }
}

fn names_revision(params: &str) -> bool {
    #[derive(Deserialize)]
    struct Params {
        #[serde(rename = "_meta")]
        _meta: Object<Meta>,
    }
    #[derive(Deserialize)]
    struct Meta {
        #[serde(rename = "io.modelcontextprotocol/protocolVersion")]
        _version: serde::de::IgnoredAny,
    }
    serde_json::from_str::<Object<Params>>(params).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::jsonrpc;

    fn era(headers: &[(&'static str, &str)], body: &str) -> Era {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        match jsonrpc::parse(body.as_bytes()).unwrap() {
            jsonrpc::Body::One(message) => of(&headers, &message),
            jsonrpc::Body::Batch(_) => by_headers(&headers),
        }
    }

    const META: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    const BARE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;

    #[test]
    fn a_request_is_served_by_the_era_it_speaks() {
        assert_eq!(era(&[], META), Era::Modern);
        assert_eq!(era(&[("mcp-session-id", "x")], META), Era::Modern);
        assert_eq!(
            era(&[("mcp-protocol-version", "2026-07-28")], BARE),
            Era::Modern
        );
        assert_eq!(
            era(&[("mcp-protocol-version", "1900-01-01")], BARE),
            Era::Modern
        );
        assert_eq!(
            era(&[("mcp-protocol-version", "2025-11-25")], BARE),
            Era::Legacy
        );
        assert_eq!(
            era(
                &[
                    ("mcp-protocol-version", "1900-01-01"),
                    ("mcp-session-id", "x")
                ],
                BARE
            ),
            Era::Legacy
        );
        assert_eq!(era(&[], BARE), Era::Legacy);
        assert_eq!(
            era(&[("mcp-protocol-version", "2026-07-28")], INITIALIZE),
            Era::Legacy
        );
        assert_eq!(era(&[], &META.replace("ping", "initialize")), Era::Modern);
        // An array is no `_meta`, whatever its first item.
        let array =
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":["2026-07-28",{}]}}"#;
        assert_eq!(era(&[], array), Era::Legacy);
    }
}
