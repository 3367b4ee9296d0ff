//! Puts the values of a call into an argument.

use taskferry_contract::{RawObject, compact};

use super::element::{Element, Piece};

/// An argument that cannot go onto a command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the argument `{placeholder}` {problem}, which no command line can carry")]
pub struct RenderError {
    /// The path of the argument, as the template writes it.
    pub placeholder: String,
    /// What it has.
    problem: &'static str,
}

impl Element {
    /// The argument with the values of a call. `None` if a placeholder has no value.
    pub(super) fn render(&self, arguments: &RawObject<'_>) -> Result<Option<String>, RenderError> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Placeholder(path) => {
                    let refuse = |problem| RenderError {
                        placeholder: path.join("."),
                        problem,
                    };
                    match value_text(arguments, path).map_err(refuse)? {
                        None => return Ok(None),
                        Some(value) if value.contains('\0') => {
                            return Err(refuse("has a NUL character"));
                        }
                        Some(value) => text.push_str(&value),
                    }
                }
            }
        }
        Ok(Some(text))
    }
}

/// The value at a path as its caller wrote it: the content of a string, and the JSON of anything else without the white
/// space in it. Never through a tree of values, which would round numbers and sort the members of objects.
fn value_text(arguments: &RawObject<'_>, path: &[String]) -> Result<Option<String>, &'static str> {
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
    match json.chars().next() {
        Some('"') => serde_json::from_str(json)
            .map(Some)
            .map_err(|_not_unicode| "is not Unicode"),
        _ if json == "null" => Ok(None),
        _ => Ok(Some(compact(json))),
    }
}
