//! Which tests a change is held against: for each part of the tree the narrowest suites that are about it, the cheapest first.

mod scripts;
mod sources;

use std::fmt;

use self::scripts::SCRIPTS;
use self::sources::SOURCES;

/// Tests that take long and say nothing of single lines: servers that are replaced, restarted or written full.
const SLOW: [&str; 9] = [
    "failovers::",
    "outages::",
    "losses::",
    "replicas::what",
    "failover::",
    "faults::",
    "overload::",
    "redis_away::",
    "foreign_clients::",
];

/// Some tests of one package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Suite {
    package: &'static str,
    target: &'static [&'static str],
    /// Those whose names hold one of these; all, if there is none.
    names: &'static [&'static str],
    /// Whether [`SLOW`] ones are among them.
    with_slow: bool,
    /// Whether it runs the worker and the examples as processes.
    needs_workers: bool,
}

impl Suite {
    /// The arguments of cargo for it: what builds it, and last what runs it. nextest builds by itself, and says by its exit
    /// code whether that failed.
    pub(crate) fn commands(&self, has_nextest: bool) -> Vec<Vec<String>> {
        let mut runner: Vec<&str> = if has_nextest {
            vec!["nextest", "run", "--profile", "mutants", "--no-tests=pass"]
        } else {
            vec!["test"]
        };
        runner.extend(["--package", self.package]);
        runner.extend(self.target);
        let mut commands = Vec::new();
        if self.needs_workers {
            commands.push(vec![
                "build",
                "--package",
                "taskferry-worker",
                "--bins",
                "--examples",
            ]);
        }
        if !has_nextest {
            commands.push([&runner[..], &["--no-run"]].concat());
        }
        runner.push("--");
        runner.extend(self.names);
        if !self.with_slow {
            runner.extend(SLOW.iter().flat_map(|name| ["--skip", name]));
        }
        commands.push(runner);
        let owned = commands
            .into_iter()
            .map(|words| words.into_iter().map(str::to_owned).collect());
        owned.collect()
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.package, self.target.join(" "))?;
        if !self.names.is_empty() {
            write!(f, " {}", self.names.join(" "))?;
        }
        Ok(())
    }
}

type Names = &'static [&'static str];

const EVERY: Names = &[];

const fn unit(package: &'static str, target: Names) -> Suite {
    Suite {
        package,
        target,
        names: EVERY,
        with_slow: true,
        needs_workers: false,
    }
}

const CONTRACT: Suite = unit("taskferry-contract", &["--lib"]);
const HOUSEKEEPING: Suite = unit("taskferry-housekeeping", &["--lib"]);
const PROCESS: Suite = unit("taskferry-process", &["--lib"]);
const WORKER: Suite = unit("taskferry-worker", &["--lib"]);
const FRONT_END: Suite = unit("taskferry", &["--lib"]);
const MODEL: Suite = unit("taskferry-contract", &["--test", "model"]);
const EXEC: Suite = unit("taskferry-worker", &["--test", "exec"]);

const fn transitions(names: Names) -> Suite {
    Suite {
        package: "taskferry-contract",
        target: &["--test", "transitions"],
        names,
        with_slow: false,
        needs_workers: false,
    }
}

const fn slow_transitions(names: Names) -> Suite {
    Suite {
        with_slow: true,
        ..transitions(names)
    }
}

const fn jobs(names: Names) -> Suite {
    Suite {
        package: "taskferry-worker",
        target: &["--test", "it"],
        names,
        with_slow: true,
        needs_workers: true,
    }
}

const fn e2e(names: Names) -> Suite {
    Suite {
        package: "taskferry",
        target: &["--test", "e2e"],
        names,
        with_slow: false,
        needs_workers: true,
    }
}

/// The suites for a file.
pub(crate) fn suites_for(file: &str) -> Vec<Suite> {
    let rows = SCRIPTS.iter().chain(&SOURCES);
    let row = rows
        .filter(|(prefix, _)| file.starts_with(prefix))
        .max_by_key(|(prefix, _)| prefix.len());
    row.map(|(_, suites)| suites.to_vec()).unwrap_or_default()
}

type Row = (&'static str, &'static [Suite]);

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");

    fn files_below(folder: &str, extension: &str) -> Vec<String> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(format!("{ROOT}{folder}")).expect("a folder") {
            let name = entry.expect("an entry").file_name();
            let path = format!("{folder}/{}", name.to_string_lossy());
            if std::path::Path::new(&format!("{ROOT}{path}")).is_dir() {
                found.extend(files_below(&path, extension));
            } else if path.ends_with(extension) {
                found.push(path);
            }
        }
        found
    }

    /// Every source, and every script.
    fn all_files() -> (Vec<String>, Vec<String>) {
        let folders = [
            "contract/src",
            "housekeeping/src",
            "process/src",
            "worker/src",
            "src",
        ];
        let sources = folders.map(|folder| files_below(folder, ".rs")).concat();
        (sources, files_below("contract/lua", ".lua"))
    }

    #[test]
    fn every_source_has_suites_and_every_script_its_own() {
        let (sources, scripts) = all_files();
        assert!(sources.len() > 100 && scripts.len() > 20);
        for file in &sources {
            assert!(!suites_for(file).is_empty(), "{file}");
        }
        for script in scripts {
            let own = SCRIPTS
                .iter()
                .any(|(prefix, _)| *prefix != "contract/lua/" && script.starts_with(prefix));
            assert!(own, "{script} has no tests of its own in the table");
        }
    }

    #[test]
    fn every_row_is_about_files_that_are_there() {
        let (sources, scripts) = all_files();
        let files = [sources, scripts].concat();
        for (prefix, _) in SCRIPTS.iter().chain(&SOURCES) {
            let is_there = files.iter().any(|file| file.starts_with(prefix));
            assert!(is_there, "{prefix} is of no file");
        }
    }

    #[test]
    fn every_name_is_that_of_tests_that_are_there() {
        let rows = SCRIPTS.iter().chain(&SOURCES);
        for suite in rows.flat_map(|(_, suites)| *suites) {
            let folder = match suite.target {
                ["--test", "transitions"] => "contract/tests/transitions/",
                ["--test", "it"] => "worker/tests/it/",
                ["--test", "e2e"] => "tests/e2e/",
                _ => continue,
            };
            let files = files_below(folder.trim_end_matches('/'), ".rs");
            for name in suite.names {
                let start = match name.split_once("::") {
                    // A module is a file, or a folder.
                    Some((module, _)) => [format!("{module}.rs"), format!("{module}/")],
                    None => [(*name).to_owned(), (*name).to_owned()],
                };
                let is_there = |file: &String| {
                    start
                        .iter()
                        .any(|start| file.starts_with(&format!("{folder}{start}")))
                };
                assert!(files.iter().any(is_there), "{suite}: {name}");
            }
        }
    }
}
