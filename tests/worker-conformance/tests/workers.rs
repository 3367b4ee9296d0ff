//! The kit with the workers of this repository: each check is a test.

use std::process::Command;

use taskferry_testing::command;

/// The worker in Rust with the kit's tools.
const RUST: &str = env!("CARGO_BIN_EXE_conformance-worker");
/// The folder of the manifest.
const EXEC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/exec");

/// Runs one check, which must pass.
fn passes(check: &str, worker: Command) {
    let mut kit = Command::new(env!("CARGO_BIN_EXE_worker-conformance"));
    kit.args(["--only", check, "--"])
        .arg(worker.get_program())
        .args(worker.get_args());
    if let Some(folder) = worker.get_current_dir() {
        kit.current_dir(folder);
    }
    let ended = kit.output().expect("the kit starts");
    let told = String::from_utf8_lossy(&ended.stdout);
    let errors = String::from_utf8_lossy(&ended.stderr);
    let passed = ended.status.success() && told.starts_with(&format!("passed  {check} "));
    assert!(passed, "{told}\n{errors}");
}

fn exec() -> Command {
    let mut worker = command("taskferry-worker");
    worker.args(["--manifest", "tools.toml"]).current_dir(EXEC);
    worker
}

fn in_shell() -> Command {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/shell");
    let mut worker = Command::new(format!("{folder}/taskferry-worker"));
    worker.args([&format!("{folder}/examples/conformance"), "conformance"]);
    worker
}

macro_rules! checks {
    ($of:ident, $worker:expr, [$($name:ident),* $(,)?]) => {
        mod $of {
            use super::*;

            $(
                #[test]
                fn $name() {
                    passes(stringify!($name), $worker);
                }
            )*
        }
    };
}

checks!(
    rust,
    Command::new(RUST),
    [
        register, claim, context, trace, progress, log, lease, ask, replay, big, empty, error,
        late, cancel, retry, exhausted, unknown, kill, poison, stale, drain, release, major,
        permission,
    ]
);

// What a worker does around its commands is the same as with handlers.
checks!(
    exec_manifest,
    exec(),
    [
        claim, context, trace, progress, log, lease, ask, replay, big, empty, error, late, cancel,
        retry, stale, release,
    ]
);

checks!(
    shell,
    in_shell(),
    [
        register, claim, context, trace, progress, log, lease, ask, replay, big, empty, error,
        late, cancel, retry, exhausted, unknown, kill, poison, stale, drain, release, major,
        permission,
    ]
);

#[test]
fn a_worker_that_ends_fails_and_what_it_cannot_do_is_no_failure() {
    let run = |arguments: &[&str]| {
        let mut kit = Command::new(env!("CARGO_BIN_EXE_worker-conformance"));
        let ended = kit.args(arguments).output().expect("the kit starts");
        let told = String::from_utf8_lossy(&ended.stdout).into_owned();
        (ended.status.code(), told)
    };
    let (code, _) = run(&["--only", "nothing", "--", "true"]);
    assert_eq!(code, Some(2), "there is no such check");
    let (code, _) = run(&["--only", "kill", "--cannot", "kill", "--", "false"]);
    assert_eq!(code, Some(0));
    let both = [
        "--only",
        "drain,kill",
        "--cannot",
        "kill",
        "--json",
        "--",
        "false",
    ];
    let (code, told) = run(&both);
    assert_eq!(code, Some(1), "{told}");
    for part in [
        "\"verdict\":\"failed\"",
        "\"verdict\":\"cannot\"",
        "the worker ended by itself",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}
