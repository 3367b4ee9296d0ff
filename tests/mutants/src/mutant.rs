//! One small change of one file.

use std::fmt;
use std::ops::Range;

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// A script of contract/lua.
    Lua,
    /// A Rust source.
    Rust,
}

/// A change: some bytes of a file become others.
#[derive(Debug, Clone)]
pub(crate) struct Mutant {
    pub(crate) kind: Kind,
    /// Below the repository.
    pub(crate) file: String,
    /// From 1.
    pub(crate) line: usize,
    pub(crate) bytes: Range<usize>,
    pub(crate) replacement: String,
    /// What is done, in words.
    pub(crate) what: String,
    /// The lines it stands on, as they are.
    pub(crate) context: String,
}

impl Mutant {
    /// Who it is, whatever lines come before it.
    pub(crate) fn identity(&self) -> String {
        format!("{}: {} in `{}`", self.file, self.what, self.context.trim())
    }

    /// The file with the change.
    pub(crate) fn apply(&self, text: &str) -> Option<String> {
        let (before, after) = (text.get(..self.bytes.start)?, text.get(self.bytes.end..)?);
        Some(format!("{before}{}{after}", self.replacement))
    }

    /// The change as a diff without context.
    pub(crate) fn diff(&self, text: &str) -> String {
        let start = text
            .get(..self.bytes.start)
            .and_then(|before| before.rfind('\n'))
            .map_or(0, |at| at + 1);
        let after = text.get(self.bytes.end..).unwrap_or_default();
        let end = self.bytes.end + after.find('\n').unwrap_or(after.len());
        let old = text.get(start..end).unwrap_or_default();
        let new = format!(
            "{}{}{}",
            text.get(start..self.bytes.start).unwrap_or_default(),
            self.replacement,
            text.get(self.bytes.end..end).unwrap_or_default()
        );
        let lines = |sign: char, text: &str| {
            text.lines()
                .map(|line| format!("{sign}{line}\n"))
                .collect::<String>()
        };
        lines('-', old) + &lines('+', &new)
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}
