//! The arguments of a call.

use std::fmt;
use std::sync::Arc;

use serde_json::value::RawValue;

/// The arguments of a call, as its caller wrote them. They go through all hands unchanged: from the body of the request, past
/// the check against the tool's input schema ([`ToolChecks::arguments`](crate::ToolChecks::arguments)), into the record of the
/// job, and to the worker that runs it. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Arguments(Arc<str>);

impl Arguments {
    /// Those of a request. A call without arguments has an empty object.
    #[must_use]
    pub fn of(given: Option<&RawValue>) -> Self {
        given.map_or_else(Self::default, |given| given.get().into())
    }

    /// The JSON, as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Arguments {
    fn default() -> Self {
        "{}".into()
    }
}

impl From<&str> for Arguments {
    fn from(json: &str) -> Self {
        Self(json.into())
    }
}

impl From<String> for Arguments {
    fn from(json: String) -> Self {
        Self(json.into())
    }
}

/// Their size alone: what a caller says is not for the log.
impl fmt::Debug for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arguments({} bytes)", self.0.len())
    }
}
