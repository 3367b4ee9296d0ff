//! How both binaries read their settings: a flag goes before the environment, the environment before the file, the file
//! before the default. Unknown and impossible settings are collected and refused together.
//!
//! Nothing here reads the environment; a binary's `config` does and hands it in.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

mod fault;
mod names;
mod rate;
mod readable;
mod redis;
mod sources;
mod units;
mod values;

pub use fault::toml_fault;
pub use names::{Binary, names_of};
pub use rate::{format_rate, rate};
pub use readable::everybody_may_read;
pub use redis::{REDIS_SETTINGS, names_a_redis, take_redis};
pub use sources::{FILE_VARIABLE, Sources};
pub use units::{bytes, duration, format_duration, format_size};
pub use values::{file_name, truth, within};

/// What the environment variables of Taskferry begin with.
pub const ENV_PREFIX: &str = "TASKFERRY_";

/// One setting of a binary.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its name in the file: lower case, words joined by `_`. The flag joins them by `-`, the environment variable is
    /// `TASKFERRY_` and the upper-case name.
    pub name: &'static str,
    /// What the value looks like, for `--help`.
    pub value: &'static str,
    /// What it is, with its default, for `--help`.
    pub help: &'static str,
}

impl Setting {
    /// The flag, without dashes in front.
    #[must_use]
    pub fn flag(&self) -> String {
        flag_of(self.name)
    }

    /// Whether its value is secret: then its flag is there only to be refused with words.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        names::is_secret(self.name)
    }

    /// The environment variable.
    #[must_use]
    pub fn variable(&self) -> String {
        variable_of(self.name)
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    Flag,
    Environment,
    File(String),
}

/// Everything that is wrong with the settings, each with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings cannot be used:")?;
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}

/// The settings as they were given, from which a binary takes its own.
#[derive(Debug)]
pub struct Settings {
    known: Vec<Setting>,
    given: BTreeMap<String, (String, Origin)>,
    problems: Vec<String>,
    warnings: Vec<String>,
}

impl Settings {
    /// Settings that may have the names in `known`, none given yet.
    #[must_use]
    pub fn new(known: Vec<Setting>) -> Self {
        Self {
            known,
            given: BTreeMap::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Adds what a TOML file says; `path` is for messages. Add the file first, then the environment, then flags.
    pub fn add_file(&mut self, path: &Path, text: &str) {
        let path = path.display().to_string();
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                let fault = toml_fault(text, &error);
                self.problems
                    .push(format!("{path}: it is not TOML: {fault}"));
                return;
            }
        };
        for (name, value) in table {
            let origin = Origin::File(path.clone());
            if !self.is_known(&name) {
                self.problems.push(format!(
                    "{path}: unknown setting {name:?}{}",
                    self.hint(&name)
                ));
                continue;
            }
            match flat(&value) {
                Some(value) => {
                    self.given.insert(name, (value, origin));
                }
                None => self.problems.push(format!(
                    "{path}: {name} must be a string, a number, true, false, or a list of those"
                )),
            }
        }
    }

