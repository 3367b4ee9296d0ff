//! The headers of MCP (2025-11-25 and 2026-07-28, Streamable HTTP).

use axum::http::{HeaderMap, header};

use crate::mcp::{Facts, Repeated, Stated};

const REVISION: &str = "mcp-protocol-version";
const SESSION: &str = "mcp-session-id";
const LAST_EVENT: &str = "last-event-id";
const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";
/// The prefix of headers that repeat an argument.
const PARAMETER: &str = "mcp-param-";

/// What a client states in these headers.
pub(super) fn read(headers: &HeaderMap) -> Facts<'_> {
    let stated = |name: &str| {
        let values = headers.get_all(name).iter();
        Stated::of(values.map(|value| value.to_str().ok()))
    };
    let parameters = headers.keys().map(|name| name.as_str());
    let parameters = parameters.filter(|name| name.starts_with(PARAMETER));
    Facts {
        revision: stated(REVISION),
        session: stated(SESSION),
        last_event: stated(LAST_EVENT),
        repeated: Some(Repeated {
            method: stated(METHOD),
            name: stated(NAME),
            parameters: parameters.map(|name| (name, stated(name))).collect(),
        }),
    }
}

/// Whether a client takes an event stream.
pub(super) fn accept_events(headers: &HeaderMap) -> bool {
    let values: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let ranges = || values.iter().flat_map(|value| value.split(','));
    // The range that names the type most exactly counts (RFC 9110, Accept).
    let wanted = ["text/event-stream", "text/*", "*/*"]
        .into_iter()
        .find_map(|range| ranges().find_map(|given| weighed(given, range)));
    values.is_empty() || wanted == Some(true)
}

/// Whether a range of `Accept` is wanted, if it is this one: with a weight of zero it is not.
fn weighed(given: &str, range: &str) -> Option<bool> {
    let mut parts = given.split(';').map(str::trim);
    let named = parts.next()?.eq_ignore_ascii_case(range);
    let weight = parts.find_map(|part| {
        let (name, weight) = part.split_once('=')?;
        let is_weight = name.trim_end().eq_ignore_ascii_case("q");
        is_weight.then(|| weight.trim().parse::<f32>().unwrap_or(1.0))
    });
    named.then(|| weight.is_none_or(|weight| weight > 0.0))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_stream_is_accepted_however_that_is_written() {
        let accepts = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::ACCEPT, value.parse().unwrap());
            }
            accept_events(&headers)
        };
        for values in [
            &[][..],
            &["text/event-stream"],
            &["TEXT/EVENT-STREAM"],
            &["text/*"],
            &["*/*"],
            &["application/json , Text/Event-Stream;q=0.5"],
            &["application/json", "text/*;q=0.1"],
            &["text/event-stream, */*;q=0"],
        ] {
            assert!(accepts(values), "{values:?}");
        }
        for values in [
            &["application/json"][..],
            &["text/html"],
            &["text/event-streams"],
            &["application/*"],
            &["*/*, text/event-stream; Q=0.0"],
            &["text/*;q=0, */*"],
            &[""],
        ] {
            assert!(!accepts(values), "{values:?}");
        }
    }

    #[test]
    fn headers_become_what_a_client_says() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("mcp-session-id", "s"),
            ("mcp-protocol-version", "2025-11-25"),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-param-region", "eu"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        headers.insert("mcp-name", HeaderValue::from_bytes(b"p\xefng").unwrap());
        let facts = read(&headers);
        assert_eq!(facts.session, Stated::Once("s"));
        assert_eq!(facts.revision, Stated::Several(Some("2025-11-25")));
        assert_eq!(facts.last_event, Stated::Absent);
        let repeated = facts.repeated.unwrap();
        assert_eq!(repeated.method, Stated::Once("tools/call"));
        assert_eq!(repeated.name, Stated::Unreadable);
        assert_eq!(repeated.parameter("Mcp-Param-Region"), Stated::Once("eu"));
        assert_eq!(repeated.parameter("Mcp-Param-Zone"), Stated::Absent);
    }
}
