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

    /// What a manifest may let commands inherit of the worker's variables: all but those
    /// that start with [`Environment::RESERVED_PREFIX`].
    pub fn inherited(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let prefix = Self::RESERVED_PREFIX.as_bytes();
        let free = |name: &OsStr| !name.as_encoded_bytes().starts_with(prefix);
        let inherited = variables.into_iter().filter(|(name, _)| free(name));
        Self(inherited.collect())
    }

    /// The variables that these names let through.
    pub fn passed<'a>(
        &'a self,
        names: &'a PassedNames,
    ) -> impl Iterator<Item = (&'a OsStr, &'a OsStr)> {
        self.iter().filter(|(name, _)| names.pass(name))
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

/// Names of variables that a command inherits: those that every command does, and what its manifest adds. A name may end
/// with `*`, which stands for any rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PassedNames(Vec<String>);

impl PassedNames {
    /// What every command inherits: where programs, the home folder and temporary files are, who the user is, language
    /// and time zone, and where systemd lets the service keep things.
    pub const ALWAYS: [&str; 11] = [
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "LC_*",
        "TZ",
        "TMPDIR",
        "STATE_DIRECTORY",
    ];

    /// Adds a name.
    pub fn add(&mut self, name: impl Into<String>) {
        self.0.push(name.into());
    }

    /// Names that the manifest adds, and that none of these variables has.
    pub(crate) fn without_variable<'a>(
        &'a self,
        variables: &'a Environment,
    ) -> impl Iterator<Item = &'a str> {
        let has = |name: &str| variables.iter().any(|(variable, _)| fits(name, variable));
        let names = self.0.iter().map(String::as_str);
        names.filter(move |name| !has(name))
    }

    fn pass(&self, variable: &OsStr) -> bool {
        let added = self.0.iter().map(String::as_str);
        Self::ALWAYS
            .into_iter()
            .chain(added)
            .any(|name| fits(name, variable))
    }
}

fn fits(name: &str, variable: &OsStr) -> bool {
    match name.strip_suffix('*') {
        Some(beginning) => variable
            .as_encoded_bytes()
            .starts_with(beginning.as_bytes()),
        None => variable == name,
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
    fn passes_what_is_named_and_what_is_harmless() {
        let variables = [
            "PATH",
            "LC_ALL",
            "LANG",
            "AWS_PROFILE",
            "AWS_KEY",
            "AWS",
            "SSH",
        ];
        let mut inherited = Environment::default();
        for name in variables {
            inherited.set(name, "x");
        }
        let passed = |names: &[&str]| {
            let names = PassedNames(names.iter().map(|&name| name.to_owned()).collect());
            let passed: Vec<String> = inherited
                .passed(&names)
                .map(|(name, _)| name.to_string_lossy().into_owned())
                .collect();
            let missing: Vec<String> = names
                .without_variable(&inherited)
                .map(str::to_owned)
                .collect();
            (passed.join(" "), missing.join(" "))
        };
        let always = "LANG LC_ALL PATH";
        assert_eq!(passed(&[]), (always.to_owned(), String::new()));
        let (all, missing) = passed(&["AWS_*", "SSH_*", "NOT"]);
        assert_eq!(all, format!("AWS_KEY AWS_PROFILE {always}"));
        assert_eq!(missing, "SSH_* NOT");
        assert_eq!(passed(&["*"]).0.split(' ').count(), variables.len());
    }

    #[test]
    fn shows_no_values() {
        let mut environment = Environment::default();
        environment.set("PASSWORD", "hunter2");
        assert_eq!(format!("{environment:?}"), r#"{"PASSWORD"}"#);
    }
}