    /// Adds those of the environment's variables that begin with [`ENV_PREFIX`], and passes over another binary's.
    pub fn add_environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
        for (variable, value) in variables {
            let Some(name) = variable.strip_prefix(ENV_PREFIX) else {
                continue;
            };
            let name = name.to_lowercase();
            if self.is_known(&name) {
                self.given.insert(name, (value, Origin::Environment));
            } else if !names::may_be_shared(&name) {
                self.problems.push(format!(
                    "unknown setting {variable} in the environment{}",
                    self.hint(&name)
                ));
            }
        }
    }

    /// Adds a flag's value. The command-line parser has refused unknown ones. A secret is refused.
    pub fn add_flag(&mut self, name: &str, value: String) {
        if names::is_secret(name) {
            return self.refuse_as_flag(name, &format!("{name}_file"));
        }
        self.given.insert(name.to_owned(), (value, Origin::Flag));
    }

    /// A setting as it was given, not read yet.
    #[must_use]
    pub fn given(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(|(value, _)| value.as_str())
    }

    /// Refuses a secret that a flag gives; `better` is the setting that may be one.
    fn refuse_as_flag(&mut self, name: &str, better: &str) {
        let (flag, variable) = (flag_of(name), variable_of(name));
        self.refuse(format!(
            "--{flag}: whoever lists the processes of this machine reads a password there; name a file in {better}, or set {variable} or the settings file"
        ));
    }

    /// Where a setting comes from: a flag, a variable or a file, by its name.
    fn came_from(&self, name: &str) -> String {
        match self.given.get(name) {
            None => "the built-in default".to_owned(),
            Some((_, Origin::File(path))) => path.clone(),
            Some((_, origin)) => place(name, origin),
        }
    }

    /// Whether a flag gives a setting.
    fn is_flag(&self, name: &str) -> bool {
        matches!(self.given.get(name), Some((_, Origin::Flag)))
    }

    /// The name of a setting as it was given, for messages about what it says: `--listen`, `TASKFERRY_LISTEN`, or a file and
    /// the name in it.
    #[must_use]
    pub fn given_as(&self, name: &str) -> String {
        let given = self.given.get(name);
        given.map_or_else(|| name.to_owned(), |(_, origin)| place(name, origin))
    }

    /// Takes a setting, read by `parse`; `default` if it was not given, and also if it cannot be read, which is noted.
    pub fn take<T>(
        &mut self,
        name: &str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        self.take_optional(name, parse).unwrap_or(default)
    }

    /// Takes a setting that may be absent.
    pub fn take_optional<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        debug_assert!(self.is_known(name), "{name} is not declared");
        let (value, origin) = self.given.remove(name)?;
        match parse(&value) {
            Ok(value) => Some(value),
            Err(rule) => {
                let hides = name.contains("url") || names::is_secret(name);
                let shown = if hides { "***" } else { value.as_str() };
                self.problems
                    .push(format!("{}: {shown:?} {rule}", place(name, &origin)));
                None
            }
        }
    }

    /// Takes a setting that names a file with a secret in it, and warns if everybody may read it.
    pub fn take_secret_file(&mut self, name: &str) -> Option<PathBuf> {
        let path = self.take_optional(name, file_name)?;
        if everybody_may_read(&path) {
            self.warn_of_readers(&format!("{name}: {}", path.display()));
        }
        Some(path)
    }

    /// Warns if a setting stands in a file that everybody may read.
    fn warn_if_readable(&mut self, name: &str) {
        if let Some((_, Origin::File(path))) = self.given.get(name)
            && everybody_may_read(Path::new(path))
        {
            self.warn_of_readers(&format!("{path}: {name}"));
        }
    }

    fn warn_of_readers(&mut self, place: &str) {
        self.warnings.push(format!(
            "{place} is secret, and every user of this machine may read the file: chmod o-r"
        ));
    }

    /// Notes a problem between settings.
    pub fn refuse(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Ends the reading, with what whoever reads the log should know of the settings.
    ///
    /// # Errors
    ///
    /// Everything that was wrong.
    pub fn finish(self) -> Result<Vec<String>, Problems> {
        if self.problems.is_empty() {
            Ok(self.warnings)
        } else {
            Err(Problems(self.problems))
        }
    }

    fn is_known(&self, name: &str) -> bool {
        self.known.iter().any(|setting| setting.name == name)
    }

    fn hint(&self, name: &str) -> String {
        let shared = |setting: &&Setting| {
            let pairs = setting.name.chars().zip(name.chars());
            pairs.take_while(|(a, b)| a == b).count()
        };
        let near = self.known.iter().max_by_key(shared).filter(|setting| {
            let shared = shared(setting);
            shared >= 3 && shared * 2 >= setting.name.len()
        });
        near.map_or_else(String::new, |setting| {
            format!("; is {:?} meant?", setting.name)
        })
    }
}

