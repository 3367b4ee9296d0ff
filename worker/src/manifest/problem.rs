//! What is wrong with a manifest.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The file cannot be read.
    #[error("cannot read the manifest {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// It says something that does not hold.
    #[error("{}", listing(file.as_deref(), problems))]
    Invalid {
        /// The file, if it came from one.
        file: Option<PathBuf>,
        /// Every problem, in the order of the manifest; at least one.
        problems: Vec<Problem>,
    },
}

impl ManifestError {
    pub(super) fn in_file(self, path: &Path) -> Self {
        match self {
            Self::Invalid { problems, .. } => Self::Invalid {
                file: Some(path.to_owned()),
                problems,
            },
            other => other,
        }
    }
}

fn listing(file: Option<&Path>, problems: &[Problem]) -> String {
    let mut text = match file {
        Some(file) => format!("the manifest {} cannot be used:", file.display()),
        None => "the manifest cannot be used:".to_owned(),
    };
    for problem in problems {
        text.push_str("\n  ");
        text.push_str(&problem.to_string().replace('\n', "\n    "));
    }
    text
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The table it is in.
    pub place: Place,
    /// The key it is about, with dots for inner tables; empty if it is about
    /// the table as a whole.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place != Place::Root {
            write!(f, "{}: ", self.place)?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// A table of the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The top of the file.
    Root,
    /// `[defaults]`
    Defaults,
    /// A queue of `[queues]`.
    Queue(String),
    /// A `[[tool]]` by its name.
    Tool(String),
    /// A `[[tool]]` without a name, counted from 1.
    Unnamed(usize),
}

impl Place {
    pub(super) fn tool(index: usize, name: Option<&str>) -> Self {
        match name {
            Some(name) => Self::Tool(name.to_owned()),
            None => Self::Unnamed(index.saturating_add(1)),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("manifest"),
            Self::Defaults => f.write_str("[defaults]"),
            Self::Queue(name) => write!(f, "[queues] {name}"),
            Self::Tool(name) => write!(f, "tool {name:?}"),
            Self::Unnamed(number) => write!(f, "[[tool]] number {number}"),
        }
    }
}

/// Collects problems while a manifest is read.
#[derive(Debug, Default)]
pub(super) struct ProblemList(Vec<Problem>);

impl ProblemList {
    pub(super) fn add(&mut self, place: &Place, key: &str, message: impl Into<String>) {
        self.0.push(Problem {
            place: place.clone(),
            key: key.to_owned(),
            message: message.into(),
        });
    }

    /// What was read, if nothing is wrong.
    pub(super) fn into_result<T>(self, read: T) -> Result<T, ManifestError> {
        if self.0.is_empty() {
            return Ok(read);
        }
        Err(ManifestError::Invalid {
            file: None,
            problems: self.0,
        })
    }
}
