//! Limits and sandboxes of commands.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::json;
use taskferry_worker::exec::{CommandOutcome, StartError, User};

use crate::support::Case;

fn nobody() -> User {
    User {
        name: "nobody".to_owned(),
        uid: 65_534,
        gid: 65_534,
        home: "/nonexistent".to_owned(),
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A case whose folder every user may enter, wherever this user has its own temporary files.
fn open(script: &str) -> Case {
    let mut case = Case::sh(script);
    case.folder = tempfile::tempdir_in("/tmp").expect("a folder that others may enter");
    case.command.cwd = case.folder.path().to_owned();
    fs::set_permissions(case.folder.path(), Permissions::from_mode(0o755))
        .expect("the folder is this test's own");
    case
}

#[tokio::test]
async fn a_limit_of_processor_time_ends_the_command_and_is_told() {
    let mut case = Case::sh("echo begun >&2; while :; do :; done");
    case.command.limits.cpu_time = Some(Duration::from_secs(1));
    let told = case.error().await;
    assert!(
        told.starts_with("it took more than 1s of processor time (the tool's limits.cpu_time"),
        "{told}"
    );
    assert!(told.ends_with("begun"), "{told}");
}

#[tokio::test]
async fn a_limit_of_memory_is_told() {
    let mut case = Case::python("x = bytearray(400 << 20)");
    case.command.limits.memory = Some(64 << 20);
    let told = case.error().await;
    assert!(
        told.contains("MemoryError") && told.contains("limits.memory of 64MiB"),
        "{told}"
    );
    let mut case = Case::python("print(len(bytearray(4 << 20)))");
    case.command.limits.memory = Some(64 << 20);
    assert_eq!(case.text().await, (4 << 20).to_string());
}

#[tokio::test]
async fn limits_of_files_are_told() {
    let mut case = Case::sh("head -c 100000 /dev/zero > large");
    case.command.limits.file_size = Some(4096);
    let told = case.error().await;
    assert!(
        told.contains("a file of more than 4KiB (the tool's limits.file_size"),
        "{told}"
    );
    assert_eq!(fs::metadata(case.path("large")).unwrap().len(), 4096);
    let mut case = Case::python("import os; files = [open('/dev/zero') for _ in range(64)]");
    case.command.limits.open_files = Some(32);
    let told = case.error().await;
    assert!(told.contains("limits.open_files of 32"), "{told}");
}

#[tokio::test]
async fn the_exit_code_still_says_whether_to_try_again() {
    let mut case = Case::sh("echo 'Cannot allocate memory' >&2; exit 75");
    case.command.limits.memory = Some(64 << 20);
    let outcome = case.outcome().await;
    let CommandOutcome::Retry { message, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(message.contains("limits.memory of 64MiB"), "{message}");
}

#[tokio::test]
async fn another_user_has_no_groups_and_no_rights_of_the_worker() {
    if !is_root() {
        let mut case = open("true");
        case.command.sandbox.user = Some(nobody());
        let error = case.run().await.unwrap_err();
        assert!(
            error.to_string().contains("cannot run as nobody"),
            "{error}"
        );
        return;
    }
    let mut case = open(
        "id -u; id -G; echo $HOME $USER; cat secret; kill -0 $PPID || echo safe; grep -E '^Cap(Eff|Prm)' /proc/self/status",
    );
    let secret = case.path("secret");
    fs::write(&secret, "planted").unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    case.command.sandbox.user = Some(nobody());
    let none = "0000000000000000";
    assert_eq!(
        case.text().await,
        format!("65534\n65534\n/nonexistent nobody\nsafe\nCapPrm:\t{none}\nCapEff:\t{none}")
    );
    // The supervisor has its rights still, and ends what that user left behind.
    let mut case = open("setsid sleep 1000 >/dev/null 2>&1 </dev/null & echo $!");
    case.command.sandbox.user = Some(nobody());
    let daemon = case.text().await;
    let stat = fs::read_to_string(format!("/proc/{daemon}/stat")).unwrap_or_default();
    assert!(!stat.contains("(sleep)"), "{stat}");
    // What is counted is what this user has on the whole machine.
    let mut case = open("sleep 0 & wait");
    case.command.sandbox.user = Some(nobody());
    case.command.limits.processes = Some(1);
    let told = case.error().await;
    assert!(told.contains("limits.processes of 1"), "{told}");
}

#[tokio::test]
async fn start_errors_of_another_user_are_seen_with_its_eyes() {
    if !is_root() {
        return;
    }
    let mut case = open("true");
    fs::set_permissions(case.folder.path(), Permissions::from_mode(0o700)).unwrap();
    case.command.sandbox.user = Some(nobody());
    let error = case.run().await.unwrap_err();
    let StartError::Closed { folder, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(folder, case.folder.path());
    let told = error.to_string();
    assert!(told.contains("by the user that it runs as"), "{told}");
}

#[tokio::test]
async fn a_command_that_is_limited_says_as_well_why_it_cannot_start() {
    let limited = |words: &[&str]| {
        let mut case = Case::new(words);
        case.command.limits.open_files = Some(64);
        case
    };
    let error = limited(&["no-such-program"]).run().await.unwrap_err();
    assert!(matches!(error, StartError::NotFound { .. }), "{error:?}");
    let error = limited(&["/etc/passwd"]).run().await.unwrap_err();
    assert!(
        matches!(error, StartError::NotExecutable { .. }),
        "{error:?}"
    );
    let mut case = limited(&["true"]);
    case.command.cwd = case.path("missing");
    let error = case.run().await.unwrap_err();
    assert!(
        matches!(error, StartError::WorkingDirectory { .. }),
        "{error:?}"
    );
    let mut case = limited(&["true", "{x}"]);
    case.arguments = json!({"x": "x".repeat(4 << 20)}).to_string();
    let error = case.run().await.unwrap_err();
    assert!(
        matches!(error, StartError::ArgumentsTooLarge { .. }),
        "{error:?}"
    );
    let mut case = limited(&["true"]);
    case.supervised = false;
    let error = case.run().await.unwrap_err();
    assert!(error.to_string().contains("need a supervisor"), "{error}");
}

#[tokio::test]
async fn a_sandbox_bounds_what_is_read_and_written() {
    let script = "echo x > out/new && echo wrote; echo x > in/new || echo 'not in in'; cat in/given
        cat closed/given || echo 'not in closed'; kill -0 $PPID || echo 'no signal'; echo fine > /dev/null";
    let mut case = Case::sh(script);
    for folder in ["in", "out", "closed"] {
        fs::create_dir(case.path(folder)).unwrap();
        fs::write(case.path(folder).join("given"), folder).unwrap();
    }
    case.command.sandbox.read = Some(vec![case.path("in")]);
    case.command.sandbox.write = Some(vec![case.path("out")]);
    case.command.sandbox.required = true;
    let text = match case.run().await {
        Ok(CommandOutcome::Completed(result)) => crate::support::text_of(&result),
        Ok(other) => panic!("{other:?}"),
        // Where the system cannot do it, `required` keeps the command from running without.
        Err(error) => {
            assert!(error.to_string().contains("no Landlock"), "{error}");
            return;
        }
    };
    assert_eq!(text, "wrote\nnot in in\ninnot in closed\nno signal");
    // Without `read` everything can be read, but nothing written elsewhere.
    let mut case = Case::sh("cat closed/given; echo x > closed/new || echo no");
    fs::create_dir(case.path("closed")).unwrap();
    fs::write(case.path("closed/given"), "read ").unwrap();
    case.command.sandbox.write = Some(Vec::new());
    assert_eq!(case.text().await, "read no");
}

#[tokio::test]
async fn a_sandbox_that_cannot_be_had_is_told() {
    let program = Case::sh("true");
    let file = program.path("run");
    fs::write(&file, "#!/bin/sh\necho ran\n").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
    let mut case = Case::new(&[file.to_str().unwrap()]);
    case.command.sandbox.read = Some(vec![case.path(".")]);
    match case.run().await {
        Err(error) => {
            assert!(
                error
                    .to_string()
                    .contains("name its folder in sandbox.read"),
                "{error}"
            );
            assert!(!error.is_transient());
        }
        // There is no Landlock here.
        Ok(outcome) => assert!(matches!(outcome, CommandOutcome::Completed(_))),
    }
    case.command.sandbox.read = Some(vec![case.path("gone")]);
    if let Err(error) = case.run().await {
        let told = error.to_string();
        assert!(told.contains("gone` of its sandbox: "), "{told}");
        assert!(told.contains("No such file"), "{told}");
    }
}