fn place(name: &str, origin: &Origin) -> String {
    match origin {
        Origin::Flag => format!("--{}", flag_of(name)),
        Origin::Environment => variable_of(name),
        Origin::File(path) => format!("{path}: {name}"),
    }
}

fn variable_of(name: &str) -> String {
    format!("{ENV_PREFIX}{}", name.to_uppercase())
}

fn flag_of(name: &str) -> String {
    name.replace('_', "-")
}

fn flat(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(flat).collect();
            items.map(|items| items.join(","))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use taskferry_contract::Shards;

    use super::*;

    fn settings() -> Settings {
        Settings::new(REDIS_SETTINGS.to_vec())
    }

    fn variables(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<Vec<_>>()
            .into_iter()
    }

    #[test]
    fn a_flag_goes_before_the_environment_and_that_before_the_file() {
        let mut all = settings();
        all.add_file(
            Path::new("a.toml"),
            "redis_prefix = 'file'\nredis_shards = 4\nredis_timeout = '1s'",
        );
        all.add_environment(variables(&[
            ("TASKFERRY_REDIS_PREFIX", "env"),
            ("TASKFERRY_REDIS_SHARDS", "8"),
        ]));
        all.add_flag("redis_prefix", "flag".to_owned());
        let redis = take_redis(&mut all);
        all.finish().unwrap();
        assert_eq!(redis.prefix, "flag");
        assert_eq!(redis.shards, Shards::new(8).unwrap());
        assert_eq!(redis.response_timeout, Duration::from_secs(1));
    }

    #[test]
    fn the_address_of_redis_is_kept_with_where_it_was_set() {
        let mut all = settings();
        assert_eq!(take_redis(&mut all).url_from, "the built-in default");
        let set: [&dyn Fn(&mut Settings); 3] = [
            &|all| all.add_file(Path::new("/etc/a.toml"), "redis_url = 'redis://a'"),
            &|all| all.add_environment(variables(&[("TASKFERRY_REDIS_URL", "redis://b")])),
            &|all| all.add_flag("redis_url", "redis://c".to_owned()),
        ];
        let places = ["/etc/a.toml", "TASKFERRY_REDIS_URL", "--redis-url"];
        for (count, place) in (1..).zip(places) {
            let mut all = settings();
            set.iter().take(count).for_each(|add| add(&mut all));
            assert_eq!(take_redis(&mut all).url_from, place);
        }
    }

    #[test]
    fn every_problem_is_reported_at_once_with_its_name() {
        let mut all = settings();
        all.add_file(Path::new("a.toml"), "redis_prefx = 'x'\nredis_shards = 0");
        all.add_environment(variables(&[
            ("TASKFERRY_LISTEM", "x"),
            ("TASKFERRY_REDIS_TIMEOUT", "soon"),
            ("PATH", "/"),
            ("TASKFERRY_LISTEN", "y"),
            ("TASKFERRY_CONFIG", "z"),
        ]));
        all.add_flag("redis_url", "http://secret@x".to_owned());
        all.add_flag("redis_password", "secret".to_owned());
        take_redis(&mut all);
        let problems = all.finish().unwrap_err().to_string();
        for expected in [
            "redis_prefx",
            "a.toml: redis_shards",
            "TASKFERRY_LISTEM",
            "TASKFERRY_REDIS_TIMEOUT",
            "--redis-url",
            "--redis-password: whoever lists the processes",
        ] {
            assert!(
                problems.contains(expected),
                "{expected} is not in {problems}"
            );
        }
        for unexpected in ["secret", "TASKFERRY_LISTEN ", "TASKFERRY_CONFIG"] {
            assert!(!problems.contains(unexpected), "{problems}");
        }
        assert!(
            problems.contains("is \"redis_prefix\" meant?"),
            "{problems}"
        );
    }
}
