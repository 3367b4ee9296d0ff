use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use taskferry_worker::exec::{CommandOutcome, OutputMode, StartError};
use taskferry_worker::manifest::Manifest;

use crate::support::{Case, panic_with, text_of};

#[tokio::test]
async fn arguments_come_as_one_line_on_stdin() {
    let mut case = Case::new(&["cat"]);
    case.arguments = "{\"z\": 1.0,\r\n \"a\": \"x\\ny\"}".into();
    case.command.output = OutputMode::Text;
    assert_eq!(case.text().await, "{\"z\": 1.0,   \"a\": \"x\\ny\"}");
}

#[tokio::test]
async fn arguments_come_as_argv_without_a_shell() {
    let mut case = Case::new(&["printf", "[%s]", "{text}", "{list}", "--gone={none}", "{n}"]);
    case.arguments = json!({"text": "a  b; $(id) '\"", "list": [1, "x"], "n": 2}).to_string();
    assert_eq!(case.text().await, "[a  b; $(id) '\"][[1,\"x\"]][2]");
    // As the caller wrote them.
    case.arguments =
        r#"{"text": "", "list": {"z": 1.0, "a": 2}, "n": 123456789012345678901}"#.to_owned();
    assert_eq!(
        case.text().await,
        r#"[][{"z":1.0,"a":2}][123456789012345678901]"#
    );
}

