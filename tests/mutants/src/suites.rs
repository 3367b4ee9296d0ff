//! Which tests a change is held against: for each part of the tree the narrowest suites that are about it, the cheapest first.

use std::fmt;

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
const PROCESS: Suite = unit("taskferry-process", &["--lib"]);
const WORKER: Suite = unit("taskferry-worker", &["--lib"]);
const FRONT_END: Suite = unit("taskferry", &["--bin", "taskferry"]);
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

/// A script's own tests, then all transitions, then the model.
macro_rules! script {
    ($name:literal: $($tests:literal)*) => {
        (
            concat!("contract/lua/", $name, ".lua"),
            &[transitions(&[$($tests),*]), transitions(EVERY), MODEL],
        )
    };
}

const SCRIPTS: [Row; 34] = [
    ("contract/lua/", &[transitions(EVERY), MODEL]),
    ("contract/lua/prelude/", &[transitions(EVERY), MODEL]),
    script!("agree_version": "versions::"),
    script!("answer_input": "answers::" "firsts::" "rings::"),
    script!("ask_input": "answers::" "rings::"),
    script!("beat": "registers::" "definitions::" "forgets::"),
    script!("cancel": "cancels::" "rings::"),
    script!("claim": "claims::" "reclaims::"),
    script!("dead_letter": "dead_letters::" "reclaims::"),
    script!("deliver_input": "delivers::" "client_tasks::"),
    script!("drop_client_tasks": "client_tasks::"),
    script!("drop_session_stream": "sessions::"),
    script!("ensure_group": "reclaims::"),
    script!("finish": "finishes::" "fences::"),
    script!("forget_worker": "forgets::"),
    script!("forward": "retries::" "claims::"),
    script!("hold_session_stream": "sessions::"),
    script!("leave_call": "leaves::" "rings::"),
    script!("note_client_task": "client_tasks::"),
    script!("park": "answers::" "fences::"),
    script!("poll_client_task": "client_tasks::"),
    script!("promote": "promotes::"),
    script!("recall_input": "delivers::" "rings::"),
    script!("reclaim": "reclaims::"),
    script!("register_tools": "registers::" "rings::"),
    script!("release": "retries::" "rings::" "fences::"),
    script!("renew_lease": "renews::" "fences::"),
    script!("report_log": "logs::"),
    script!("report_progress": "renews::" "rings::"),
    script!("revive": "dead_letters::"),
    script!("schedule_retry": "retries::" "rings::" "fences::"),
    script!("set_session_level": "logs::"),
    script!("submit": "submits::" "joins::" "firsts::"),
    script!("watch": "rings::"),
];

