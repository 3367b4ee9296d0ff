//! Fuzz targets of what comes in heads of requests.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::mcp::Stated;
use crate::transport::http::mcp_headers;
use crate::transport::http::peers::{Peer, TrustedProxies};

/// A head, a line each as `name: value`: what is there twice is not taken for what is there once.
///
/// # Panics
///
/// If it is.
pub fn headers(data: &[u8]) {
    let map = head(data);
    let facts = mcp_headers::read(&map);
    let _ = mcp_headers::accept_events(&map);
    let repeated = facts.repeated.as_ref().expect("this transport has headers");
    for (name, stated) in [
        ("mcp-protocol-version", facts.revision),
        ("mcp-session-id", facts.session),
        ("last-event-id", facts.last_event),
        ("mcp-method", repeated.method),
        ("mcp-name", repeated.name),
        ("mcp-param-region", repeated.parameter("Mcp-Param-Region")),
    ] {
        let count = map.get_all(name).iter().count();
        let fits = match stated {
            Stated::Absent => count == 0,
            Stated::Once(text) => {
                count == 1
                    && map
                        .get(name)
                        .is_some_and(|value| value.as_bytes() == text.as_bytes())
            }
            Stated::Unreadable => count == 1,
            Stated::Several(_) => count > 1,
        };
        assert!(fits, "{name} is there {count} times: {stated:?}");
    }
}

fn head(data: &[u8]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        let name = HeaderName::from_bytes(name.trim_ascii());
        let value = HeaderValue::from_bytes(value.trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            // Its map takes no more.
            let _ = map.try_append(name, value);
        }
    }
    map
}

/// On the first line proxies, on the second the address that connected, then lines of `X-Forwarded-For`: nobody but a proxy
/// says who calls.
///
/// # Panics
///
/// If anybody else does.
pub fn peers(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    let (Ok(proxies), Ok(connected)) = (TrustedProxies::parse(next()), next().parse::<IpAddr>())
    else {
        return;
    };
    let mut map = HeaderMap::new();
    for line in lines {
        if let Ok(value) = line.parse::<HeaderValue>() {
            map.append("x-forwarded-for", value);
        }
    }
    let client = proxies.client(connected, &map);
    if client != connected {
        assert!(
            proxies.trusts(connected),
            "{connected} is no proxy, and said {client}"
        );
    }
    // Asked by the client itself, the answer is the client.
    assert_eq!(proxies.client(client, &HeaderMap::new()), client);
    // What a caller puts before what the proxies wrote changes nothing, unless all of them are proxies.
    if !proxies.trusts(client) {
        let lines: Vec<HeaderValue> = map.get_all("x-forwarded-for").iter().cloned().collect();
        let mut spoofed = HeaderMap::new();
        spoofed.append("x-forwarded-for", HeaderValue::from_static("192.0.2.66"));
        for line in lines {
            spoofed.append("x-forwarded-for", line);
        }
        assert_eq!(proxies.client(connected, &spoofed), client);
    }
    let _ = Peer::from(client);
}
