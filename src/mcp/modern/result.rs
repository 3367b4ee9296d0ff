//! The type of a result, and the server that wrote it.

use serde::Serialize;

use crate::mcp::protocol::wire::{SERVER_INFO, ServerInfo};

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
