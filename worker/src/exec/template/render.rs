//! Puts the values of a call into an argument.

use taskferry_contract::{RawObject, compact};

use super::element::{Element, Piece};

const NUL: &str = "has a NUL character, which no command line can carry";
const NOT_UNICODE: &str = "is not Unicode, which no command line can carry";
const OPTION: &str = "begins with `-`, so that the program could take it for an option: it must begin otherwise, as ./-name does for a file";

/// An argument that cannot, or must not, go onto a command line. The text is for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the argument `{placeholder}` {problem}")]
pub struct RenderError {
    /// The path of the argument, as the template writes it.
    pub placeholder: String,
    /// What is wrong with it, and what would be right.
    problem: &'static str,
}

impl RenderError {
    fn new(path: &[String], problem: &'static str) -> Self {
        Self {
            placeholder: path.join("."),
            problem,
        }
    }

    pub(super) fn option(value: &FirstValue<'_>) -> Self {
        Self::new(value.path, OPTION)
    }
}

/// An argument of a command line.
#[derive(Debug)]
pub(super) struct Word<'a> {
    pub(super) text: String,
    /// The value that it begins with; none if the manifest wrote its beginning.
    pub(super) first: Option<FirstValue<'a>>,
}

/// The value that an argument begins with.
#[derive(Debug)]
pub(super) struct FirstValue<'a> {
    pub(super) path: &'a [String],
    /// Whether the caller gave a number, not a string that looks like one.
    pub(super) is_number: bool,
}

impl Element {
    /// The argument with the values of a call. `None` if a placeholder has no value.
    pub(super) fn render(
        &self,
        arguments: &RawObject<'_>,
    ) -> Result<Option<Word<'_>>, RenderError> {
        let mut text = String::new();
        let mut first = None;
        for piece in &self.0 {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Placeholder(path) => {
                    let refuse = |problem| RenderError::new(path, problem);
                    let Some(value) = value_text(arguments, path).map_err(refuse)? else {
                        return Ok(None);
                    };
                    if value.text.contains('\0') {
                        return Err(refuse(NUL));
                    }
                    if text.is_empty() && !value.text.is_empty() {
                        let is_number = value.is_number;
                        first = Some(FirstValue { path, is_number });
                    }
                    text.push_str(&value.text);
                }
            }
        }
        Ok(Some(Word { text, first }))
    }

    /// Whether it ends the options of most programs.
    pub(super) fn ends_options(&self) -> bool {
        matches!(self.0.as_slice(), [Piece::Literal(text)] if text == "--")
    }

    /// The placeholders that a value may begin the argument through: those before any text of the manifest.
    pub(super) fn first_placeholders(&self) -> impl Iterator<Item = &[String]> {
        self.0.iter().map_while(|piece| match piece {
            Piece::Placeholder(path) => Some(path.as_slice()),
            Piece::Literal(_) => None,
        })
    }
}

struct ValueText {
    text: String,
    is_number: bool,
}

/// The value at a path as its caller wrote it: the content of a string, and the JSON of anything else without the white
/// space in it. Never through a tree of values, which would round numbers and sort the members of objects.
fn value_text(
    arguments: &RawObject<'_>,
    path: &[String],
) -> Result<Option<ValueText>, &'static str> {
    let Some((name, inner)) = path.split_first() else {
        return Ok(None);
    };
    let Some(json) = arguments.get(name) else {
        return Ok(None);
    };
    if !inner.is_empty() {
        let object = RawObject::parse(json).unwrap_or_default();
        return value_text(&object, inner);
    }
    let text = match json.chars().next() {
        Some('"') => serde_json::from_str(json).map_err(|_not_unicode| NOT_UNICODE)?,
        _ if json == "null" => return Ok(None),
        _ => compact(json),
    };
    let is_number = json.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    Ok(Some(ValueText { text, is_number }))
}
