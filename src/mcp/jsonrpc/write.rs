//! This server's messages, as text.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::mcp::jsonrpc::text::Text;

/// A successful response as text.
pub(crate) fn success(id: &RawValue, result: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Success<'a, T> {
        jsonrpc: &'static str,
        id: &'a RawValue,
        result: &'a T,
    }
    text(&Success {
        jsonrpc: "2.0",
        id,
        result,
    })
}

/// An error response as text; without an id if there is none to answer by. A null id, as JSON-RPC 2.0 has it, is none that
/// the schemas of MCP know, and the transport wants such an error to have no id (2025-11-25, Sending Messages to the
/// Server).
pub(crate) fn failure(id: Option<&RawValue>, error: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Failure<'a, T> {
        jsonrpc: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RawValue>,
        error: &'a T,
    }
    text(&Failure {
        jsonrpc: "2.0",
        id,
        error,
    })
}

/// A successful response with a result that is JSON.
pub(crate) fn success_of(id: &RawValue, result: Text) -> Text {
    response_of(id, "result", result)
}

/// An error response with an error that is JSON.
pub(crate) fn failure_of(id: &RawValue, error: Text) -> Text {
    response_of(id, "error", error)
}

fn response_of(id: &RawValue, name: &str, json: Text) -> Text {
    let mut text = Text::from(format!(r#"{{"jsonrpc":"2.0","id":{id},"{name}":"#));
    text.append(json);
    text.push("}");
    text
}

/// A message whose last member, its result or its params, is an object that has others: with one more in that, at its end.
pub(crate) fn with_last_member(message: &str, name: &str, json: Text) -> Text {
    let Some(open) = message.strip_suffix("}}") else {
        return message.to_owned().into();
    };
    let mut text = Text::from(format!("{open},\"{name}\":"));
    text.append(json);
    text.push("}}");
    text
}

/// A request of this server as text.
pub(crate) fn request(id: &str, method: &str, params: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Outgoing<'a, T> {
        jsonrpc: &'static str,
        id: &'a str,
        method: &'a str,
        params: &'a T,
    }
    text(&Outgoing {
        jsonrpc: "2.0",
        id,
        method,
        params,
    })
}

/// A notification as text.
pub(crate) fn notification(method: &str, params: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Notification<'a, T> {
        jsonrpc: &'static str,
        method: &'a str,
        params: &'a T,
    }
    text(&Notification {
        jsonrpc: "2.0",
        method,
        params,
    })
}

fn text(message: &impl Serialize) -> String {
    serde_json::to_string(message).unwrap_or_else(|error| {
        tracing::error!(%error, "a message could not be written");
        r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"the answer could not be written"}}"#
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::jsonrpc::RpcError;

    #[test]
    fn what_is_json_already_is_put_in_as_it_is() {
        let id: &RawValue = serde_json::from_str("7").unwrap();
        let json = || Text::from("{ }".to_owned());
        let text = String::from(&success_of(id, json()));
        assert_eq!(text, r#"{"jsonrpc":"2.0","id":7,"result":{ }}"#);
        let text = String::from(&failure_of(id, json()));
        assert_eq!(text, r#"{"jsonrpc":"2.0","id":7,"error":{ }}"#);
        let message = r#"{"jsonrpc":"2.0","id":7,"result":{"a":1}}"#;
        let text = String::from(&with_last_member(message, "b", json()));
        assert_eq!(text, r#"{"jsonrpc":"2.0","id":7,"result":{"a":1,"b":{ }}}"#);
    }

    #[test]
    fn an_error_without_an_id_to_answer_by_has_none() {
        let error = RpcError::invalid_request("x");
        let text = r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"x"}}"#;
        assert_eq!(failure(None, &error), text);
    }
}
