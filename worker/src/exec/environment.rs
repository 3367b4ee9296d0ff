//! The environment of a command.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

/// Environment variables for commands. Its `Debug` shows names only, since
/// values may be secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// Names that start so are the worker's own: settings and Redis passwords
    /// on the way in, facts about the attempt on the way out.
    pub const RESERVED_PREFIX: &str = "TASKFERRY_";

    /// What a command may inherit of the worker's variables: all but those
    /// that start with [`Environment::RESERVED_PREFIX`].
    pub fn inherited(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let prefix = Self::RESERVED_PREFIX.as_bytes();
        let free = |name: &OsStr| !name.as_encoded_bytes().starts_with(prefix);
        let inherited = variables.into_iter().filter(|(name, _)| free(name));
        Self(inherited.collect())
    }

    /// Sets a variable, over an earlier one of the same name.
    pub fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.0.insert(name.into(), value.into());
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// Every variable, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        let pairs = self.0.iter();
        pairs.map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_workers_own_variables_back() {
        let variables = [("PATH", "/bin"), ("TASKFERRY_REDIS_URL", "secret")];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let environment = Environment::inherited(variables);
        assert_eq!(environment.get("PATH"), Some(OsStr::new("/bin")));
        assert_eq!(environment.get("TASKFERRY_REDIS_URL"), None);
    }

    #[test]
    fn shows_no_values() {
        let mut environment = Environment::default();
        environment.set("PASSWORD", "hunter2");
        assert_eq!(format!("{environment:?}"), r#"{"PASSWORD"}"#);
    }
}
