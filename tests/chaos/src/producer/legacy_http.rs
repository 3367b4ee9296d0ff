//! The requests that a legacy client and its listener make.

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::{World, accepted};
use crate::http::{Messages, PROMPT, Unanswered};

pub(super) const REVISION: &str = "2025-11-25";

/// Answers a question, over any replica.
pub(super) async fn reply(
    world: &World,
    session: &str,
    question: &Value,
) -> Result<(), Unanswered> {
    let body = json!({ "jsonrpc": "2.0", "id": question.get("id"), "result": accepted() });
    let request = post(world, &body).header("mcp-session-id", session);
    Messages::of(&world.recorder, request, PROMPT)
        .await
        .map(drop)
}

/// Opens the session's own stream.
pub(super) fn get(world: &World, session: &str) -> RequestBuilder {
    with_headers(world.http.get(world.endpoint())).header("mcp-session-id", session)
}

pub(super) fn post(world: &World, body: &Value) -> RequestBuilder {
    with_headers(world.http.post(world.endpoint()))
        .header("content-type", "application/json")
        .body(body.to_string())
}

fn with_headers(request: RequestBuilder) -> RequestBuilder {
    request
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", REVISION)
}
