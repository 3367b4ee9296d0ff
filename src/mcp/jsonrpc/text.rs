//! The text of a message, in pieces: what is large and shared with others is not copied into it.

use std::ops::Range;

use taskferry_contract::{Part, SharedJson};

/// A shared piece of so many bytes costs less to copy than to keep apart.
const WORTH_SHARING: usize = 4 << 10;

/// The text of a message, or a part of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Text(Vec<Piece>);

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Own(String),
    /// A part of a text that others may hold, too.
    Shared(SharedJson, Range<usize>),
}

impl Text {
    /// All of a shared text.
    pub(crate) fn of(json: &SharedJson) -> Self {
        let mut text = Self::default();
        text.share(json, 0..json.len());
        text
    }

    /// A shared text into which something was written.
    pub(crate) fn of_parts(json: &SharedJson, parts: Vec<Part>) -> Self {
        let mut text = Self::default();
        for part in parts {
            match part {
                Part::Kept(range) => text.share(json, range),
                Part::New(new) => text.push(&new),
            }
        }
        text
    }

    pub(crate) fn push(&mut self, more: &str) {
        match self.0.last_mut() {
            Some(Piece::Own(last)) => last.push_str(more),
            _ => self.0.push(Piece::Own(more.to_owned())),
        }
    }

    pub(crate) fn append(&mut self, more: Self) {
        for piece in more.0 {
            match piece {
                Piece::Own(own) => self.push(&own),
                shared @ Piece::Shared(..) => self.0.push(shared),
            }
        }
    }

    fn share(&mut self, json: &SharedJson, range: Range<usize>) {
        match json.get(range.clone()) {
            Some(short) if short.len() < WORTH_SHARING => self.push(short),
            _ => self.0.push(Piece::Shared(json.clone(), range)),
        }
    }

    /// How many of its bytes nothing else holds.
    pub(crate) fn own_bytes(&self) -> usize {
        let own = self.0.iter().map(|piece| match piece {
            Piece::Own(own) => own.capacity(),
            Piece::Shared(..) => 0,
        });
        own.sum()
    }

    pub(crate) fn into_pieces(self) -> Vec<Piece> {
        self.0
    }
}

impl Piece {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Own(own) => own,
            Self::Shared(json, range) => json.get(range.clone()).unwrap_or_default(),
        }
    }
}

impl From<String> for Text {
    fn from(own: String) -> Self {
        Self(vec![Piece::Own(own)])
    }
}

/// As one text, which is copied.
impl From<&Text> for String {
    fn from(text: &Text) -> Self {
        text.0.iter().map(Piece::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_large_is_shared_and_what_is_small_is_one_piece() {
        let large = SharedJson::from(format!("\"{}\"", "x".repeat(WORTH_SHARING)));
        let mut text = Text::from("[".to_owned());
        text.append(Text::of(&SharedJson::from("7")));
        text.push(",");
        assert_eq!(text.0, [Piece::Own("[7,".to_owned())]);
        text.append(Text::of(&large));
        text.push("]");
        assert_eq!(String::from(&text), format!("[7,{}]", &*large));
        assert_eq!(text.0.len(), 3);
        assert!(large.is_held_by_others());
        assert!(text.own_bytes() < 100);
    }
}
