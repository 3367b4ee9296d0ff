//! The end of a text, where tools say what went wrong.

/// The longest summary, in characters.
pub const SUMMARY_CHARS: usize = 500;

/// The last `most` characters of a text without blank ends, with an ellipsis for what is left out. `None` if it is
/// empty.
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
