//! Lines out of a byte stream, and the last of them, in bounded memory.

use std::collections::VecDeque;

/// The longest line that is kept, in bytes; what is beyond is thrown away.
pub const LINE_BYTES: usize = 8 * 1024;

/// The longest line that puts a question, in bytes.
pub const ASK_LINE_BYTES: usize = 64 * 1024;

/// What such a line begins with.
const ASK: &[u8] = b"::ask ";

/// How many plain lines are kept for the text of an error.
pub const TAIL_LINES: usize = 20;

/// Cuts chunks of bytes into lines of at most [`LINE_BYTES`], those that put questions of at most [`ASK_LINE_BYTES`].
///
/// Bytes that are not UTF-8 become U+FFFD. A carriage return before the line
/// end is dropped.
#[derive(Debug, Default)]
pub struct LineSplitter {
    line: Vec<u8>,
    cut: bool,
}

impl LineSplitter {
    /// Takes the next bytes and hands over each line they complete.
    pub fn push(&mut self, chunk: &[u8], mut on_line: impl FnMut(String)) {
        for piece in chunk.split_inclusive(|&byte| byte == b'\n') {
            let (body, complete) = match piece.split_last() {
                Some((b'\n', body)) => (body, true),
                _ => (piece, false),
            };
            self.extend(body);
            if complete {
                on_line(self.take());
            }
        }
    }

    fn extend(&mut self, body: &[u8]) {
        // What kind of line it is shows in its first bytes, which may come one by one.
        let head = ASK.len().saturating_sub(self.line.len()).min(body.len());
        let (head, rest) = body.split_at(head);
        self.line.extend_from_slice(head);
        let most = if self.line.starts_with(ASK) {
            ASK_LINE_BYTES
        } else {
            LINE_BYTES
        };
        let room = most.saturating_sub(self.line.len());
        let kept = rest.get(..room).unwrap_or(rest);
        self.line.extend_from_slice(kept);
        self.cut |= kept.len() < rest.len();
    }

    /// The last line, if the stream ended without a line end.
    #[must_use]
    pub fn finish(mut self) -> Option<String> {
        (!self.line.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        if std::mem::take(&mut self.cut) {
            drop_split_character(&mut self.line);
        } else if self.line.ends_with(b"\r") {
            self.line.pop();
        }
        let line = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        line
    }
}

/// Removes a character whose last bytes were cut off.
fn drop_split_character(line: &mut Vec<u8>) {
    let from_end = line.iter().rev().take(4).position(|byte| *byte >= 0xC0);
    if let Some(from_end) = from_end {
        let start = line.len().saturating_sub(from_end + 1);
        let character = line.get(start..).unwrap_or_default();
        let incomplete = std::str::from_utf8(character).is_err_and(|e| e.error_len().is_none());
        if incomplete {
            line.truncate(start);
        }
    }
}

/// The last [`TAIL_LINES`] lines.
#[derive(Debug, Default)]
pub struct Tail(VecDeque<String>);

impl Tail {
    /// Adds a line; the oldest goes when there are too many.
    pub fn push(&mut self, line: String) {
        if self.0.len() == TAIL_LINES {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    /// The lines as one text without blank ends; empty if there are none.
    #[must_use]
    pub fn text(&self) -> String {
        let lines: Vec<&str> = self.0.iter().map(String::as_str).collect();
        lines.join("\n").trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<String> {
        let mut splitter = LineSplitter::default();
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.push(chunk, |line| lines.push(line));
        }
        lines.extend(splitter.finish());
        lines
    }

    #[test]
    fn joins_chunks_and_splits_lines() {
        let lines = split(&[b"on", b"e\ntwo\r\n\nthr", b"ee"]);
        assert_eq!(lines, ["one", "two", "", "three"]);
        assert_eq!(split(&[b"a\n"]), ["a"]);
        assert!(split(&[b""]).is_empty());
    }

    #[test]
    fn cuts_a_long_line_and_goes_on_with_the_next() {
        let long = vec![b'x'; 3 * LINE_BYTES];
        let lines = split(&[&long, &long, b"\nnext\n"]);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], "x".repeat(LINE_BYTES));
        assert_eq!(lines[1], "next");
    }

    #[test]
    fn a_line_of_exactly_the_bound_is_whole() {
        let line = "y".repeat(LINE_BYTES);
        assert_eq!(split(&[line.as_bytes(), b"\n"]), [line]);
    }

    #[test]
    fn replaces_invalid_utf8() {
        assert_eq!(split(&[b"a\xFFb\n"]), ["a\u{FFFD}b"]);
    }

    #[test]
    fn a_cut_leaves_no_half_character() {
        let text = "x".repeat(LINE_BYTES - 1) + "€€";
        let lines = split(&[text.as_bytes()]);
        assert_eq!(lines[0], "x".repeat(LINE_BYTES - 1));
        let fitting = "x".repeat(LINE_BYTES - 3) + "€€";
        assert_eq!(
            split(&[fitting.as_bytes()])[0],
            "x".repeat(LINE_BYTES - 3) + "€"
        );
    }

    #[test]
    fn keeps_the_last_lines() {
        let mut tail = Tail::default();
        assert_eq!(tail.text(), "");
        for number in 1..=25 {
            tail.push(number.to_string());
        }
        let text = tail.text();
        assert!(
            text.starts_with("6\n7\n") && text.ends_with("\n25"),
            "{text}"
        );
    }
}