const SOURCES: [Row; 42] = [
    (
        "contract/src/",
        &[CONTRACT, transitions(EVERY), jobs(EVERY)],
    ),
    (
        "contract/src/connection/",
        &[
            CONTRACT,
            transitions(EVERY),
            slow_transitions(&["failovers::", "outages::"]),
        ],
    ),
    (
        "contract/src/store/operate/dead",
        &[
            CONTRACT,
            transitions(&["dead_letters::"]),
            e2e(&["operator::"]),
        ],
    ),
    (
        "contract/src/store/operate/revive",
        &[
            CONTRACT,
            transitions(&["dead_letters::"]),
            e2e(&["operator::"]),
        ],
    ),
    (
        "contract/src/doctor/",
        &[
            CONTRACT,
            transitions(&["examines::", "checks::"]),
            e2e(&["operator::", "settings::"]),
        ],
    ),
    (
        "contract/src/store/doorbell",
        &[
            CONTRACT,
            transitions(&["rings::", "registers::"]),
            slow_transitions(&["failovers::"]),
        ],
    ),
    (
        "contract/src/model/durability",
        &[
            CONTRACT,
            slow_transitions(&["replicas::", "losses::", "examines::"]),
        ],
    ),
    (
        "contract/src/doctor/durable",
        &[
            CONTRACT,
            slow_transitions(&["replicas::", "losses::", "examines::"]),
        ],
    ),
    (
        "contract/src/store/operate/overview",
        &[
            CONTRACT,
            transitions(&["overviews::"]),
            e2e(&["operator::"]),
        ],
    ),
    (
        "contract/src/store/operate/registry",
        &[
            CONTRACT,
            transitions(&["registers::", "forgets::", "overviews::"]),
            e2e(&["operator::"]),
        ],
    ),
    (
        "contract/src/model/client_task",
        &[
            CONTRACT,
            transitions(&["client_tasks::"]),
            e2e(&["receivers::"]),
        ],
    ),
    (
        "contract/src/store/front/client_task",
        &[
            CONTRACT,
            transitions(&["client_tasks::"]),
            e2e(&["receivers::"]),
        ],
    ),
    (
        "contract/src/store/front/session/",
        &[
            CONTRACT,
            transitions(&["sessions::", "logs::"]),
            e2e(&["own_stream::", "resume::", "cancelled::", "logs::"]),
        ],
    ),
    ("contract/src/json/schema/", &[CONTRACT, FRONT_END, WORKER]),
    (
        "process/src/",
        &[
            PROCESS,
            e2e(&["settings::", "unread_log::", "stopping::"]),
            jobs(&["processes::", "stops::"]),
        ],
    ),
    (
        "process/src/settings/",
        &[
            PROCESS,
            e2e(&["settings::", "operator::"]),
            jobs(&["processes::"]),
        ],
    ),
    ("worker/src/", &[WORKER, jobs(EVERY)]),
    (
        "worker/src/sdk/ask",
        &[WORKER, jobs(&["asks::", "exec_"]), jobs(EVERY)],
    ),
    (
        "worker/src/sdk/",
        &[WORKER, jobs(&["asks::", "outcomes::"]), jobs(EVERY)],
    ),
    ("worker/src/cli", &[WORKER, jobs(&["processes::"])]),
    ("worker/src/config", &[WORKER, jobs(&["processes::"])]),
    (
        "worker/src/runtime/fetcher",
        &[WORKER, jobs(&["flow::", "prompt::"]), jobs(EVERY)],
    ),
    (
        "worker/src/runtime/forwarder",
        &[WORKER, jobs(&["prompt::", "outcomes::"]), jobs(EVERY)],
    ),
    (
        "worker/src/runtime/heartbeat",
        &[WORKER, jobs(&["leases::", "ends::", "asks::"]), jobs(EVERY)],
    ),
    (
        "worker/src/runtime/janitor",
        &[WORKER, jobs(&["faults::", "flow::"]), jobs(EVERY)],
    ),
    (
        "worker/src/core/slots",
        &[WORKER, jobs(&["prompt::", "flow::"]), jobs(EVERY)],
    ),
    (
        "worker/src/exec",
        &[
            WORKER,
            EXEC,
            jobs(&[
                "stops::",
                "exec_",
                "outcomes::",
                "processes::",
                "ends::",
                "files::",
            ]),
        ],
    ),
    (
        "worker/src/manifest/",
        &[WORKER, jobs(&["processes::", "outcomes::", "exec_"])],
    ),
    (
        "src/",
        &[FRONT_END, e2e(&["legacy::", "modern::", "settings::"])],
    ),
    (
        "src/bridge/",
        &[
            FRONT_END,
            e2e(&[
                "legacy::",
                "modern::",
                "idempotency::",
                "sharing::",
                "questions::",
                "handles::",
                "owners::",
                "replicas::",
                "subscriptions::",
                "kinds::",
            ]),
        ],
    ),
    (
        "src/cli/",
        &[FRONT_END, e2e(&["operator::", "settings::", "edge::"])],
    ),
    (
        "src/config/",
        &[FRONT_END, e2e(&["settings::", "edge::", "operator::"])],
    ),
    (
        "src/transport/http/",
        &[
            FRONT_END,
            e2e(&["edge::", "malformed::", "settings::", "terms::"]),
        ],
    ),
    (
        "src/mcp/",
        &[
            FRONT_END,
            e2e(&[
                "malformed::",
                "ids::",
                "legacy::",
                "modern::",
                "kinds::",
                "pace::",
                "logs::",
                "idempotency::",
            ]),
        ],
    ),
    (
        "src/mcp/protocol/capabilities",
        &[FRONT_END, e2e(&["askable::", "declarations::", "modern::"])],
    ),
    (
        "src/mcp/protocol/outgoing",
        &[
            FRONT_END,
            e2e(&["declarations::", "questions::", "logs::", "legacy::"]),
        ],
    ),
    (
        "src/mcp/protocol/progress",
        &[
            FRONT_END,
            e2e(&["own_stream::", "pace::", "legacy::", "modern::"]),
        ],
    ),
    (
        "src/mcp/protocol/log",
        &[
            FRONT_END,
            e2e(&["logs::", "own_stream::", "declarations::"]),
        ],
    ),
    (
        "src/mcp/wait/",
        &[
            FRONT_END,
            e2e(&[
                "legacy::",
                "handles::",
                "resume::",
                "questions::",
                "logs::",
                "cancelled::",
                "pace::",
                "sharing::",
            ]),
        ],
    ),
    ("src/mcp/background/", &[FRONT_END, e2e(&["handles::"])]),
    (
        "src/mcp/legacy/",
        &[
            FRONT_END,
            e2e(&[
                "legacy::",
                "questions::",
                "own_stream::",
                "resume::",
                "receivers::",
                "cancelled::",
                "logs::",
                "malformed::",
                "ids::",
                "owners::",
                "handles::",
            ]),
        ],
    ),
    (
        "src/mcp/modern/",
        &[
            FRONT_END,
            e2e(&[
                "modern::",
                "subscriptions::",
                "questions::",
                "malformed::",
                "cancelled::",
                "ids::",
                "owners::",
                "askable::",
            ]),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(folder: &str, extension: &str, found: &mut Vec<String>) {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
        for entry in std::fs::read_dir(format!("{root}{folder}")).expect("a folder") {
            let name = entry.expect("an entry").file_name();
            let path = format!("{folder}/{}", name.to_string_lossy());
            if std::path::Path::new(&format!("{root}{path}")).is_dir() {
                sources(&path, extension, found);
            } else if path.ends_with(extension) {
                found.push(path);
            }
        }
    }

    #[test]
    fn every_source_has_suites_and_every_script_its_own() {
        let mut all = Vec::new();
        for folder in ["contract/src", "process/src", "worker/src", "src"] {
            sources(folder, ".rs", &mut all);
        }
        for file in &all {
            assert!(!suites_for(file).is_empty(), "{file}");
        }
        let mut scripts = Vec::new();
        sources("contract/lua", ".lua", &mut scripts);
        assert!(all.len() > 100 && scripts.len() > 20);
        for script in scripts {
            let own = SCRIPTS
                .iter()
                .any(|(prefix, _)| *prefix != "contract/lua/" && script.starts_with(prefix));
            assert!(own, "{script} has no tests of its own in the table");
        }
    }
}
