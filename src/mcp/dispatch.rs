//! Which era a message belongs to.

use serde::Deserialize;
use taskferry_contract::Object;

use crate::mcp::jsonrpc::Message;
use crate::mcp::protocol::LEGACY;
use crate::mcp::protocol::era::Era;
use crate::mcp::protocol::inbound::{Facts, Stated};

/// A modern request says its revision in `_meta` or outside of the body; `initialize` and a session id are legacy. A
/// request that says neither is legacy too, and is refused with the advice to `initialize`. An `initialize` with a modern
/// `_meta` asks the modern era for a method that it does not have.
pub(super) fn era_of(facts: &Facts<'_>, message: &Message<'_>) -> Era {
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
    era_by(facts)
}

/// The era of a message that does not say its era itself.
pub(super) fn era_by(facts: &Facts<'_>) -> Era {
    if facts.session != Stated::Absent || facts.revision == Stated::Absent {
        return Era::Legacy;
    }
    let revision = facts.revision.first();
    if revision.is_some_and(|revision| LEGACY.contains(&revision)) {
        return Era::Legacy;
    }
    Era::Modern
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

    /// The era of a body, with the revision and the session that a client states beside it; an empty one counts as absent.
    fn era(revision: &str, session: &str, body: &str) -> Era {
        let facts = Facts {
            revision: Stated::of((!revision.is_empty()).then_some(Some(revision))),
            session: Stated::of((!session.is_empty()).then_some(Some(session))),
            ..Facts::default()
        };
        match jsonrpc::parse(body.as_bytes()).unwrap() {
            jsonrpc::Body::One(message) => era_of(&facts, &message),
            jsonrpc::Body::Batch(_) => era_by(&facts),
        }
    }

    const META: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    const BARE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;

    #[test]
    fn a_request_is_served_by_the_era_it_speaks() {
        assert_eq!(era("", "", META), Era::Modern);
        assert_eq!(era("", "x", META), Era::Modern);
        assert_eq!(era("2026-07-28", "", BARE), Era::Modern);
        assert_eq!(era("1900-01-01", "", BARE), Era::Modern);
        assert_eq!(era("2025-11-25", "", BARE), Era::Legacy);
        assert_eq!(era("1900-01-01", "x", BARE), Era::Legacy);
        assert_eq!(era("", "", BARE), Era::Legacy);
        assert_eq!(era("2026-07-28", "", INITIALIZE), Era::Legacy);
        assert_eq!(
            era("", "", &META.replace("ping", "initialize")),
            Era::Modern
        );
        // An array is no `_meta`, whatever its first item.
        let array =
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":["2026-07-28",{}]}}"#;
        assert_eq!(era("", "", array), Era::Legacy);
    }

    #[test]
    fn of_several_revisions_the_first_counts() {
        let era = |said: [Option<&str>; 2]| {
            era_by(&Facts {
                revision: Stated::of(said),
                ..Facts::default()
            })
        };
        assert_eq!(era([Some("2025-11-25"), Some("2026-07-28")]), Era::Legacy);
        assert_eq!(era([Some("2026-07-28"), Some("2025-11-25")]), Era::Modern);
        assert_eq!(era([None, Some("2025-11-25")]), Era::Modern);
    }
}
