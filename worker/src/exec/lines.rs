//! Lines out of a byte stream, and the last of them, in bounded memory.

use std::collections::VecDeque;

/// The longest line that is kept, in bytes. Of a longer plain line the end is kept, which is what was said last; of a
/// longer report the beginning, which says what it is.
pub const LINE_BYTES: usize = 8 * 1024;

/// The longest line that asks a question, in bytes.
pub const ASK_LINE_BYTES: usize = 64 * 1024;

/// How a line begins that asks a question.
const ASK: &[u8] = b"::ask ";

/// How every report begins.
const REPORT: &[u8] = b"::";

/// Stands for the beginning of a line that was cut.
const CUT: char = '\u{2026}';

/// How many plain lines are kept for the text of an error.
pub const TAIL_LINES: usize = 20;

/// A line without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputLine {
    /// What it says.
    pub text: String,
    /// Whether the line before ended in a carriage return alone, so that this one is written over it, as progress bars do.
    pub replaces: bool,
}

/// Cuts chunks of bytes into lines of at most [`LINE_BYTES`], those that put questions of at most [`ASK_LINE_BYTES`].
///
/// A line ends with a line feed, a carriage return, or both. Bytes that are not UTF-8 become U+FFFD.
#[derive(Debug, Default)]
pub struct LineSplitter {
    line: Vec<u8>,
    is_cut: bool,
    /// Whether a report is as long as it may be: the rest of it is dropped.
    is_full: bool,
    /// Whether a line has just ended with a carriage return.
    returned: bool,
}

