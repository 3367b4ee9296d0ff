//! The transitions as one library of Redis Functions, for workers in other languages: made of the files that Redis also runs
//! as scripts. Functions take the same keys and arguments, and give the same replies.

use std::sync::LazyLock;

use redis::Script;

use crate::model::library::{LIBRARY_PREFIX, LibraryVersion};
use crate::model::version::CONTRACT_VERSION;
use crate::script::{PRELUDE, TRANSITIONS, Transition, function};

/// The function that says which version of the library Redis has.
const VERSION: &str = "version";

/// The library.
#[derive(Debug)]
pub struct Library {
    /// Its name: each major of the contract has one, so that several can be installed while a fleet changes over.
    pub name: String,
    /// What `FUNCTION LOAD` takes.
    pub source: String,
    /// Its version.
    pub version: LibraryVersion,
}

/// One transition, for whoever calls it without this package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortableScript {
    /// Its name, as the file has it.
    pub name: &'static str,
    /// The function of the library that does the same.
    pub function: String,
    /// What `EVALSHA` takes.
    pub sha1: String,
    /// What `SCRIPT LOAD` and `EVAL` take.
    pub source: &'static str,
    /// What it does.
    pub summary: String,
    /// Its keys, in order.
    pub keys: String,
    /// Its arguments, in order.
    pub argv: String,
    /// Every reply, a line each.
    pub replies: String,
}

/// The library of this version of the contract.
pub static LIBRARY: LazyLock<Library> = LazyLock::new(Library::new);

/// Every transition, in one piece each.
pub fn portable_scripts() -> impl Iterator<Item = PortableScript> {
    let all = TRANSITIONS.all().into_iter();
    all.map(|transition| {
        let header = transition.header();
        PortableScript {
            name: transition.name,
            function: transition.function(),
            sha1: transition.script.get_hash().to_owned(),
            source: transition.source(),
            summary: header.summary,
            keys: header.keys,
            argv: header.argv,
            replies: header.replies,
        }
    })
}

impl Library {
    fn new() -> Self {
        let name = format!("{LIBRARY_PREFIX}{}", CONTRACT_VERSION.major);
        let functions: String = TRANSITIONS.all().into_iter().map(registered).collect();
        let source = format!("#!lua name={name}\n{PRELUDE}\n{functions}");
        let digest = Script::new(&source).get_hash().to_owned();
        let version = LibraryVersion::own(digest);
        let source = format!("{source}{}", of_version(&version));
        Self {
            name,
            source,
            version,
        }
    }

    /// The function that says which version of the library Redis has.
    #[must_use]
    pub fn version_function(&self) -> String {
        function(VERSION)
    }
}

/// A transition as a function. Memory is checked before it begins, as the first line of its script has it.
fn registered(transition: &Transition) -> String {
    format!(
        "redis.register_function{{
  function_name = '{}',
  description = {},
  flags = {{ {} }},
  callback = function(KEYS, ARGV)
{}
  end,
}}
",
        transition.function(),
        quoted(&transition.header().summary),
        transition.flags("'"),
        transition.body.trim_end(),
    )
}

fn of_version(version: &LibraryVersion) -> String {
    format!(
        "redis.register_function{{
  function_name = '{}',
  description = {},
  flags = {{ 'no-writes' }},
  callback = function(KEYS, ARGV)
    return {{ 'OK', '{}', '{}', '{}' }}
  end,
}}
",
        function(VERSION),
        quoted(&version.to_string()),
        version.contract,
        version.release,
        version.digest,
    )
}

/// A text as Lua reads it.
fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\'', "\\'");
    format!("'{}'", text.replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transition_is_described_and_is_a_function() {
        for script in portable_scripts() {
            let name = script.name;
            assert!(script.summary.starts_with(&format!("{name}: ")), "{name}");
            assert!(!script.keys.is_empty(), "{name}");
            assert!(!script.replies.is_empty(), "{name}");
            let named = format!("function_name = '{}'", script.function);
            assert_eq!(LIBRARY.source.matches(&named).count(), 1, "{named}");
        }
    }

    #[test]
    fn what_frees_memory_runs_when_there_is_none() {
        let of = |name: &str| {
            let named = format!("function_name = 'tf{}_{name}'", CONTRACT_VERSION.major);
            let (_, after) = LIBRARY.source.split_once(&named).unwrap();
            after
                .split_once("callback")
                .unwrap()
                .0
                .contains("'allow-oom'")
        };
        assert!(of("finish") && of("claim"));
        assert!(!of("submit") && !of("report_progress"));
    }

    #[test]
    fn texts_stay_what_they_are() {
        assert_eq!(
            quoted("an owner's \\ line\nnext"),
            r"'an owner\'s \\ line next'"
        );
    }
}
