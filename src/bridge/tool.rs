//! A registered tool, and the check that calls of it pass.

use serde_json::{Map, Value};
use taskferry_contract::{Arguments, DefinitionDigest, Mirrored, ToolChecks, ToolDefinition};

/// A registered tool, ready to be called.
#[derive(Debug)]
pub(crate) struct Tool {
    /// What its worker registered.
    pub(crate) definition: ToolDefinition,
    /// Of the definition: what a call of the tool was checked against.
    pub(crate) digest: DefinitionDigest,
    /// The client capabilities without which it cannot be called.
    pub(crate) required_capabilities: Map<String, Value>,
    /// Its parameters that headers repeat.
    pub(crate) mirrored: Vec<Mirrored>,
    checks: ToolChecks,
}

impl Tool {
    pub(crate) fn new(definition: ToolDefinition) -> Result<Self, String> {
        let mut checks = ToolChecks::of(&definition)?;
        Ok(Self {
            required_capabilities: std::mem::take(&mut checks.required_capabilities),
            mirrored: std::mem::take(&mut checks.mirrored),
            digest: DefinitionDigest::of(&definition),
            definition,
            checks,
        })
    }

    /// Whether `arguments` fit the input schema; else what does not first, and where.
    pub(crate) fn check(&self, arguments: &Arguments) -> Result<(), String> {
        let faults = self.checks.arguments(arguments);
        faults.map_err(|fault| format!("invalid arguments for {}: {fault}", self.definition.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(schema: &str) -> Result<Tool, String> {
        let schema = serde_json::value::RawValue::from_string(schema.to_owned()).unwrap();
        Tool::new(ToolDefinition::new("t".parse().unwrap(), schema))
    }

    #[test]
    fn arguments_that_do_not_fit_are_reported_with_tool_and_place() {
        let tool = tool(
            r#"{"type":"object","properties":{"month":{"enum":["May"]},"n":{"type":"integer"}},"required":["month"],"additionalProperties":false}"#,
        )
        .unwrap();
        assert_eq!(tool.check(&r#"{"month":"May","n":3}"#.into()), Ok(()));
        for (arguments, told) in [
            (
                r#"{"n":"x"}"#,
                "invalid arguments for t: \"month\" is a required property",
            ),
            (
                r#"{"month":"May","n":"x"}"#,
                "invalid arguments for t: /n: ",
            ),
            ("[]", "invalid arguments for t: they must be an object"),
        ] {
            let fault = tool.check(&arguments.into()).unwrap_err();
            assert!(fault.starts_with(told), "{fault}");
        }
        let deep = format!("{{\"month\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        assert!(
            tool.check(&deep.into())
                .unwrap_err()
                .contains("cannot be read")
        );
    }

    #[test]
    fn a_schema_that_points_elsewhere_is_refused_not_fetched() {
        assert!(
            tool(r#"{"type":"object","properties":{"a":{"$ref":"http://127.0.0.1:1/x"}}}"#)
                .is_err()
        );
        assert!(tool(r#"{"type":7}"#).is_err());
        let half = tool(r#"{"type":"object","description":"\ud83d"}"#).unwrap_err();
        assert!(
            half.contains("input_schema") && half.contains(r"\ud83d"),
            "{half}"
        );
        assert!(
            tool(r#"{"type":"object","properties":{"a":{"type":"number","x-mcp-header":"A"}}}"#)
                .is_err()
        );
    }
}
