//! The modern era (2026-07-28): every request carries its revision and capabilities; tasks are the extension
//! `io.modelcontextprotocol/tasks`.

mod call;
mod envelope;
mod input;
mod listen;
mod repeated;
mod task;

use serde::Serialize;
use serde_json::json;

use crate::mcp::Mcp;
use crate::mcp::jsonrpc::{self, Request, RpcError};
use crate::mcp::protocol::answer::RefusalKind;
use crate::mcp::protocol::inbound::Inbound;
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::reply::Reply;
use crate::mcp::protocol::wire::{self, ListedTool, SERVER_INFO, ServerInfo};
use crate::mcp::protocol::{LEGACY, MODERN, TASKS_EXTENSION};
use envelope::Envelope;
pub(super) use input::{Asked, input_required};

/// How long a client may keep what it was told of this server and its tools, ms.
const DISCOVER_TTL_MS: u64 = 60_000;
const TOOLS_TTL_MS: u64 = 5_000;

/// What every result says of who wrote it.
#[derive(Debug, Clone, Copy, Serialize)]
struct ResultMeta {
    #[serde(rename = "io.modelcontextprotocol/serverInfo")]
    server: ServerInfo,
}

const RESULT_META: ResultMeta = ResultMeta {
    server: SERVER_INFO,
};

/// A result with its type and its writer.
#[derive(Serialize)]
struct Complete<T> {
    #[serde(rename = "resultType")]
    result_type: &'static str,
    #[serde(flatten)]
    result: T,
    #[serde(rename = "_meta")]
    meta: ResultMeta,
}

fn complete<T: Serialize>(result: T) -> Complete<T> {
    Complete {
        result_type: "complete",
        result,
        meta: RESULT_META,
    }
}

impl Mcp {
    pub(super) async fn modern_request(
        &self,
        inbound: &Inbound<'_>,
        request: &Request<'_>,
    ) -> Reply {
        let envelope = match Envelope::read(inbound.facts, request) {
            Ok(envelope) => envelope,
            Err(refusal) => return Reply::to_request(request.id, Err(refusal)),
        };
        match request.method.as_ref() {
            "server/discover" => self.modern_answer(request, Ok(complete(self.discovery()))),
            "tools/list" => Reply::to_request(request.id, self.modern_tools(&envelope, request)),
            "tools/call" => match self.modern_call(inbound, &envelope, request).await {
                Ok(reply) => reply,
                Err(refusal) => Reply::to_request(request.id, Err(refusal)),
            },
            "tasks/get" => {
                let outcome = self.modern_task(inbound, &envelope, request).await;
                Reply::to_request(request.id, outcome)
            }
            "tasks/update" => {
                let outcome = self.modern_update(inbound, &envelope, request).await;
                self.modern_answer(request, outcome.map(|()| complete(json!({}))))
            }
            "tasks/cancel" => {
                let outcome = self.modern_cancel(inbound, &envelope, request).await;
                self.modern_answer(request, outcome.map(|()| complete(json!({}))))
            }
            "subscriptions/listen" => {
                match self.modern_listen(inbound.caller, &envelope, request).await {
                    Ok(reply) => reply,
                    Err(refusal) => Reply::to_request(request.id, Err(refusal)),
                }
            }
            unknown => {
                let refusal = Refusal::new(
                    RefusalKind::UnknownMethod,
                    RpcError::unknown_method(unknown),
                );
                Reply::to_request(request.id, Err(refusal))
            }
        }
    }

    fn modern_answer(
        &self,
        request: &Request<'_>,
        outcome: Result<impl Serialize, Refusal>,
    ) -> Reply {
        let body = outcome.map(|result| jsonrpc::success(request.id, &result));
        Reply::to_request(request.id, body)
    }

    fn discovery(&self) -> serde_json::Value {
        let versions: Vec<&str> = std::iter::once(MODERN).chain(LEGACY).collect();
        let mut discovery = json!({
            "supportedVersions": versions,
            "capabilities": { "tools": { "listChanged": true }, "logging": {}, "extensions": { TASKS_EXTENSION: {} } },
            "ttlMs": DISCOVER_TTL_MS,
            "cacheScope": "public",
        });
        if let (Some(text), Some(object)) = (&self.settings.instructions, discovery.as_object_mut())
        {
            object.insert("instructions".to_owned(), json!(text));
        }
        discovery
    }

    fn modern_tools(
        &self,
        envelope: &Envelope<'_>,
        request: &Request<'_>,
    ) -> Result<String, Refusal> {
        wire::refuse_cursor(request)?;
        let mut tools = self.bridge.catalog().all();
        let ours = self.built_ins(envelope.takes_tasks).into_iter();
        tools.extend(ours.map(|(_, tool)| tool));
        let result = ListToolsResult {
            result_type: "complete",
            tools: tools.iter().map(|tool| ListedTool::new(tool)).collect(),
            ttl_ms: TOOLS_TTL_MS,
            // With tools of our own the list depends on what the client declares.
            cache_scope: if self.handles.is_some() {
                "private"
            } else {
                "public"
            },
            meta: RESULT_META,
        };
        Ok(jsonrpc::success(request.id, &result))
    }
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
