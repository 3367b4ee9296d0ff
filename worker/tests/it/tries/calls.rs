//! What a tool that is tried is given, what it reports meanwhile, and how it is stopped.

use taskferry_testing::{Process, group_lives};

use super::Desk;
use crate::rig::SOON;

/// Says its arguments again.
const ECHO: &str = "read -r arguments; echo '::progress 1/2 half' >&2; echo '::message nearly' >&2; printf '%s' \"$arguments\"";

#[test]
fn arguments_come_as_they_are_written_from_wherever_they_are() {
    let schema = "input_schema = { type = 'object', properties = { n = { type = 'number' } }, additionalProperties = false }";
    let desk = Desk::of_script(&format!("output = 'text'\n{schema}"), ECHO);
    let written = r#"{"n":  1.50}"#;
    let file = desk.folder.path().join("arguments.json");
    std::fs::write(&file, written).unwrap();
    let from_file = format!("@{}", file.display());
    for said in [
        desk.try_it(&["--arguments", written]),
        desk.try_it(&["--arguments", &from_file]),
        desk.try_with_input(written, &["--arguments", "-"]),
    ] {
        assert_eq!(
            (said.code, said.text().as_str()),
            (Some(0), written),
            "{said:?}"
        );
    }
    assert_eq!(desk.try_it(&[]).text(), "{}");
    for (arguments, told) in [
        (r#"{"n":"x"}"#, "invalid arguments for t: /n: "),
        (r#"{"n":1,"n":2}"#, "twice"),
        ("[]", "must be an object"),
        ("{", "cannot be read as JSON"),
        ("@/no/such/file", "/no/such/file cannot be read"),
    ] {
        let said = desk.try_it(&["--arguments", arguments]);
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{said:?}");
        said.has(told);
    }
    let said = desk.said(desk.worker("try", &["other"]).output().unwrap());
    assert_eq!(said.code, Some(2));
    said.has("there is no tool \"other\"; there are: t");
}

#[test]
fn a_command_has_the_environment_of_an_attempt_and_none_of_the_workers_settings() {
    let desk = Desk::of_script("env = { COLOUR = 'red' }\nenv_pass = ['INHERITED']", "env");
    let mut command = desk.worker("try", &["t"]);
    command.env("TASKFERRY_SLOTS", "3").env("INHERITED", "yes");
    command.env("NOT_NAMED", "secret");
    let said = desk.said(command.output().unwrap());
    let told = said.text();
    let lines: Vec<&str> = told.lines().collect();
    for line in [
        "COLOUR=red",
        "INHERITED=yes",
        "TASKFERRY_ATTEMPT=1",
        "TASKFERRY_TOOL=t",
        "TASKFERRY_OWNER=",
    ] {
        assert!(lines.contains(&line), "{line}: {told}");
    }
    for part in ["TASKFERRY_TASK_ID=0-", "TASKFERRY_DEADLINE_MS="] {
        assert!(
            lines.iter().any(|line| line.starts_with(part)),
            "{part}: {told}"
        );
    }
    assert!(!told.contains("TASKFERRY_SLOTS"), "{told}");
    assert!(!told.contains("NOT_NAMED"), "{told}");
}

#[test]
fn a_command_gets_no_file_that_its_worker_was_started_with() {
    let desk = Desk::of_script("", "ls -l /proc/self/fd");
    let worker = desk.worker("try", &["t"]);
    let mut command = std::process::Command::new("sh");
    let opens = "exec 9</etc/passwd 8>&1; exec \"$0\" \"$@\"";
    command.args(["-c", opens]).arg(worker.get_program());
    command.args(worker.get_args());
    let said = desk.said(command.output().unwrap()).text();
    assert!(said.contains(" 0 -> "), "{said}");
    assert!(
        !said.contains(" 9 -> ") && !said.contains(" 8 -> "),
        "{said}"
    );
}

#[tokio::test]
async fn reports_are_shown_as_they_come() {
    let desk = Desk::of_script(
        "",
        "echo '::progress 1/3 one' >&2; echo '::log warning careful' >&2; echo 'plain words' >&2
         while [ ! -e go ]; do sleep 0.02; done; echo '::message last words' >&2; echo done",
    );
    let mut trial = Process::start("try", desk.worker("try", &["t"]));
    trial.wait_for_line(SOON, "progress 1/3 one").await;
    trial.wait_for_line(SOON, "log warning careful").await;
    trial.wait_for_line(SOON, "plain words").await;
    assert_eq!(trial.stdout(), "");
    std::fs::write(desk.folder.path().join("go"), "").unwrap();
    assert_eq!(trial.wait_for_exit(SOON).await.code(), Some(0));
    let said = trial.stderr();
    assert!(said.contains("message last words"), "{said}");
    assert_eq!(said.matches("careful").count(), 1, "{said}");
}

#[tokio::test]
async fn a_signal_cancels_the_call_and_ends_its_command() {
    let desk = Desk::of_script(
        "",
        "trap 'echo gone > gone; exit' TERM; echo \"::message $$ runs\" >&2
         while :; do sleep 0.05; done",
    );
    let mut trial = Process::start("try", desk.worker("try", &["t"]));
    let line = trial.wait_for_line(SOON, " runs").await;
    let leader: u32 = line.split(' ').nth(1).unwrap().parse().unwrap();
    trial.terminate();
    assert_eq!(trial.wait_for_exit(SOON).await.code(), Some(1));
    assert_eq!((trial.stdout().as_str(), group_lives(leader)), ("", false));
    assert!(desk.folder.path().join("gone").exists(), "it could tidy up");
    assert!(trial.stderr().contains("cancelled"), "{}", trial.stderr());
}
