//! What a command wrote to its standard output, as the result of a tool.

use std::fmt;

use serde_json::value::RawValue;
use taskferry_contract::{PART_DEPTH, Unreadable, check_readable};

use super::json_object::JsonObject;

/// The longest summary, in characters.
pub const SUMMARY_CHARS: usize = 500;

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
}

/// A `CallToolResult` with what the worker needs to know of it.
#[derive(Clone)]
pub struct ToolResult {
    /// The JSON object, as it goes to the client.
    pub result: Box<RawValue>,
    /// Whether the tool reports an error.
    pub is_error: bool,
    /// The end of its text contents, at most [`SUMMARY_CHARS`]; the status
    /// message of a failed task, which shows what was said last.
    pub summary: Option<String>,
    /// Why it is an error, in words of the worker's own, for its log: nothing that the tool or its caller wrote.
    pub cause: Option<String>,
}

impl ToolResult {
    /// A result with one text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::build(text, None, false)
    }

    /// An error with one text.
    #[must_use]
    pub fn error(text: &str) -> Self {
        Self::build(text, None, true)
    }

    /// The same, with why it is an error, in words that the log may show.
    #[must_use]
    pub fn because(self, cause: impl Into<String>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..self
        }
    }

    /// The result of a command that ended well, or the error that says why its
    /// output is not what `mode` asks for.
    #[must_use]
    pub fn from_success(mode: OutputMode, stdout: &[u8]) -> Self {
        let parsed = match mode {
            OutputMode::Text => Ok(plain(stdout)),
            OutputMode::Auto => match structured(stdout) {
                Err(Misfit::Kind(_)) => Ok(plain(stdout)),
                parsed => parsed,
            },
            OutputMode::Json => structured(stdout),
            OutputMode::Result => passed_through(stdout),
        };
        let wanted = match mode {
            OutputMode::Result => "a CallToolResult, as its manifest promises",
            _ => "a JSON object, as its manifest promises",
        };
        parsed.unwrap_or_else(|misfit| {
            Self::error(&misfit.text("the tool's output", wanted)).because(
                "its output is not what its manifest promises, or not every client could read it",
            )
        })
    }

    /// The error of a command that failed: its standard output, or if that is
    /// empty, `otherwise`. In mode `result` a valid `CallToolResult` is used as
    /// it is, with `isError` set to true if it says something else.
    #[must_use]
    pub fn from_failure(mode: OutputMode, stdout: &[u8], otherwise: &str) -> Self {
        if mode == OutputMode::Result
            && let Ok(result) = passed_through(stdout)
        {
            return result.into_error();
        }
        let text = String::from_utf8_lossy(stdout);
        if text.trim().is_empty() {
            Self::error(otherwise)
        } else {
            Self::error(without_line_end(&text))
        }
    }

    fn into_error(self) -> Self {
        if self.is_error {
            return self;
        }
        let result = JsonObject::parse(self.result.get())
            .map(|object| object.with_last("isError", "true"))
            .and_then(RawValue::from_string)
            .unwrap_or(self.result);
        Self {
            result,
            is_error: true,
            summary: self.summary,
            cause: self.cause,
        }
    }

    fn build(text: &str, structured: Option<&str>, is_error: bool) -> Self {
        let quoted = serde_json::Value::from(text).to_string();
        let structured = structured
            .map(|object| format!(r#","structuredContent":{object}"#))
            .unwrap_or_default();
        let json = format!(
            r#"{{"content":[{{"type":"text","text":{quoted}}}]{structured},"isError":{is_error}}}"#
        );
        Self {
            result: RawValue::from_string(json)
                .expect("quoted text and checked JSON make valid JSON"),
            is_error,
            summary: end_of(text, SUMMARY_CHARS),
            cause: None,
        }
    }
}

impl fmt::Debug for ToolResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolResult")
            .field("bytes", &self.result.get().len())
            .field("is_error", &self.is_error)
            .field("summary", &self.summary)
            .finish()
    }
}

/// Why bytes are not the result that was wanted.
#[derive(Debug)]
pub(crate) enum Misfit {
    /// They are something else.
    Kind(String),
    /// They are, but not every client could read them.
    Unreadable(Unreadable),
}

impl Misfit {
    /// The text of the error, in which `what` should be `wanted`.
    pub(crate) fn text(&self, what: &str, wanted: &str) -> String {
        match self {
            Self::Kind(reason) => format!("{what} is not {wanted}: {reason}"),
            Self::Unreadable(error) => format!("{what} cannot be read by every client: {error}"),
        }
    }
}

impl From<String> for Misfit {
    fn from(reason: String) -> Self {
        Self::Kind(reason)
    }
}

impl From<Unreadable> for Misfit {
    fn from(error: Unreadable) -> Self {
        Self::Unreadable(error)
    }
}

fn plain(stdout: &[u8]) -> ToolResult {
    let text = String::from_utf8_lossy(stdout);
    ToolResult::text(without_line_end(&text))
}

