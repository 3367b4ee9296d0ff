//! What a tool's definition must be to be used, and what its arguments and results are held to: the same words on both
//! sides, so that a worker refuses what a front end would not list.

use std::fmt::Display;
use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::json::raw::RawObject;
use crate::json::schema::{Mirrored, Schema, mirrored, unique_names};
use crate::model::arguments::Arguments;
use crate::model::question::{ASK_METHODS, check_url};
use crate::model::tool::definition::{AskFirst, ToolDefinition, is_scope};
use crate::text::quoted;

/// What a scope must be.
const SCOPE_RULE: &str = "is no scope: it must be 1 to 200 printable ASCII characters without space, quotes and backslash, and not *";

/// A definition's schemas, compiled, and what else of it is read. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ToolChecks {
    /// The client capabilities without which the tool cannot be called.
    pub required_capabilities: Map<String, Value>,
    /// Its parameters that headers repeat.
    pub mirrored: Vec<Mirrored>,
    input: Arc<Schema>,
    output: Option<Arc<Schema>>,
}

impl ToolChecks {
    /// The checks of a definition.
    ///
    /// # Errors
    ///
    /// Why it cannot be used, by the name of the field.
    pub fn of(tool: &ToolDefinition) -> Result<Self, String> {
        tool.check_readable()?;
        tool.check_numbers()?;
        let field = |name: &'static str| move |reason: String| format!("{name}: {reason}");
        let input = Schema::compile(tool.input_schema.get()).map_err(field("input_schema"))?;
        if input.root().get("type").and_then(Value::as_str) != Some("object") {
            return Err("input_schema: it must have \"type\": \"object\" at its root".to_owned());
        }
        let output = tool.output_schema.as_deref().map(RawValue::get);
        let output = output
            .map(Schema::compile)
            .transpose()
            .map_err(field("output_schema"))?;
        let required = tool.required_capabilities.as_deref();
        let required = required.map(object).transpose();
        if let Some(annotations) = &tool.annotations {
            object(annotations).map_err(field("annotations"))?;
        }
        if let Some(icons) = &tool.icons {
            array(icons).map_err(field("icons"))?;
        }
        for (name, scopes) in [("scopes", &tool.scopes), ("task_scopes", &tool.task_scopes)] {
            if let Some(wrong) = scopes.iter().find(|scope| !is_scope(scope)) {
                return Err(format!("{name}: {} {SCOPE_RULE}", quoted(wrong)));
            }
        }
        for ask in &tool.ask_first {
            check_ask(ask)
                .map_err(|reason| format!("ask_first: {}: {reason}", quoted(&ask.key)))?;
        }
        Ok(Self {
            required_capabilities: required
                .map_err(field("required_capabilities"))?
                .unwrap_or_default(),
            mirrored: mirrored(input.root()).map_err(field("input_schema"))?,
            input: Arc::new(input),
            output: output.map(Arc::new),
        })
    }

    /// Whether results are held to anything.
    #[must_use]
    pub fn has_output(&self) -> bool {
        self.output.is_some()
    }

    /// Whether the arguments of a call fit the input schema.
    ///
    /// # Errors
    ///
    /// The first thing that does not fit, and where.
    pub fn arguments(&self, arguments: &Arguments) -> Result<(), String> {
        let value = read(arguments.as_str())?;
        if !value.is_object() {
            return Err("they must be an object".to_owned());
        }
        self.input.check(&value).map_err(|fault| fault.to_string())
    }

