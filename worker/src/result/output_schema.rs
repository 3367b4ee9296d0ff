//! Checks results against the output schema of their tool.

use taskferry_contract::ToolChecks;
use taskferry_process::Offload;

use super::tool_result::ToolResult;

/// The result if it fits, else the error that says where it does not. A result that is an error promises nothing.
pub(crate) async fn hold(offload: &Offload, checks: &ToolChecks, result: ToolResult) -> ToolResult {
    if result.is_error || !checks.has_output() {
        return result;
    }
    let checks = checks.clone();
    let bytes = result.result.get().len();
    let work = move || {
        let fault = checks.result(result.result.get()).err();
        (result, fault)
    };
    match offload.run(bytes, work).await {
        (result, None) => result,
        (_, Some(fault)) => {
            let text = format!("the tool's result does not fit its output schema: {fault}");
            ToolResult::error(&text).because("its result does not fit its output schema")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use serde_json::value::RawValue;
    use taskferry_contract::ToolDefinition;

    use super::*;

    async fn held(result: &str, is_error: bool) -> ToolResult {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let schema = r#"{"type":"object","properties":{"n":{"type":"integer"},"list":{"items":{"anyOf":[{"type":"string"},{"type":"boolean"}]}}},"required":["n"]}"#;
        let checks = ToolChecks::of(&ToolDefinition {
            output_schema: Some(raw(schema)),
            ..ToolDefinition::new("t".parse().unwrap(), raw(r#"{"type":"object"}"#))
        });
        let result = ToolResult {
            result: raw(result),
            is_error,
            summary: None,
            cause: None,
        };
        hold(&Offload::default(), &checks.unwrap(), result).await
    }

    #[tokio::test]
    async fn a_result_that_fits_keeps_its_bytes() {
        let text = r#"{ "content":[], "structuredContent":{"n":1} }"#;
        let result = held(text, false).await;
        assert_eq!((result.result.get(), result.is_error), (text, false));
    }

    #[tokio::test]
    async fn one_that_does_not_becomes_an_error_that_names_the_place() {
        for (text, part) in [
            (
                r#"{"content":[],"structuredContent":{"n":"x"}}"#,
                "structuredContent/n: ",
            ),
            (r#"{"content":[],"structuredContent":{}}"#, "\"n\""),
            (r#"{"content":[]}"#, "it has no structuredContent"),
            (
                r#"{"content":[],"structuredContent":{"n":1,"n":2}}"#,
                "has the name \"n\" twice",
            ),
        ] {
            let result = held(text, false).await;
            let summary = result.summary.unwrap();
            assert!(result.is_error && summary.contains(part), "{summary}");
            assert!(summary.starts_with("the tool's result does not fit its output schema: "));
        }
    }

    #[tokio::test]
    async fn a_large_one_is_reported_by_its_first_fault() {
        let texts = vec!["fits"; 100_000];
        let right = json!({ "structuredContent": { "n": 1, "list": texts } });
        assert!(!held(&right.to_string(), false).await.is_error);
        let numbers: Vec<u32> = (0..100_000).collect();
        let wrong = json!({ "structuredContent": { "n": 1, "list": numbers } });
        let summary = held(&wrong.to_string(), false).await.summary.unwrap();
        assert!(
            summary.ends_with(
                "structuredContent/list/0: the value fits none of the 2 alternatives of anyOf"
            ),
            "{summary}"
        );
    }

    #[tokio::test]
    async fn an_error_is_not_held_to_it() {
        let text = r#"{"content":[],"isError":true}"#;
        assert_eq!(held(text, true).await.result.get(), text);
    }
}
