//! Reads one command-line argument with its placeholders.

/// Why a command is no valid template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// There is no program to run.
    #[error("is empty: the first entry is the program to run")]
    Empty,
    /// The first entry is a group.
    #[error("starts with a group: the first entry is the program to run, as a plain string")]
    ProgramIsGroup,
    /// A caller must not choose what is run.
    #[error("has a placeholder in its program `{0}`: a caller must not choose what is run")]
    ProgramHasPlaceholder(String),
    /// A brace without its partner.
    #[error(
        "has a `{brace}` without its partner in `{element}`: write `{brace}{brace}` for a literal brace"
    )]
    LoneBrace {
        /// The entry.
        element: String,
        /// The brace that stands alone.
        brace: char,
    },
    /// What stands between the braces names no argument.
    #[error(
        "has `{{{name}}}` in `{element}`, which names no argument: write `{{name}}` or `{{name.inner}}`, or `{{{{` and `}}}}` for literal braces"
    )]
    BadPlaceholder {
        /// The entry.
        element: String,
        /// What stands between the braces.
        name: String,
    },
    /// An operating system cannot carry this character in an argument.
    #[error("has a NUL character in `{0}`, which no command line can carry")]
    Nul(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element(pub(super) Vec<Piece>);

impl Element {
    pub(super) fn is_literal(&self) -> bool {
        self.0
            .iter()
            .all(|piece| matches!(piece, Piece::Literal(_)))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(String),
    Placeholder(Vec<String>),
}

/// Reads an argument.
pub(super) fn parse_element(text: &str) -> Result<Element, TemplateError> {
    if text.contains('\0') {
        return Err(TemplateError::Nul(text.replace('\0', "\\0")));
    }
    let lone = |brace| TemplateError::LoneBrace {
        element: text.to_owned(),
        brace,
    };
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, brace, after)) = split_at_brace(rest) {
        literal.push_str(before);
        if let Some(after) = after.strip_prefix(brace) {
            literal.push(brace);
            rest = after;
            continue;
        }
        if brace == '}' {
            return Err(lone('}'));
        }
        let (name, after) = after.split_once('}').ok_or_else(|| lone('{'))?;
        let path = parse_path(name).ok_or_else(|| TemplateError::BadPlaceholder {
            element: text.to_owned(),
            name: name.to_owned(),
        })?;
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        pieces.push(Piece::Placeholder(path));
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(Element(pieces))
}

fn split_at_brace(text: &str) -> Option<(&str, char, &str)> {
    let position = text.find(['{', '}'])?;
    let (before, from_brace) = text.split_at_checked(position)?;
    let mut characters = from_brace.chars();
    let brace = characters.next()?;
    Some((before, brace, characters.as_str()))
}

fn parse_path(name: &str) -> Option<Vec<String>> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | '@' | ':');
    name.split('.')
        .map(|segment| {
            let valid = !segment.is_empty() && segment.chars().all(allowed);
            valid.then(|| segment.to_owned())
        })
        .collect()
}
