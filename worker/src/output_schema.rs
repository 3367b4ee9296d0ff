//! Holds results to the output schema that their tool promises.

use std::collections::HashMap;

use serde_json::Value;
use serde_json::value::RawValue;
use taskferry_contract::ToolDefinition;

use crate::exec::ToolResult;

/// So many faults of one result are told.
const FAULTS_TOLD: usize = 5;

/// What the structured content of a tool's results must fit.
#[derive(Debug)]
pub(crate) struct OutputSchema(jsonschema::Validator);

impl OutputSchema {
    /// The schema of a tool that has one.
    pub(crate) fn of(tool: &ToolDefinition) -> Result<Option<Self>, String> {
        let Some(schema) = &tool.output_schema else {
            return Ok(None);
        };
        let schema: Value =
            serde_json::from_str(schema.get()).map_err(|error| error.to_string())?;
        let validator = jsonschema::validator_for(&schema).map_err(|error| error.to_string())?;
        Ok(Some(Self(validator)))
    }

    /// The result if it fits, else the error that says where it does not. A result that is an error promises nothing.
    pub(crate) fn hold(&self, result: ToolResult) -> ToolResult {
        if result.is_error {
            return result;
        }
        match self.check(&result) {
            Ok(()) => result,
            Err(faults) => {
                let text = format!("the tool's result does not fit its output schema: {faults}");
                tracing::warn!("{text}");
                ToolResult::error(&text)
            }
        }
    }

    fn check(&self, result: &ToolResult) -> Result<(), String> {
        let unreadable = |error: serde_json::Error| format!("it cannot be read: {error}");
        let members: HashMap<String, &RawValue> =
            serde_json::from_str(result.result.get()).map_err(unreadable)?;
        let content = members
            .get("structuredContent")
            .ok_or("it has no structuredContent")?;
        let content: Value = serde_json::from_str(content.get()).map_err(unreadable)?;
        if self.0.is_valid(&content) {
            return Ok(());
        }
        let mut faults: Vec<String> = self
            .0
            .iter_errors(&content)
            .take(FAULTS_TOLD + 1)
            .map(|fault| format!("structuredContent{}: {fault}", fault.instance_path()))
            .collect();
        if faults.len() > FAULTS_TOLD {
            faults.truncate(FAULTS_TOLD);
            faults.push("and more".to_owned());
        }
        Err(faults.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(text: &str) -> Result<Option<OutputSchema>, String> {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        OutputSchema::of(&ToolDefinition {
            output_schema: Some(raw(text)),
            ..ToolDefinition::new("t".parse().unwrap(), raw(r#"{"type":"object"}"#))
        })
    }

    fn held(result: &str, is_error: bool) -> ToolResult {
        let schema =
            schema(r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}"#);
        schema.unwrap().unwrap().hold(ToolResult {
            result: RawValue::from_string(result.to_owned()).unwrap(),
            is_error,
            summary: None,
        })
    }

    #[test]
    fn a_result_that_fits_keeps_its_bytes() {
        let text = r#"{ "content":[], "structuredContent":{"n":1} }"#;
        let result = held(text, false);
        assert_eq!((result.result.get(), result.is_error), (text, false));
    }

    #[test]
    fn one_that_does_not_becomes_an_error_that_names_the_place() {
        for (text, part) in [
            (
                r#"{"content":[],"structuredContent":{"n":"x"}}"#,
                "structuredContent/n: ",
            ),
            (r#"{"content":[],"structuredContent":{}}"#, "\"n\""),
            (r#"{"content":[]}"#, "it has no structuredContent"),
        ] {
            let result = held(text, false);
            let summary = result.summary.unwrap();
            assert!(result.is_error && summary.contains(part), "{summary}");
            assert!(summary.starts_with("the tool's result does not fit its output schema: "));
        }
    }

    #[test]
    fn an_error_is_not_held_to_it() {
        let text = r#"{"content":[],"isError":true}"#;
        assert_eq!(held(text, true).result.get(), text);
    }

    #[test]
    fn a_schema_that_cannot_be_used_is_told() {
        assert!(schema(r#"{"type":7}"#).is_err());
        assert!(schema(r#"{"$ref":"http://127.0.0.1:1/x"}"#).is_err());
    }
}
