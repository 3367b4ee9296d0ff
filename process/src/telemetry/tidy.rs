//! Log lines stay lines: what others wrote in their values can neither forge a line, nor speak to a terminal, nor fill a
//! disk with one request.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::Value;
use taskferry_contract::cut;

/// The longest line, and in a longer JSON line the longest text of a field, bytes.
const LONGEST_LINE: usize = 16 << 10;
const LONGEST_FIELD: usize = 1 << 10;

/// A line for people, with its end.
pub(super) fn text(line: &[u8]) -> Cow<'_, [u8]> {
    tidy(line, |line| {
        let mut written = String::with_capacity(line.len());
        for c in cut(line, LONGEST_LINE).chars() {
            if is_harmless(c) {
                written.push(c);
            } else {
                written.extend(c.escape_default());
            }
        }
        written
    })
}

/// A JSON object, with its end. What JSON must escape is escaped already.
pub(super) fn json(line: &[u8]) -> Cow<'_, [u8]> {
    tidy(line, |line| {
        let short = (line.len() > LONGEST_LINE).then(|| short(line));
        let line = short.as_deref().unwrap_or(line);
        let mut written = String::with_capacity(line.len());
        for c in line.chars() {
            if is_harmless(c) {
                written.push(c);
            } else {
                // All of them are within sixteen bits, and can stand in strings alone.
                _ = write!(written, "\\u{:04x}", u32::from(c));
            }
        }
        written
    })
}

fn tidy<'a>(line: &'a [u8], rewrite: impl FnOnce(&str) -> String) -> Cow<'a, [u8]> {
    let body = line.strip_suffix(b"\n").unwrap_or(line);
    let text = String::from_utf8_lossy(body);
    let is_text = matches!(text, Cow::Borrowed(_));
    if is_text && body.len() <= LONGEST_LINE && text.chars().all(is_harmless) {
        return Cow::Borrowed(line);
    }
    let mut written = rewrite(&text);
    written.push('\n');
    Cow::Owned(written.into_bytes())
}

/// Whether a character neither ends a line nor moves what is shown of it: no control character, separator of lines, or
/// override of the direction of writing.
fn is_harmless(c: char) -> bool {
    let moves =
        matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !moves
}

/// The same object with its long texts cut; if it is long even so, one that says so.
fn short(line: &str) -> String {
    let read: Option<Value> = serde_json::from_str(line).ok();
    let short = read.map(|mut value| {
        shorten(&mut value);
        value.to_string()
    });
    short
        .filter(|short| short.len() <= LONGEST_LINE)
        .unwrap_or_else(|| {
            let text = format!("a log line of {} bytes is left out", line.len());
            serde_json::json!({ "level": "WARN", "fields": { "message": text }, "target": "log" })
                .to_string()
        })
}

fn shorten(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > LONGEST_FIELD => {
            *text = cut(text, LONGEST_FIELD).into_owned();
        }
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Object(members) => members.values_mut().for_each(shorten),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_forge_a_line_or_speak_to_a_terminal() {
        let forged = "INFO client=a\u{1b}[2J\nERROR all is lost\r\u{9b}1m\u{2028}\u{202e}é\n";
        let tidy = text(forged.as_bytes());
        let expected =
            "INFO client=a\\u{1b}[2J\\nERROR all is lost\\r\\u{9b}1m\\u{2028}\\u{202e}é\n";
        assert_eq!(std::str::from_utf8(&tidy).unwrap(), expected);
        assert!(matches!(text(b"plain\n"), Cow::Borrowed(b"plain\n")));
        assert_eq!(&*text(b"\xff\n"), "\u{fffd}\n".as_bytes());
    }

    #[test]
    fn a_json_line_stays_one_object() {
        let line = format!(
            "{}\n",
            serde_json::json!({ "a": "\n\u{7f}\u{9b}\u{2029}é" })
        );
        let tidy = json(line.as_bytes());
        assert!(
            std::str::from_utf8(&tidy)
                .unwrap()
                .chars()
                .all(|c| is_harmless(c) || c == '\n')
        );
        let read: Value = serde_json::from_slice(&tidy).unwrap();
        assert_eq!(read["a"], "\n\u{7f}\u{9b}\u{2029}é");
    }

    #[test]
    fn long_lines_are_cut() {
        let long = "x".repeat(1 << 20);
        let tidy = text(long.as_bytes());
        assert!(tidy.len() < LONGEST_LINE + 8 && tidy.ends_with("…\n".as_bytes()));
        let line =
            serde_json::json!({ "level": "INFO", "fields": { "message": "m", "client": long } });
        let read: Value = serde_json::from_slice(&json(line.to_string().as_bytes())).unwrap();
        assert_eq!(read["fields"]["message"], "m");
        assert!(read["fields"]["client"].as_str().unwrap().len() <= LONGEST_FIELD + 3);
        let many = Value::from(vec!["y"; 1 << 16]);
        let read: Value = serde_json::from_slice(&json(many.to_string().as_bytes())).unwrap();
        assert!(
            read["fields"]["message"]
                .as_str()
                .unwrap()
                .contains("left out")
        );
    }
}
