//! Event streams, as WHATWG HTML describes them, but that a line ends with LF or CRLF and not with CR alone.

use std::collections::VecDeque;

/// What stands between two empty lines, without comments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// The id after which a client that was cut off goes on.
    pub id: Option<String>,
    /// How long such a client waits, ms.
    pub retry_ms: Option<u64>,
    /// A message as JSON; empty in an event that only brings an id.
    pub data: String,
}

/// Takes bytes as they come and gives whole events.
#[derive(Debug, Default)]
pub struct Events {
    line: Vec<u8>,
    event: Option<Event>,
    whole: VecDeque<Event>,
}

impl Events {
    /// All events of a text.
    #[must_use]
    pub fn of(text: &str) -> Vec<Event> {
        let mut events = Self::default();
        events.push(text.as_bytes());
        events.whole.into()
    }

    /// Takes what came.
    pub fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.pop_if(|last| *last == b'\n').is_some() {
                self.line.pop_if(|last| *last == b'\r');
                let line = std::mem::take(&mut self.line);
                self.take(&String::from_utf8_lossy(&line));
            }
        }
    }

    /// The next event, if it is whole.
    pub fn pop(&mut self) -> Option<Event> {
        self.whole.pop_front()
    }

    fn take(&mut self, line: &str) {
        if line.is_empty() {
            self.whole.extend(self.event.take());
            return;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if name.is_empty() {
            return;
        }
        let value = value.strip_prefix(' ').unwrap_or(value);
        let event = self.event.get_or_insert_default();
        match name {
            "id" => event.id = Some(value.to_owned()),
            "retry" => event.retry_ms = value.parse().ok(),
            "data" => {
                if !event.data.is_empty() {
                    event.data.push('\n');
                }
                event.data.push_str(value);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = ": hello\n\nid: 1\nretry: 50\ndata:\n\nid: 2\ndata: {\"a\":\ndata: \"ä\"}\r\n\r\n: still here\n\ndata: half";

    #[test]
    fn events_are_whole_and_comments_are_none() {
        let [first, second] = <[Event; 2]>::try_from(Events::of(TEXT)).unwrap();
        assert_eq!(
            (first.id.as_deref(), first.retry_ms, first.data.as_str()),
            (Some("1"), Some(50), "")
        );
        assert_eq!(
            (second.id.as_deref(), second.data.as_str()),
            (Some("2"), "{\"a\":\n\"ä\"}")
        );
    }

    #[test]
    fn it_does_not_matter_where_the_pieces_begin() {
        let mut events = Events::default();
        for byte in TEXT.as_bytes() {
            events.push(&[*byte]);
        }
        assert_eq!(Vec::from(events.whole), Events::of(TEXT));
    }
}
