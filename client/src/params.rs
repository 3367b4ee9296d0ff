//! What requests of both eras carry.

use serde_json::{Value, json};

/// What a client says of itself: once in a legacy session, with every request in the modern era.
#[derive(Debug, Clone, PartialEq)]
pub struct Declaration {
    /// Its name.
    pub name: String,
    /// What it can do, as JSON.
    pub capabilities: Value,
}

impl Declaration {
    /// A client of this name.
    #[must_use]
    pub fn new(name: &str, capabilities: Value) -> Self {
        Self {
            name: name.to_owned(),
            capabilities,
        }
    }

    /// `clientInfo`, as both eras have it.
    pub(crate) fn info(&self) -> Value {
        json!({ "name": self.name, "version": env!("CARGO_PKG_VERSION") })
    }
}

/// What a tool is called with.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    tool: &'a str,
    arguments: Value,
    task: Option<Value>,
    meta: Option<Value>,
}

impl<'a> Call<'a> {
    /// A plain call.
    #[must_use]
    pub fn new(tool: &'a str, arguments: Value) -> Self {
        Self {
            tool,
            arguments,
            task: None,
            meta: None,
        }
    }

    /// The same as a task of the legacy era, with the ttl that it asks for, or the tool's own. In the modern era a call becomes a task if its
    /// client declares that it takes tasks.
    #[must_use]
    pub fn as_task(mut self, ttl_ms: Option<u64>) -> Self {
        self.task = Some(ttl_ms.map_or_else(|| json!({}), |ttl_ms| json!({ "ttl": ttl_ms })));
        self
    }

    /// The same with `_meta`.
    #[must_use]
    pub fn with_meta(mut self, meta: Value) -> Self {
        self.meta = Some(meta);
        self
    }

    /// The params of tools/call.
    #[must_use]
    pub fn params(self) -> Value {
        let mut params = json!({ "name": self.tool, "arguments": self.arguments });
        if let Some(all) = params.as_object_mut() {
            all.extend(self.task.map(|task| ("task".to_owned(), task)));
            all.extend(self.meta.map(|meta| ("_meta".to_owned(), meta)));
        }
        params
    }
}

/// The params of tasks/get, tasks/result and tasks/cancel.
#[must_use]
pub fn task(id: &str) -> Value {
    json!({ "taskId": id })
}

/// The params of tasks/update: answers to a task's questions, by the questions' keys.
#[must_use]
pub fn update(id: &str, responses: &Value) -> Value {
    json!({ "taskId": id, "inputResponses": responses })
}

/// A JSON-RPC request.
pub(crate) fn message(id: u64, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_says_only_what_it_was_given() {
        let call = Call::new("echo", json!({ "text": "hello" }));
        let plain = json!({ "name": "echo", "arguments": { "text": "hello" } });
        assert_eq!(call.clone().params(), plain);
        let params = call.as_task(Some(5)).with_meta(json!({ "a": 1 })).params();
        assert_eq!(
            (&params["task"], &params["_meta"]),
            (&json!({ "ttl": 5 }), &json!({ "a": 1 }))
        );
    }
}
