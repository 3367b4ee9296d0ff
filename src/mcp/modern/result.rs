//! The type of a result, and the server that wrote it.

use serde::Serialize;
use taskferry_contract::Member;

use crate::mcp::protocol::wire::{SERVER_INFO, ServerInfo};

/// The member of a result's `_meta` that says who wrote it.
pub(super) const SERVER_MEMBER: &str = "io.modelcontextprotocol/serverInfo";
/// The member of a result that says of what type it is.
pub(super) const COMPLETE: Member<'static> = ("resultType", "\"complete\"");

/// Who wrote it.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct ResultMeta {
    #[serde(rename = "io.modelcontextprotocol/serverInfo")]
    pub(super) server: ServerInfo,
}

/// This server did.
pub(super) const RESULT_META: ResultMeta = ResultMeta {
    server: SERVER_INFO,
};

/// A result with its type and its writer.
#[derive(Serialize)]
pub(super) struct Complete<T> {
    #[serde(rename = "resultType")]
    result_type: &'static str,
    #[serde(flatten)]
    result: T,
    #[serde(rename = "_meta")]
    meta: ResultMeta,
}

pub(super) fn complete<T: Serialize>(result: T) -> Complete<T> {
    Complete {
        result_type: "complete",
        result,
        meta: RESULT_META,
    }
}
