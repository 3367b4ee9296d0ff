//! Lines that wait to be written: bounded, and those that find no room are counted.

use std::collections::VecDeque;
use std::mem;

/// What is to be written next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A line, with its end.
    Line(Vec<u8>),
    /// A note that so many lines are missing here.
    Lost(u64),
}

/// The lines in their order.
#[derive(Debug)]
pub(super) struct Lines {
    waiting: VecDeque<Next>,
    bytes: usize,
    most_bytes: usize,
    /// Lines that were lost and that no note counts yet.
    lost: u64,
}

impl Lines {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes: 0,
            most_bytes,
            lost: 0,
        }
    }

    /// Adds a line, or counts it if there is no room. A note of those that were lost goes before the next that is not.
    pub(super) fn push(&mut self, line: &[u8]) {
        if self.bytes.saturating_add(line.len()) > self.most_bytes {
            return self.count_lost(1);
        }
        match mem::take(&mut self.lost) {
            0 => {}
            lost => self.waiting.push_back(Next::Lost(lost)),
        }
        self.bytes += line.len();
        self.waiting.push_back(Next::Line(line.to_vec()));
    }

    /// Counts lines that could not be written.
    pub(super) fn count_lost(&mut self, lines: u64) {
        self.lost = self.lost.saturating_add(lines);
    }

    /// Whether no line waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next to be written. When no line waits, that is a note of those that were lost since, if it is `worth_a_note`.
    pub(super) fn next(&mut self, worth_a_note: bool) -> Option<Next> {
        let next = self.waiting.pop_front();
        match next {
            Some(Next::Line(line)) => {
                self.bytes -= line.len();
                Some(Next::Line(line))
            }
            None if worth_a_note && self.lost > 0 => Some(Next::Lost(mem::take(&mut self.lost))),
            next => next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Option<Next> {
        Some(Next::Line(text.as_bytes().to_vec()))
    }

    #[test]
    fn what_finds_no_room_is_counted_where_it_is_missing() {
        let mut lines = Lines::new(4);
        for text in ["aa", "bb", "cc", "dd"] {
            lines.push(text.as_bytes());
        }
        assert_eq!(lines.next(true), line("aa"));
        lines.push(b"ee");
        lines.push(b"f");
        let rest = [(); 5].map(|()| lines.next(true));
        let expected = [
            line("bb"),
            Some(Next::Lost(2)),
            line("ee"),
            Some(Next::Lost(1)),
            None,
        ];
        assert_eq!(rest, expected);
    }

    #[test]
    fn a_line_that_never_fits_is_lost_alone() {
        let mut lines = Lines::new(4);
        lines.push(b"longer");
        lines.push(b"ok");
        assert_eq!(lines.next(false), Some(Next::Lost(1)));
        assert_eq!(lines.next(false), line("ok"));
    }

    #[test]
    fn nothing_is_noted_where_nothing_can_be_written() {
        let mut lines = Lines::new(4);
        lines.count_lost(3);
        assert_eq!(lines.next(false), None);
        assert_eq!(lines.next(true), Some(Next::Lost(3)));
        assert_eq!(lines.next(true), None);
    }
}
