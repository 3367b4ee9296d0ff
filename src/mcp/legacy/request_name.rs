//! The name by which a session notes a request.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::mcp::jsonrpc;

/// An id may be of any length and hold anything; a key may not. One id may be written in several ways.
pub(super) fn digest(request: &RawValue) -> String {
    let id = jsonrpc::plain_id(request.get());
    URL_SAFE_NO_PAD.encode(Sha256::digest(id.as_bytes()))
}