/// A JSON object as structured content.
pub(crate) fn structured(stdout: &[u8]) -> Result<ToolResult, Misfit> {
    let text = json_text(stdout)?;
    JsonObject::parse(text).map_err(|error| error.to_string())?;
    check_readable(text, PART_DEPTH)?;
    Ok(ToolResult::build(text, Some(text), false))
}

/// A `CallToolResult` as it is.
pub(crate) fn passed_through(stdout: &[u8]) -> Result<ToolResult, Misfit> {
    let text = json_text(stdout)?;
    let object = JsonObject::parse(text).map_err(|error| error.to_string())?;
    check_readable(text, PART_DEPTH)?;
    let content = object.get("content");
    let content = content.ok_or_else(|| "it has no `content`".to_owned())?;
    let items: Vec<&RawValue> = serde_json::from_str(content)
        .map_err(|_not_a_list| "its `content` is not an array".to_owned())?;
    let mut said = String::new();
    for item in items {
        if let Some(text) = check_content(item.get())? {
            said = end_of(&format!("{said}\n{text}"), SUMMARY_CHARS).unwrap_or_default();
        }
    }
    for name in ["structuredContent", "_meta"] {
        if object
            .get(name)
            .is_some_and(|json| JsonObject::parse(json).is_err())
        {
            return Err(format!("its `{name}` is not an object").into());
        }
    }
    let is_error = match object.get("isError") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => {
            return Err("its `isError` is neither true nor false".to_owned().into());
        }
    };
    let result = RawValue::from_string(text.to_owned()).map_err(|error| error.to_string())?;
    Ok(ToolResult {
        result,
        is_error,
        summary: Some(said).filter(|said| !said.is_empty()),
        cause: None,
    })
}

/// The text of a text content; nothing for another kind.
fn check_content(json: &str) -> Result<Option<String>, String> {
    let wrong = || "an entry of its `content` is not an object with a string `type`".to_owned();
    let item = JsonObject::parse(json).map_err(|_not_an_object| wrong())?;
    let kind = item.string("type").ok_or_else(wrong)?;
    if kind != "text" {
        return Ok(None);
    }
    let text = item.string("text");
    text.map(Some)
        .ok_or_else(|| "a text entry of its `content` has no string `text`".to_owned())
}

fn json_text(stdout: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(stdout).map_err(|error| error.to_string())?;
    match text.trim() {
        "" => Err("it is empty".to_owned()),
        text => Ok(text),
    }
}

fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// The last `most` characters of a text without blank ends, with an ellipsis for what is left out; nothing if it says
/// nothing.
pub(crate) fn end_of(text: &str, most: usize) -> Option<String> {
    let text = text.trim();
    let mut from_the_end = text.char_indices().rev();
    // Where the part that fits begins, and whether there is more.
    let begin = from_the_end.by_ref().take(most).last()?.0;
    if begin == 0 {
        return Some(text.to_owned());
    }
    let kept = text.get(begin..).unwrap_or_default();
    let mut end = String::from('\u{2026}');
    end.extend(kept.chars().skip(1));
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn success(mode: OutputMode, stdout: &str) -> (Value, bool) {
        value(&ToolResult::from_success(mode, stdout.as_bytes()))
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
        let result = ToolResult::from_success(OutputMode::Auto, b" {\"b\": 1.0, \"a\": 2}\n");
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
        let result = ToolResult::from_success(OutputMode::Auto, b"a\xFFb");
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
            let result = ToolResult::from_success(OutputMode::Json, bad);
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
                let result = ToolResult::from_success(mode, stdout.as_bytes());
                assert!(result.is_error, "{mode:?} {stdout}");
                let text = value_text(&result);
                assert!(text.starts_with("the tool's output cannot be read by every client"));
                assert!(text.contains(told) && text.contains(place), "{text}");
            }
            // As a text it harms nobody.
            let text = ToolResult::from_success(OutputMode::Text, object.as_bytes());
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
        let result = ToolResult::from_success(OutputMode::Result, format!(" {text}\n").as_bytes());
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
            let result = ToolResult::from_success(OutputMode::Result, bad.as_bytes());
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
        let failure = |stdout: &[u8]| {
            value(&ToolResult::from_failure(
                OutputMode::Auto,
                stdout,
                "exit code 2",
            ))
        };
        assert_eq!(failure(b"no such month\n"), text_of("no such month", true));
        assert_eq!(failure(b"{\"a\":1}"), text_of("{\"a\":1}", true));
        assert_eq!(failure(b" \n"), text_of("exit code 2", true));
    }

    #[test]
    fn a_failed_result_is_marked_as_error() {
        let failure = |stdout: &str| {
            ToolResult::from_failure(OutputMode::Result, stdout.as_bytes(), "other")
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
            r#"{"z":1,"content":[],"isError":true}"#
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
            ToolResult::from_success(OutputMode::Result, result.as_bytes()).summary
        };
        assert_eq!(texts("no disk").as_deref(), Some("reading\nno disk"));
        let long = texts(&("x".repeat(600) + "no disk")).unwrap();
        assert_eq!(long.chars().count(), SUMMARY_CHARS);
        assert!(long.ends_with("no disk"), "{long}");
    }
}
