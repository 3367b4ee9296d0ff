//! The methods of this era.

use serde::{Deserialize, Serialize};
use serde_json::json;
use taskferry_contract::UnknownLevel;

use crate::mcp::jsonrpc::{self, RpcError};
use crate::mcp::legacy::exchange::Exchange;
use crate::mcp::legacy::{call, task};
use crate::mcp::protocol::answer::Answer;
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::reply::Reply;
use crate::mcp::protocol::wire::{self, Execution, ListedTool};

/// Serves a request of a session.
pub(super) async fn request(exchange: &Exchange<'_>) -> Reply {
    match serve(exchange).await {
        Ok(reply) => reply,
        Err(refusal) => Reply::Json(refusal.answer(exchange.request.id)),
    }
}

async fn serve(exchange: &Exchange<'_>) -> Result<Reply, Refusal> {
    let request = exchange.request;
    let body = match request.method.as_ref() {
        "ping" => jsonrpc::success(request.id, &json!({})),
        "logging/setLevel" => set_level(exchange).await?,
        "tools/list" => tools(exchange)?,
        "tools/call" => return Box::pin(call::call(exchange)).await,
        method if method.starts_with("tasks/") && exchange.session.has_tasks() => {
            return task::serve(exchange).await;
        }
        unknown => return Err(RpcError::unknown_method(unknown).into()),
    };
    Ok(Reply::Json(Answer::ok(body)))
}

async fn set_level(exchange: &Exchange<'_>) -> Result<String, Refusal> {
    #[derive(Deserialize)]
    struct Params {
        level: String,
    }
    let level = exchange.request.params::<Params>()?.level;
    let level = level
        .parse()
        .map_err(|unknown: UnknownLevel| RpcError::invalid_params(unknown.to_string()))?;
    let sessions = exchange.bridge().sessions();
    sessions.set_log_level(exchange.session.id, level).await?;
    Ok(jsonrpc::success(exchange.request.id, &json!({})))
}

fn tools(exchange: &Exchange<'_>) -> Result<String, Refusal> {
    #[derive(Serialize)]
    struct ListToolsResult<'a> {
        tools: Vec<ListedTool<'a>>,
    }
    let (session, request) = (exchange.session, exchange.request);
    wire::refuse_cursor(request)?;
    let mut tools = exchange.bridge().catalog().all();
    let ours = exchange.era.background.built_ins(session.knows_tasks());
    tools.extend(ours.into_iter().map(|(_, tool)| tool));
    let list = |tool| {
        let mut listed = ListedTool::new(tool);
        if session.has_tasks() {
            listed.execution = Some(Execution::of(tool));
        } else {
            // Icons came with tasks (2025-11-25).
            listed.icons = None;
        }
        listed
    };
    let result = ListToolsResult {
        tools: tools.iter().map(|tool| list(tool)).collect(),
    };
    Ok(jsonrpc::success(request.id, &result))
}
