//! The methods by which clients are asked, and what their params must have.

use serde_json::Value;
use taskferry_contract::check_url;

/// The MCP methods by which a server asks a client.
const METHODS: [&str; 3] = ["elicitation/create", "sampling/createMessage", "roots/list"];

/// The method that a word names: by its first part (`elicitation`) or as a whole.
pub(super) fn method_of(what: &str) -> Option<&'static str> {
    let mut methods = METHODS.into_iter();
    methods.find(|method| *method == what || method.split('/').next() == Some(what))
}

/// Checks what a client would refuse at once. The text follows "params" or the like.
pub(super) fn check_params(method: &str, params: &Value) -> Result<(), String> {
    let Some(object) = params.as_object() else {
        return Err("the params must be a JSON object".to_owned());
    };
    let has = |name: &str, kind: &str, right: fn(&Value) -> bool| match object.get(name) {
        Some(value) if right(value) => Ok(()),
        Some(_) => Err(format!("{name} must be {kind}")),
        None => Err(format!("{name} is missing: {kind}")),
    };
    match method {
        "elicitation/create" => {
            has("message", "a string", Value::is_string)?;
            match object.get("mode").map(Value::as_str) {
                None | Some(Some("form")) => has(
                    "requestedSchema",
                    "a JSON Schema of the type object",
                    |schema| schema.get("type").is_some_and(|kind| kind == "object"),
                ),
                Some(Some("url")) => {
                    has("url", "a string", Value::is_string)?;
                    check_url(method, params)
                }
                Some(_) => Err("mode must be \"form\" or \"url\"".to_owned()),
            }
        }
        "sampling/createMessage" => {
            has("messages", "an array", Value::is_array)?;
            has("maxTokens", "a number", Value::is_number)
        }
        _ => Ok(()),
    }
}