    /// Whether a result, the JSON text of an MCP tool result that is no error, has the structured content that the output
    /// schema promises. Anything fits a tool without one.
    ///
    /// # Errors
    ///
    /// The first thing that does not fit, and where.
    pub fn result(&self, result: &str) -> Result<(), String> {
        let Some(schema) = &self.output else {
            return Ok(());
        };
        let members = RawObject::parse(result).map_err(unreadable)?;
        let content = members
            .get("structuredContent")
            .ok_or("it has no structuredContent")?;
        let told = |reason: &dyn Display| format!("structuredContent: {reason}");
        let value = read(content).map_err(|reason| told(&reason))?;
        schema.check(&value).map_err(|fault| {
            if fault.place.is_empty() {
                told(&fault.text)
            } else {
                format!("structuredContent{}: {}", fault.place, fault.text)
            }
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it maps an error")]
fn unreadable(error: serde_json::Error) -> String {
    format!("it cannot be read as JSON: {error}")
}

/// Reads a value that has no name twice in any object.
fn read(json: &str) -> Result<Value, String> {
    unique_names(json).map_err(|duplicate| duplicate.to_string())?;
    serde_json::from_str(json).map_err(unreadable)
}

fn object(json: &RawValue) -> Result<Map<String, Value>, String> {
    match read(json.get())? {
        Value::Object(members) => Ok(members),
        _ => Err("it must be a JSON object".to_owned()),
    }
}

fn array(json: &RawValue) -> Result<(), String> {
    match read(json.get())? {
        Value::Array(_) => Ok(()),
        _ => Err("it must be a JSON array".to_owned()),
    }
}

fn check_ask(ask: &AskFirst) -> Result<(), String> {
    if !ASK_METHODS.contains(&ask.method.as_str()) {
        let known = ASK_METHODS.join(", ");
        return Err(format!("the method must be one of {known}"));
    }
    let params = object(&ask.params)?;
    check_url(&ask.method, &Value::Object(params))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn tool(schema: &str) -> ToolDefinition {
        ToolDefinition::new("t".parse().unwrap(), raw(schema))
    }

    fn refused(tool: &ToolDefinition) -> String {
        ToolChecks::of(tool).unwrap_err()
    }

    fn assert_refused(tool: &ToolDefinition, told: &str) {
        let reason = refused(tool);
        assert!(reason.starts_with(told), "{reason}");
        assert!(reason.len() < 700, "{reason}");
    }

    #[test]
    fn an_input_schema_that_cannot_be_used_is_refused() {
        assert!(ToolChecks::of(&tool(r#"{"type":"object"}"#)).is_ok());
        let property =
            |schema: &str| format!(r#"{{"type":"object","properties":{{"a":{schema}}}}}"#);
        for (schema, told) in [
            (
                r#"{"type":"object","minProperties":"x"}"#.to_owned(),
                "input_schema: /minProperties: ",
            ),
            (
                "{}".to_owned(),
                "input_schema: it must have \"type\": \"object\"",
            ),
            ("true".to_owned(), "input_schema: it must have"),
            (
                property(r#"{"type":"number","x-mcp-header":"A"}"#),
                "input_schema: x-mcp-header",
            ),
            (
                property(r#"true,"a":false"#),
                "input_schema: the object at /properties has the name \"a\" twice",
            ),
            (
                property(r#"{"$ref":"http://127.0.0.1:1/x"}"#),
                "input_schema: ",
            ),
        ] {
            assert_refused(&tool(&schema), told);
        }
    }

    #[test]
    fn a_definition_that_cannot_be_used_is_refused_by_its_field() {
        let plain = || tool(r#"{"type":"object"}"#);
        let asking = |method: &str, params: &str| ToolDefinition {
            ask_first: vec![AskFirst {
                key: "k".to_owned(),
                method: method.to_owned(),
                params: raw(params),
            }],
            ..plain()
        };
        let output = ToolDefinition {
            output_schema: Some(raw(r#"{"type":7}"#)),
            ..plain()
        };
        assert_refused(&output, "output_schema: /type: ");
        let required = ToolDefinition {
            required_capabilities: Some(raw("[]")),
            ..plain()
        };
        let told = "required_capabilities: it must be a JSON object";
        assert_refused(&required, told);
        let annotations = ToolDefinition {
            annotations: Some(raw("7")),
            ..plain()
        };
        assert_refused(&annotations, "annotations: it must be a JSON object");
        let icons = ToolDefinition {
            icons: Some(raw("{}")),
            ..plain()
        };
        assert_refused(&icons, "icons: it must be a JSON array");
        let told = "ask_first: \"k\": the method must be one of";
        assert_refused(&asking("tools/call", "{}"), told);
        let script = asking(
            "elicitation/create",
            r#"{"mode":"url","url":"javascript:x"}"#,
        );
        assert_refused(&script, "ask_first: \"k\": url must begin with");
    }

    #[test]
    fn arguments_are_an_object_that_fits() {
        let checks = ToolChecks::of(&tool(
            r#"{"type":"object","properties":{"n":{"type":"integer"}}}"#,
        ))
        .unwrap();
        assert_eq!(checks.arguments(&r#"{"n":1}"#.into()), Ok(()));
        for (arguments, told) in [
            (r#"{"n":"x"}"#, "/n: the value is not of type \"integer\""),
            ("[]", "they must be an object"),
            (
                r#"{"n":"; rm -rf /","n":1}"#,
                "the object has the name \"n\" twice",
            ),
            ("{", "it cannot be read as JSON"),
        ] {
            let reason = checks.arguments(&arguments.into()).unwrap_err();
            assert!(reason.starts_with(told), "{reason}");
        }
    }

    #[test]
    fn a_result_is_held_to_what_it_promises() {
        let promised = ToolDefinition {
            output_schema: Some(raw(
                r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}"#,
            )),
            ..tool(r#"{"type":"object"}"#)
        };
        let checks = ToolChecks::of(&promised).unwrap();
        assert_eq!(
            checks.result(r#"{"content":[],"structuredContent":{"n":1}}"#),
            Ok(())
        );
        for (result, told) in [
            (
                r#"{"structuredContent":{"n":"x"}}"#,
                "structuredContent/n: the value is not",
            ),
            (
                r#"{"structuredContent":{}}"#,
                "structuredContent: \"n\" is a required property",
            ),
            (
                r#"{"structuredContent":{"n":1,"n":1}}"#,
                "structuredContent: the object has the name",
            ),
            (r#"{"content":[]}"#, "it has no structuredContent"),
        ] {
            let reason = checks.result(result).unwrap_err();
            assert!(reason.starts_with(told), "{reason}");
        }
        let none = ToolChecks::of(&tool(r#"{"type":"object"}"#)).unwrap();
        assert_eq!(none.result("{}"), Ok(()));
    }
}
