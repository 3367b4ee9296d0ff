//! JSON Schemas of tools, compiled and applied the same by front ends and workers. Pure: nothing here talks to anyone.
//!
//! Whether a value fits is decided by the compiled schema, in time that grows with the value. Why one does not fit is found
//! afterwards, by a walk of its own with a bound of work, since the library's way to say it costs exponential time where
//! alternatives refer to each other.

mod admit;
mod explain;
mod mirrored;
mod names;
mod parts;
mod patterns;
mod place;
mod work;

use std::fmt;

use jsonschema::{PatternOptions, ValidationOptions, Validator};
use serde_json::Value;

use crate::text::cut;
pub use mirrored::Mirrored;
pub(crate) use mirrored::collect as mirrored;
pub use names::{DuplicateName, unique_names};
use parts::Parts;
use work::Costs;

/// How often a pattern with look-around may go back in one text, until it counts as not matching. Others take linear time.
const MOST_BACKTRACKS: usize = 100_000;
/// The most memory that a compiled pattern takes, bytes.
const LARGEST_PATTERN: usize = 2 << 20;
/// The longest text that says what is wrong with a schema or a value, bytes.
const LONGEST_REASON: usize = 512;

/// A JSON Schema, ready to be applied.
#[derive(Debug)]
pub struct Schema {
    root: Value,
    validator: Validator,
    parts: Parts,
    costs: Costs,
}

/// Why a value does not fit: the first thing that was found, without the value itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// A JSON Pointer to it, cut if it is long; empty for the whole value.
    pub place: String,
    /// What is wrong there.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.text)
    }
}

impl Schema {
    /// Compiles a schema's JSON text, if it is admitted (`admit`). References lead nowhere outside of it.
    ///
    /// # Errors
    ///
    /// Why it cannot be used.
    pub fn compile(text: &str) -> Result<Self, String> {
        unique_names(text).map_err(|duplicate| duplicate.to_string())?;
        let root: Value =
            serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
        let costs = admit::admit(&root, text.len())?;
        let validator = options().build(&root).map_err(|error| {
            let at = match error.instance_path().as_str() {
                "" => String::new(),
                path => format!("{path}: "),
            };
            cut(&format!("{at}{error}"), LONGEST_REASON).into_owned()
        })?;
        Ok(Self {
            root,
            validator,
            parts: Parts::default(),
            costs,
        })
    }

    /// The schema itself.
    #[must_use]
    pub fn root(&self) -> &Value {
        &self.root
    }

    /// Whether a value fits.
    ///
    /// # Errors
    ///
    /// The first thing that does not, and where; or that it would take too much work to say.
    pub fn check(&self, value: &Value) -> Result<(), Fault> {
        work::check(&self.costs, value).map_err(|text| Fault {
            place: String::new(),
            text,
        })?;
        if self.validator.is_valid(value) {
            return Ok(());
        }
        Err(explain::explain(self, value))
    }
}

/// How every schema and every part of one is compiled.
fn options() -> ValidationOptions<'static> {
    jsonschema::options().offline().with_pattern_options(
        PatternOptions::fancy_regex()
            .backtrack_limit(MOST_BACKTRACKS)
            .size_limit(LARGEST_PATTERN),
    )
}

#[cfg(test)]
mod tests;
