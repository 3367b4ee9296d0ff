//! Cuts the text of callers and tools, for messages: short, and on one line.

use std::borrow::Cow;

/// The most of a name or a value of a caller's that a message repeats, bytes.
const LONGEST_QUOTE: usize = 64;

/// A text of at most so many bytes: a longer one ends in `…` where it was cut.
#[must_use]
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(most);
    let kept = text.get(..end).unwrap_or_default();
    Cow::Owned(format!("{kept}…"))
}

/// A caller's word as a message may repeat it: in quotes, with control characters escaped, and cut.
#[must_use]
pub fn quoted(word: &str) -> String {
    format!("{:?}", cut(word, LONGEST_QUOTE))
}

/// The same without quotes.
#[must_use]
pub fn plain(word: &str) -> String {
    cut(word, LONGEST_QUOTE).escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "longe…");
        assert_eq!(cut("éé", 3), "é…");
        assert_eq!(cut("é", 0), "…");
    }

    #[test]
    fn a_quoted_word_stays_on_its_line() {
        assert_eq!(quoted("a\n\u{1b}[31m\""), r#""a\n\u{1b}[31m\"""#);
        assert_eq!(plain("a\n\u{1b}[31m é"), r"a\n\u{1b}[31m é");
        assert!(quoted(&"\u{1b}".repeat(1 << 20)).len() < 600);
    }
}
