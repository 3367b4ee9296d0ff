//! A fuzz target: what opens a session.

use serde_json::Value;

use super::{InitializeParams, client_name};
use crate::mcp::jsonrpc::{Body, Message, parse};
use crate::mcp::protocol::{LEGACY, capabilities};

/// The longest name of a client that is kept, bytes.
const LONGEST_NAME: usize = 4 << 10;

/// An `initialize`: what is kept of its client is small, and what its client declares counts the same when it is read again.
///
/// # Panics
///
/// If that is not so.
pub fn initialize(data: &[u8]) {
    let Ok(Body::One(Message::Request(request))) = parse(data) else {
        return;
    };
    let Ok(params) = request.params::<InitializeParams<'_>>() else {
        return;
    };
    let name = client_name(params.client_info);
    assert!(
        name.len() <= LONGEST_NAME,
        "a name of {} bytes is kept",
        name.len()
    );
    assert!(!name.contains(char::is_control), "{name:?}");
    if capabilities::check(params.capabilities).is_err() {
        return;
    }
    for revision in LEGACY {
        let declared = capabilities::in_revision(revision, params.capabilities.get());
        let again = capabilities::in_revision(revision, &declared);
        let read = |text: &str| serde_json::from_str::<Value>(text).ok();
        assert_eq!(read(&again), read(&declared));
    }
}
