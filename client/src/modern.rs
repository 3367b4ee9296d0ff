//! The modern era (2026-07-28): no session. Every request says who asks, and repeats in headers what it is about.

use serde_json::{Value, json};

use crate::params::{Declaration, message};
use crate::{MODERN, Request};

/// A request. What `_meta` says of the client is added to params that do not say it already.
#[must_use]
pub fn request(client: &Declaration, id: u64, method: &str, mut params: Value) -> Request {
    let named = params.get("name").or_else(|| params.get("taskId"));
    let name = named.and_then(Value::as_str).unwrap_or_default().to_owned();
    declare(client, &mut params);
    Request::post(&message(id, method, params))
        .with("mcp-protocol-version", MODERN)
        .with("mcp-method", method)
        .with("mcp-name", &name)
}

fn declare(client: &Declaration, params: &mut Value) {
    let Some(all) = params.as_object_mut() else {
        return;
    };
    let meta = all.entry("_meta").or_insert_with(|| json!({}));
    let Some(meta) = meta.as_object_mut() else {
        return;
    };
    for (name, value) in [
        ("protocolVersion", json!(MODERN)),
        ("clientInfo", client.info()),
        ("clientCapabilities", client.capabilities.clone()),
    ] {
        meta.entry(format!("io.modelcontextprotocol/{name}"))
            .or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_who_asks_and_repeats_its_name() {
        let client = Declaration::new("test", json!({ "elicitation": {} }));
        let given =
            json!({ "taskId": "0-x", "_meta": { "io.modelcontextprotocol/protocolVersion": "1" } });
        let request = request(&client, 7, "tasks/get", given);
        let named = ("mcp-name".to_owned(), "0-x".to_owned());
        assert!(request.headers.contains(&named), "{request:?}");
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let meta = &body["params"]["_meta"];
        assert_eq!(body["id"], 7);
        assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "test");
        assert_eq!(
            meta["io.modelcontextprotocol/protocolVersion"], "1",
            "what was given stays"
        );
    }

    #[test]
    fn a_request_without_a_name_has_no_such_header() {
        let client = Declaration::new("test", json!({}));
        let request = request(&client, 1, "tools/list", json!({}));
        assert!(request.headers.iter().all(|(name, _)| name != "mcp-name"));
    }
}
