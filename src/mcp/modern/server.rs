//! What this server is, and which tools it has.

use serde::Serialize;
use serde_json::{Value, json};

use crate::mcp::jsonrpc;
use crate::mcp::modern::exchange::Exchange;
use crate::mcp::modern::result::{RESULT_META, ResultMeta};
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::wire::{self, ListedTool};
use crate::mcp::protocol::{LEGACY, MODERN, TASKS_EXTENSION};

/// How long a client may keep what it read about this server and its tools, ms.
const DISCOVER_TTL_MS: u64 = 60_000;
const TOOLS_TTL_MS: u64 = 5_000;

/// The result of `server/discover`.
pub(super) fn discovery(exchange: &Exchange<'_>) -> Value {
    let versions: Vec<&str> = std::iter::once(MODERN).chain(LEGACY).collect();
    let mut discovery = json!({
        "supportedVersions": versions,
        "capabilities": { "tools": { "listChanged": true }, "logging": {}, "extensions": { TASKS_EXTENSION: {} } },
        "ttlMs": DISCOVER_TTL_MS,
        "cacheScope": "public",
    });
    let instructions = &exchange.era.edge.settings.instructions;
    if let (Some(text), Some(object)) = (instructions, discovery.as_object_mut()) {
        object.insert("instructions".to_owned(), json!(text));
    }
    discovery
}

/// Serves `tools/list`.
pub(super) fn tools(exchange: &Exchange<'_>) -> Result<String, Refusal> {
    let (request, background) = (exchange.request, &exchange.era.background);
    wire::refuse_cursor(request)?;
    let mut tools = exchange.bridge().catalog().all();
    let ours = background.built_ins(exchange.envelope.takes_tasks);
    tools.extend(ours.into_iter().map(|(_, tool)| tool));
    let result = ListToolsResult {
        result_type: "complete",
        tools: tools.iter().map(|tool| ListedTool::new(tool)).collect(),
        ttl_ms: TOOLS_TTL_MS,
        // With built-in tools the list depends on what the client declares.
        cache_scope: if background.depends_on_the_client() {
            "private"
        } else {
            "public"
        },
        meta: RESULT_META,
    };
    Ok(jsonrpc::success(request.id, &result))
}

/// What tools/list returns. Schemas pass through verbatim, so nothing here goes by way of a JSON tree.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListToolsResult<'a> {
    result_type: &'static str,
    tools: Vec<ListedTool<'a>>,
    ttl_ms: u64,
    cache_scope: &'static str,
    #[serde(rename = "_meta")]
    meta: ResultMeta,
}