impl LineSplitter {
    /// Takes the next bytes and hands over each line they complete.
    pub fn push(&mut self, chunk: &[u8], mut on_line: impl FnMut(OutputLine)) {
        for piece in chunk.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let (body, end) = match piece.split_last() {
                Some((end @ (b'\n' | b'\r'), body)) => (body, Some(*end)),
                _ => (piece, None),
            };
            self.extend(body);
            match end {
                Some(b'\r') if !self.line.is_empty() => {
                    on_line(self.take());
                    self.returned = true;
                }
                // The second half of the line end.
                Some(b'\n') if self.line.is_empty() && self.returned => self.returned = false,
                Some(b'\n') => {
                    on_line(self.take());
                    self.returned = false;
                }
                _ => {}
            }
        }
    }

    fn extend(&mut self, body: &[u8]) {
        if self.is_full {
            return;
        }
        // What kind of line it is shows in its first bytes, which may come one by one.
        let head = ASK.len().saturating_sub(self.line.len()).min(body.len());
        let (head, rest) = body.split_at(head);
        self.line.extend_from_slice(head);
        let most = match self.line.as_slice() {
            // What a plain line that was cut begins with now stood in its middle.
            ask if ask.starts_with(ASK) && !self.is_cut => ASK_LINE_BYTES,
            report if report.starts_with(REPORT) && !self.is_cut => LINE_BYTES,
            _plain => {
                self.line.extend_from_slice(rest);
                if self.line.len() > 2 * LINE_BYTES {
                    self.keep_end(LINE_BYTES);
                }
                return;
            }
        };
        let room = most.saturating_sub(self.line.len());
        self.line
            .extend_from_slice(rest.get(..room).unwrap_or(rest));
        if room < rest.len() {
            drop_split_character(&mut self.line);
            self.is_full = true;
        }
    }

    fn keep_end(&mut self, bytes: usize) {
        let excess = self.line.len().saturating_sub(bytes);
        self.line.drain(..excess);
        self.is_cut = true;
    }

    /// The last line, if the stream ended without a line end.
    #[must_use]
    pub fn finish(mut self) -> Option<OutputLine> {
        (!self.line.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> OutputLine {
        let is_plain = self.is_cut || !self.line.starts_with(REPORT);
        if is_plain && (self.is_cut || self.line.len() > LINE_BYTES) {
            self.keep_end(LINE_BYTES - CUT.len_utf8());
        }
        let mut text = String::new();
        let mut line = self.line.as_slice();
        if std::mem::take(&mut self.is_cut) {
            text.push(CUT);
            line = without_split_character(line);
        }
        text.push_str(&String::from_utf8_lossy(line));
        self.line.clear();
        self.is_full = false;
        OutputLine {
            text,
            replaces: self.returned,
        }
    }
}

/// Without the last bytes of a character whose first were cut off.
fn without_split_character(line: &[u8]) -> &[u8] {
    let is_inner = |byte: &&u8| **byte & 0xC0 == 0x80;
    let inner = line.iter().take(3).take_while(is_inner).count();
    line.get(inner..).unwrap_or_default()
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
    /// Puts a line in the place of the last one.
    pub fn replace_last(&mut self, line: String) {
        self.0.pop_back();
        self.push(line);
    }

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

    fn cut(chunks: &[&[u8]]) -> Vec<OutputLine> {
        let mut splitter = LineSplitter::default();
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.push(chunk, |line| lines.push(line));
        }
        lines.extend(splitter.finish());
        lines
    }

    fn split(chunks: &[&[u8]]) -> Vec<String> {
        cut(chunks).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn joins_chunks_and_splits_lines() {
        let lines = split(&[b"on", b"e\ntwo\r\n\nthr", b"ee"]);
        assert_eq!(lines, ["one", "two", "", "three"]);
        assert_eq!(split(&[b"a\n"]), ["a"]);
        assert!(split(&[b""]).is_empty());
    }

    #[test]
    fn it_does_not_matter_in_which_pieces_a_long_line_comes() {
        let euros = "\u{20ac}".repeat(ASK_LINE_BYTES / 2);
        let report = format!("::log info {euros}\nnext");
        let question = format!("::ask k roots {euros}\nnext");
        // When it is cut, a question stands at its beginning.
        let tail = format!("::ask k roots {}", "x".repeat(LINE_BYTES - 14));
        let plain = format!("{}{tail}{tail}\nnext", "y".repeat(LINE_BYTES + 1));
        for text in [report, question, plain] {
            let whole = split(&[text.as_bytes()]);
            for size in [7, 1000, LINE_BYTES, LINE_BYTES + 1] {
                let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
                assert!(split(&pieces) == whole, "{size}: {:.40}", text);
            }
        }
    }

    #[test]
    fn a_carriage_return_ends_a_line_that_the_next_is_written_over() {
        let lines = |chunks| {
            let lines = cut(chunks).into_iter();
            lines
                .map(|line| (line.text, line.replaces))
                .collect::<Vec<_>>()
        };
        let told = |lines: &[(&str, bool)]| -> Vec<(String, bool)> {
            let lines = lines.iter();
            lines
                .map(|(text, over)| ((*text).to_owned(), *over))
                .collect()
        };
        let bar = told(&[("1%", false), ("2%", true), ("3%", true), ("failed", false)]);
        assert_eq!(lines(&[b"\r1%\r2%\r3%\nfailed\n"]), bar);
        assert_eq!(lines(&[b"1%\r", b"\r2%", b"\r", b"3%\r", b"\nfailed"]), bar);
        assert_eq!(lines(&[b"1%\r\r2%\r3%\r\r\nfailed"]), bar);
        assert_eq!(
            lines(&[b"\r\n\r\na\r", b"\n", b"\n"]),
            told(&[("", false), ("", false), ("a", false), ("", false)])
        );
    }

    #[test]
    fn of_a_long_line_the_end_is_kept() {
        let long = vec![b'x'; 3 * LINE_BYTES];
        let lines = split(&[&long, &long, b"the error\nnext\n"]);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].len(), LINE_BYTES);
        assert!(lines[0].starts_with("\u{2026}xx") && lines[0].ends_with("xthe error"));
        assert_eq!(lines[1], "next");
    }

    #[test]
    fn memory_is_bounded_however_long_a_line_is() {
        let mut splitter = LineSplitter::default();
        for _ in 0..1000 {
            splitter.push(&[b'x'; 1000], |_| {});
            assert!(splitter.line.capacity() <= 8 * LINE_BYTES);
        }
    }

    #[test]
    fn of_a_long_report_the_beginning_is_kept() {
        let report = [b"::message ".as_slice(), &vec![b'x'; 3 * LINE_BYTES]].concat();
        let lines = split(&[&report, b"\n"]);
        assert_eq!(lines[0].len(), LINE_BYTES);
        assert!(lines[0].starts_with("::message xx"));
    }

    #[test]
    fn the_end_of_a_long_line_is_no_report() {
        let report = "::message x".repeat(LINE_BYTES);
        let lines = split(&[b"a", report.as_bytes()]);
        assert!(lines[0].starts_with('\u{2026}'), "{:.20}", lines[0]);
        let aligned = [vec![b'y'; 3 * LINE_BYTES], vec![b':'; LINE_BYTES]].concat();
        let lines = split(&[&aligned, b"::", b"progress 1"]);
        assert!(lines[0].ends_with("::progress 1"));
        assert!(lines[0].starts_with('\u{2026}'));
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
        let report = "::".to_owned() + &"x".repeat(LINE_BYTES - 3);
        let lines = split(&[(report.clone() + "\u{20ac}\u{20ac}").as_bytes()]);
        assert_eq!(lines[0], report);
        let fitting = "::".to_owned() + &"x".repeat(LINE_BYTES - 5) + "\u{20ac}";
        assert_eq!(
            split(&[(fitting.clone() + "\u{20ac}").as_bytes()])[0],
            fitting
        );
        for more in 0..3 {
            let plain = "\u{20ac}".repeat(LINE_BYTES) + &"z".repeat(more);
            let line = &split(&[plain.as_bytes()])[0];
            assert!(line.len() <= LINE_BYTES && !line.contains('\u{fffd}'));
            assert!(line.starts_with("\u{2026}\u{20ac}"));
        }
    }

    #[test]
    fn a_line_may_take_the_place_of_the_last() {
        let mut tail = Tail::default();
        tail.replace_last("1%".to_owned());
        tail.replace_last("2%".to_owned());
        assert_eq!(tail.text(), "2%");
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
