//! What a command wrote to its standard output, as the result of a tool.

use crate::result::{Expected, ResultFault, ToolResult, passed_through, structured};

/// How standard output becomes a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputMode {
    /// A JSON object is structured content, anything else is text.
    #[default]
    Auto,
    /// Always text.
    Text,
    /// Must be a JSON object, which is structured content.
    Json,
    /// Must be a `CallToolResult`, which is passed through byte for byte.
    Result,
}

impl OutputMode {
    /// The modes with their words in a manifest.
    pub const WORDS: [(&str, Self); 4] = [
        ("auto", Self::Auto),
        ("text", Self::Text),
        ("json", Self::Json),
        ("result", Self::Result),
    ];

    /// The result of a command that ended well, or the error that says why its output is not what the mode asks for.
    #[must_use]
    pub fn result_of_success(self, stdout: &[u8]) -> ToolResult {
        let parsed = match self {
            Self::Text => Ok(plain(stdout)),
            Self::Auto => match structured(stdout) {
                Err(ResultFault::Kind(_)) => Ok(plain(stdout)),
                parsed => parsed,
            },
            Self::Json => structured(stdout),
            Self::Result => passed_through(stdout),
        };
        // Only `Json` and `Result` get here with a fault of kind, whose text says what was wanted.
        let wanted = match self {
            Self::Result => "a CallToolResult, as its manifest promises",
            _ => "a JSON object, as its manifest promises",
        };
        let expected = Expected {
            what: "the tool's output",
            wanted,
        };
        parsed.unwrap_or_else(|fault| {
            ToolResult::error(&fault.text(expected)).because(
                "its output is not what its manifest promises, or not every client could read it",
            )
        })
    }

    /// The error of a command that failed: its standard output, or if that is empty, `otherwise`. In mode `result` a valid
    /// `CallToolResult` is used as it is, but with `isError` true, whatever it says or if it says nothing. Otherwise the
    /// output is text, also if it is a JSON object.
    #[must_use]
    pub fn result_of_failure(self, stdout: &[u8], otherwise: &str) -> ToolResult {
        if self == Self::Result
            && let Ok(result) = passed_through(stdout)
        {
            return result.into_error();
        }
        let text = String::from_utf8_lossy(stdout);
        if text.trim().is_empty() {
            ToolResult::error(otherwise)
        } else {
            ToolResult::error(without_line_end(&text))
        }
    }
}

fn plain(stdout: &[u8]) -> ToolResult {
    let text = String::from_utf8_lossy(stdout);
    ToolResult::text(without_line_end(&text))
}

fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::SUMMARY_CHARS;
    use serde_json::{Value, json};

    fn success(mode: OutputMode, stdout: &str) -> (Value, bool) {
        value(&mode.result_of_success(stdout.as_bytes()))
    }

    fn value(result: &ToolResult) -> (Value, bool) {
        (
            serde_json::from_str(result.result.get()).unwrap(),
            result.is_error,
        )
    }

    fn text_of(text: &str, is_error: bool) -> (Value, bool) {
        let content = json!([{"type": "text", "text": text}]);
        (json!({"content": content, "isError": is_error}), is_error)
    }

    #[test]
    fn auto_takes_an_object_as_structured_content() {
        let result = OutputMode::Auto.result_of_success(b" {\"b\": 1.0, \"a\": 2}\n");
        assert_eq!(
            result.result.get(),
            r#"{"content":[{"type":"text","text":"{\"b\": 1.0, \"a\": 2}"}],"structuredContent":{"b": 1.0, "a": 2},"isError":false}"#
        );
        assert_eq!(result.summary.as_deref(), Some(r#"{"b": 1.0, "a": 2}"#));
    }

    #[test]
    fn auto_takes_anything_else_as_text() {
        for text in [
            "hello\nworld",
            "[1]",
            "{\"a\": 1} trailing",
            "{\"a\": ",
            "12",
            "",
            " x ",
        ] {
            assert_eq!(success(OutputMode::Auto, text), text_of(text, false));
            assert_eq!(
                success(OutputMode::Auto, &format!("{text}\n")),
                text_of(text, false)
            );
        }
        assert_eq!(success(OutputMode::Auto, "x\r\n"), text_of("x", false));
        assert_eq!(success(OutputMode::Auto, "x\n\n"), text_of("x\n", false));
    }

    #[test]
    fn text_is_never_structured() {
        assert_eq!(
            success(OutputMode::Text, "{\"a\": 1}\n"),
            text_of("{\"a\": 1}", false)
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced_in_text() {
        let result = OutputMode::Auto.result_of_success(b"a\xFFb");
        assert_eq!(value(&result), text_of("a\u{FFFD}b", false));
    }

    #[test]
    fn json_asks_for_an_object() {
        assert_eq!(
            success(OutputMode::Json, "{\"a\": 1}").0["structuredContent"],
            json!({"a": 1})
        );
        for bad in [
            &b"[1]"[..],
            b"text",
            b"",
            b"{\"a\":1}{}",
            b"{\"a\":\"\xFF\"}",
        ] {
            let result = OutputMode::Json.result_of_success(bad);
            assert!(result.is_error);
            let summary = result.summary.unwrap();
            assert!(summary.contains("not a JSON object"), "{summary}");
        }
    }

    #[test]
    fn what_not_every_client_can_read_is_an_error_that_says_where() {
        let deep = "[".repeat(250) + &"]".repeat(250);
        for (value, told) in [
            (r#""\ud83d""#, r"has \ud83d, half of a surrogate pair"),
            (r#"{"\uDE00":1}"#, r"has \uDE00, half"),
            (deep.as_str(), "nest deeper than 96 levels"),
            ("1e999", "too large"),
        ] {
            let object = format!(r#"{{"n":{value}}}"#);
            let whole = format!(r#"{{"content":[],"structuredContent":{object}}}"#);
            let meta = format!(r#"{{"content":[],"_meta":{object}}}"#);
            for (mode, stdout, place) in [
                (OutputMode::Auto, &object, "at n"),
                (OutputMode::Json, &object, "at n"),
                (OutputMode::Result, &whole, "at structuredContent/n"),
                (OutputMode::Result, &meta, "at _meta/n"),
            ] {
                let result = mode.result_of_success(stdout.as_bytes());
                assert!(result.is_error, "{mode:?} {stdout}");
                let text = value_text(&result);
                assert!(text.starts_with("the tool's output cannot be read by every client"));
                assert!(text.contains(told) && text.contains(place), "{text}");
            }
            // As a text it harms nobody.
            let text = OutputMode::Text.result_of_success(object.as_bytes());
            assert_eq!((value_text(&text), text.is_error), (object, false));
        }
    }

    fn value_text(result: &ToolResult) -> String {
        let (value, _) = value(result);
        value["content"][0]["text"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_result_passes_byte_for_byte() {
        let text = "{\"z\":1e2, \"content\" : [ {\"type\":\"image\",\"data\":\"\"},\n {\"type\":\"text\",\"text\":\"hi\"} ],\n\"isError\":true,\"_meta\":{},\"structuredContent\":{}}";
        let result = OutputMode::Result.result_of_success(format!(" {text}\n").as_bytes());
        assert_eq!(result.result.get(), text);
        assert!(result.is_error);
        assert_eq!(result.summary.as_deref(), Some("hi"));
    }

    #[test]
    fn a_result_is_checked() {
        for (bad, reason) in [
            ("", "empty"),
            ("hello", "expected value"),
            ("[]", "expected a JSON object"),
            ("{}", "no `content`"),
            (r#"{"content":{}}"#, "not an array"),
            (r#"{"content":["text"]}"#, "string `type`"),
            (r#"{"content":[["text"]]}"#, "string `type`"),
            (r#"{"content":[{"type":1}]}"#, "string `type`"),
            (r#"{"content":[{"type":"text"}]}"#, "string `text`"),
            (r#"{"content":[],"isError":"no"}"#, "`isError`"),
            (r#"{"content":[],"isError":null}"#, "`isError`"),
            (
                r#"{"content":[],"structuredContent":[]}"#,
                "`structuredContent`",
            ),
            (r#"{"content":[],"_meta":null}"#, "`_meta`"),
        ] {
            let result = OutputMode::Result.result_of_success(bad.as_bytes());
            let summary = result.summary.unwrap();
            assert!(
                result.is_error && summary.contains(reason),
                "{bad}: {summary}"
            );
            assert!(summary.contains("not a CallToolResult"), "{summary}");
        }
        assert_eq!(
            success(OutputMode::Result, r#"{"content":[]}"#),
            (json!({"content": []}), false)
        );
    }

    #[test]
    fn a_failure_is_the_output_or_the_other_text() {
        let failure =
            |stdout: &[u8]| value(&OutputMode::Auto.result_of_failure(stdout, "exit code 2"));
        assert_eq!(failure(b"no such month\n"), text_of("no such month", true));
        assert_eq!(failure(b"{\"a\":1}"), text_of("{\"a\":1}", true));
        assert_eq!(failure(b" \n"), text_of("exit code 2", true));
    }

    #[test]
    fn a_failed_result_is_marked_as_error() {
        let failure = |stdout: &str| {
            OutputMode::Result
                .result_of_failure(stdout.as_bytes(), "other")
                .result
                .get()
                .to_owned()
        };
        let marked = r#"{"isError": true,  "content":[]}"#;
        assert_eq!(failure(marked), marked);
        assert_eq!(
            failure(r#"{"content":[ ]}"#),
            r#"{"content":[ ],"isError":true}"#
        );
        assert_eq!(
            failure(r#"{"isError":false,"z":1,"content":[]}"#),
            r#"{"isError":true,"z":1,"content":[]}"#
        );
        assert!(failure("broken").contains("broken"));
        assert!(failure("").contains("other"));
    }

    #[test]
    fn the_summary_is_what_was_said_last() {
        let result = ToolResult::text(&("é".repeat(600) + "the end\n"));
        let end = format!("\u{2026}{}the end", "é".repeat(SUMMARY_CHARS - 8));
        assert_eq!(result.summary, Some(end));
        let whole = "é".repeat(SUMMARY_CHARS);
        assert_eq!(ToolResult::text(&whole).summary, Some(whole));
        assert_eq!(ToolResult::text("  ").summary, None);
    }

    #[test]
    fn the_summary_of_several_texts_ends_with_the_last() {
        let texts = |last: &str| {
            let text = |text: &str| json!({"type": "text", "text": text});
            let content = [text("reading"), json!({"type": "image"}), text(last)];
            let result = json!({"content": content, "isError": true}).to_string();
            OutputMode::Result
                .result_of_success(result.as_bytes())
                .summary
        };
        assert_eq!(texts("no disk").as_deref(), Some("reading\nno disk"));
        let long = texts(&("x".repeat(600) + "no disk")).unwrap();
        assert_eq!(long.chars().count(), SUMMARY_CHARS);
        assert!(long.ends_with("no disk"), "{long}");
    }
}