#[tokio::test]
async fn the_environment_tells_of_the_attempt_and_hides_the_worker() {
    let mut case = Case::python("import json, os; print(json.dumps(dict(os.environ)))");
    for (name, value) in [
        ("KEPT", "yes"),
        ("LC_TIME", "C"),
        ("CLOUD_PASSWORD", "of the worker"),
        ("OVER", "old"),
        ("TASKFERRY_REDIS_URL", "redis://:pw@h"),
    ] {
        case.inherited.push((name.into(), value.into()));
    }
    case.command.env_pass.add("KEPT");
    case.command.env.set("OVER", "new");
    case.timeout = Duration::from_secs(60);
    let before = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis();
    let result = case.result().await;
    let value: Value = serde_json::from_str(result.result.get()).unwrap();
    let environment = &value["structuredContent"];
    assert_eq!(environment["KEPT"], "yes");
    assert_eq!(environment["LC_TIME"], "C");
    assert_eq!(environment["CLOUD_PASSWORD"], Value::Null);
    assert_eq!(environment["OVER"], "new");
    assert_eq!(
        environment["TASKFERRY_TASK_ID"],
        "0-11111111-2222-4333-8444-555555555555"
    );
    assert_eq!(
        environment["TASKFERRY_ORIGIN_TASK_ID"],
        "0-66666666-7777-4888-9999-000000000000"
    );
    assert_eq!(environment["TASKFERRY_ATTEMPT"], "2");
    assert_eq!(environment["TASKFERRY_TOOL"], "the_tool");
    assert_eq!(environment["TASKFERRY_OWNER"], "somebody");
    let deadline: u128 = environment["TASKFERRY_DEADLINE_MS"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(
        (before + 60_000..before + 90_000).contains(&deadline),
        "{deadline}"
    );
    let names = environment.as_object().unwrap().keys();
    assert_eq!(
        names.filter(|name| name.starts_with("TASKFERRY_")).count(),
        6
    );
}

#[tokio::test]
async fn a_bare_name_is_looked_up_in_the_path_that_the_command_gets() {
    let mut case = Case::new(&["a-program-of-its-own"]);
    let error = case.run().await.unwrap_err();
    assert!(matches!(error, StartError::NotFound { .. }), "{error:?}");
    let program = case.path("a-program-of-its-own");
    fs::write(&program, "#!/bin/sh\necho found\n").unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let folder = case.folder.path().to_owned();
    case.command.env.set("PATH", folder);
    assert_eq!(case.text().await, "found");
}

#[tokio::test]
async fn a_value_that_looks_like_an_option_does_not_reach_its_program() {
    let mut case = Case::new(&["sort", "{file}"]);
    case.arguments = json!({"file": "--output=stolen"}).to_string();
    let error = case.run().await.unwrap_err();
    assert!(matches!(error, StartError::Argument(_)), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("the argument `file` begins with `-`") && text.contains("./-name"),
        "{text}"
    );
    assert!(!text.contains("stolen"), "{text}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn the_command_runs_in_its_folder() {
    let case = Case::sh("echo inside > here; cat here");
    assert_eq!(case.text().await, "inside");
    assert_eq!(fs::read_to_string(case.path("here")).unwrap(), "inside\n");
}

#[tokio::test]
async fn a_result_passes_through_untouched() {
    let mut case =
        Case::sh(r#"printf '{"content": [{"type":"text","text":"x"}],\n "_meta": {"n": 1.0}}\n'"#);
    case.command.output = OutputMode::Result;
    let result = case.result().await;
    assert_eq!(
        result.result.get(),
        "{\"content\": [{\"type\":\"text\",\"text\":\"x\"}],\n \"_meta\": {\"n\": 1.0}}"
    );
    assert_eq!(result.summary.as_deref(), Some("x"));
}

#[tokio::test]
async fn an_exit_code_is_a_tool_error() {
    assert_eq!(
        Case::sh("echo out; echo err >&2; exit 3").error().await,
        "out"
    );
    assert_eq!(Case::sh("echo err >&2; exit 3").error().await, "err");
    assert_eq!(Case::sh("exit 3").error().await, "exit code 3");
}

#[tokio::test]
async fn an_error_shows_the_last_lines_but_no_reports() {
    let script = "for i in $(seq 30); do echo line $i >&2; echo ::progress $i >&2; done; echo ::oops >&2; exit 1";
    let text = Case::sh(script).error().await;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 20);
    assert_eq!(
        (lines[0], lines[18], lines[19]),
        ("line 12", "line 30", "::oops")
    );
}

#[tokio::test]
async fn exit_75_asks_for_another_attempt() {
    match Case::sh("echo 'the database is busy' >&2; exit 75")
        .outcome()
        .await
    {
        CommandOutcome::Retry { message, result } => {
            assert_eq!(message, "the database is busy");
            assert!(result.is_error);
            assert_eq!(text_of(&result), "the database is busy");
        }
        other => panic_with(&other),
    }
}

#[tokio::test]
async fn a_signal_from_elsewhere_asks_for_another_attempt() {
    match Case::sh("echo half; echo last words >&2; kill -KILL $$")
        .outcome()
        .await
    {
        CommandOutcome::Retry { message, result } => {
            assert_eq!(message, "killed by signal 9");
            assert_eq!(text_of(&result), "killed by signal 9\nlast words");
        }
        other => panic_with(&other),
    }
}

#[tokio::test]
async fn a_command_that_cannot_start_says_why() {
    let mut case = Case::new(&["no-such-program-anywhere"]);
    case.inherited.push(("SECRET".into(), "hunter2".into()));
    let error = case.run().await.unwrap_err();
    assert!(matches!(error, StartError::NotFound { .. }), "{error:?}");
    assert!(!error.is_transient());
    let result = error.to_result();
    assert!(result.is_error);
    let text = text_of(&result);
    assert!(text.contains("`no-such-program-anywhere`"), "{text}");
    assert!(!format!("{error:?}{text}").contains("hunter2"));

    let case = Case::new(&["/dev/null"]);
    let error = case.run().await.unwrap_err();
    assert!(
        matches!(error, StartError::NotExecutable { .. }),
        "{error:?}"
    );

    let mut case = Case::new(&["true"]);
    case.command.cwd = case.path("missing");
    let error = case.run().await.unwrap_err();
    assert!(
        matches!(error, StartError::WorkingDirectory { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_folder_that_may_not_be_entered_is_named_instead_of_the_program() {
    if rustix::process::geteuid().is_root() {
        // Every folder is open to root.
        as_nobody("results::a_folder_that_may_not_be_entered_is_named_instead_of_the_program")
            .await;
        return;
    }
    let mut case = Case::new(&["true"]);
    let (shut, inner) = (case.path("shut"), case.path("shut/inner"));
    fs::create_dir_all(&inner).unwrap();
    let program = inner.join("program");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&shut, Permissions::from_mode(0o600)).unwrap();
    let named = |error: &StartError| {
        let StartError::Closed { folder, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(*folder, shut);
        assert!(!error.is_transient());
        assert!(error.to_string().contains(&format!("`{}`", shut.display())));
    };
    // The working directory, and one below.
    for cwd in [&shut, &inner] {
        case.command.cwd = cwd.clone();
        named(&case.run().await.unwrap_err());
    }
    // The program, by its path, and in PATH.
    let case = Case::new(&[program.to_str().unwrap()]);
    named(&case.run().await.unwrap_err());
    let mut case = Case::new(&["program"]);
    case.inherited = vec![("PATH".into(), format!("/usr/bin:{}", inner.display()))];
    named(&case.run().await.unwrap_err());
    // A program that may not be run is told of, whatever else is closed.
    let open = case.path("open");
    fs::create_dir(&open).unwrap();
    fs::write(open.join("program"), "").unwrap();
    case.command
        .env
        .set("PATH", format!("{}:{}", inner.display(), open.display()));
    let error = case.run().await.unwrap_err();
    assert!(
        matches!(error, StartError::NotExecutable { .. }),
        "{error:?}"
    );
    // A manifest that names the program by a relative path is refused with the folder's name.
    let manifest = "[[tool]]\nname = 'a'\ndescription = 'A'\ncommand = ['shut/inner/program']";
    let error = Manifest::parse(manifest, shut.parent().unwrap()).unwrap_err();
    let told = error.to_string();
    let part = format!("the folder `{}`, which leads to", shut.display());
    assert!(told.contains(&part), "{told}");
    fs::set_permissions(&shut, Permissions::from_mode(0o700)).unwrap();
}

/// Runs one test of this binary again as a user who has no rights.
async fn as_nobody(test: &str) {
    let mut again = tokio::process::Command::new("/proc/self/exe");
    again.args(["--exact", test]).uid(65534).gid(65534);
    again.env("TMPDIR", "/tmp");
    let ended = again.output().await.expect("this test, once more");
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn arguments_that_no_command_line_can_carry_are_refused() {
    let mut case = Case::new(&["true", "{x}"]);
    case.arguments = json!({"x": "x".repeat(4 << 20)}).to_string();
    let error = case.run().await.unwrap_err();
    assert!(
        matches!(error, StartError::ArgumentsTooLarge { .. }),
        "{error:?}"
    );
    case.arguments = r#"{"x": "a\u0000b"}"#.into();
    let error = case.run().await.unwrap_err();
    assert!(matches!(error, StartError::Argument(_)), "{error:?}");
    assert!(!error.is_transient());
}
