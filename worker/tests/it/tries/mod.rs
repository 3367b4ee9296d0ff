//! `check` and `try`: what they say, what they run, and that Redis is asked for nothing.

mod questions;

use std::fs::Permissions;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use taskferry_testing::{Process, group_lives};
use tempfile::TempDir;

use crate::rig::{Rig, SOON, Scripts, text, tool};

/// A folder with a manifest, and a place of Redis at which nobody answers.
struct Desk {
    folder: TempDir,
    redis: TcpListener,
}

impl Desk {
    fn new(manifest: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tools.toml"), manifest).unwrap();
        let redis = TcpListener::bind("127.0.0.1:0").unwrap();
        redis.set_nonblocking(true).unwrap();
        Self { folder, redis }
    }

    /// A desk with one tool, `t`, which is a shell script.
    fn of_script(rest: &str, script: &str) -> Self {
        let desk = Self::new(&format!(
            "[[tool]]\nname = 't'\ndescription = 'd'\ncommand = ['sh', '-eu', 'script.sh']\n{rest}"
        ));
        std::fs::write(desk.folder.path().join("script.sh"), script).unwrap();
        desk
    }

    fn command(&self, program: &Path, command: &str, arguments: &[&str]) -> Command {
        let mut command_line = Command::new(program);
        let address = self.redis.local_addr().unwrap();
        command_line
            .args([command, "--redis-url", &format!("redis://{address}/0")])
            .args(arguments)
            .stdin(Stdio::null());
        command_line
    }

    fn worker(&self, command: &str, arguments: &[&str]) -> Command {
        let worker = Path::new(env!("CARGO_BIN_EXE_taskferry-worker"));
        let mut worker = self.command(worker, command, arguments);
        worker
            .arg("--manifest")
            .arg(self.folder.path().join("tools.toml"));
        worker
    }

    fn check(&self, arguments: &[&str]) -> Said {
        self.said(self.worker("check", arguments).output().unwrap())
    }

    fn try_it(&self, arguments: &[&str]) -> Said {
        let mut all = vec!["t"];
        all.extend(arguments);
        self.said(self.worker("try", &all).output().unwrap())
    }

    fn try_with_input(&self, input: &str, arguments: &[&str]) -> Said {
        let mut all = vec!["t"];
        all.extend(arguments);
        let mut command = self.worker("try", &all);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        self.said(child.wait_with_output().unwrap())
    }

    /// What a command said, which connected to no Redis.
    fn said(&self, output: Output) -> Said {
        let asked = self.redis.accept();
        assert!(asked.is_err(), "it asked Redis for something");
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

#[derive(Debug)]
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Said {
    fn json(&self) -> Value {
        let read = serde_json::from_str(&self.stdout);
        assert!(read.is_ok(), "{self:?}");
        read.unwrap()
    }

    fn text(&self) -> String {
        let text = &self.json()["content"][0]["text"];
        text.as_str().unwrap().to_owned()
    }

    fn has(&self, part: &str) {
        assert!(self.stderr.contains(part), "{part:?} is not in {self:#?}");
    }
}

/// Says its arguments again.
const ECHO: &str = "read -r arguments; echo '::progress 1/2 half' >&2; echo '::message nearly' >&2; printf '%s' \"$arguments\"";

fn example(name: &str) -> std::path::PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("examples").join(name)
}

#[test]
fn check_lists_the_tools_that_a_start_would_have() {
    let desk = Desk::new(
        "[[tool]]\nname = 'print_label'\ndescription = 'd'\ncommand = ['sh', '-c', 'true']\nqueue = 'printers'\n\
         [[tool]]\nname = 'b'\ndescription = 'd'\ncommand = ['/bin/sh']\n\
         [[tool]]\nname = 'c'\ndescription = 'd'\ncommand = ['sh', '-eu', './run.sh', 'x']\n\
         [[tool]]\nname = 'd'\ndescription = 'd'\ncommand = ['./run.sh']",
    );
    let script = desk.folder.path().join("run.sh");
    std::fs::write(&script, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    let said = desk.check(&[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let lines: Vec<&str> = said.stdout.lines().collect();
    let expected = [
        "TOOL         QUEUE     RUNS",
        "b            default   /bin/sh",
        "c            default   sh ./run.sh",
        &format!("d            default   {}", script.display()),
        "print_label  printers  sh",
    ];
    assert_eq!(lines, expected);
    // What a start would warn of is no reason against it.
    said.has("warning: drain_timeout is 5s, and timeout is up to 10m (b, c, d and 1 more)");
    let said = desk.check(&["--drain-timeout", "10m"]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
}

#[test]
fn check_warns_of_a_script_that_its_interpreter_would_not_find() {
    let desk = Desk::new(
        "[[tool]]\nname = 't'\ndescription = 'd'\ncommand = ['python3', 'crunsh.py']\ntimeout = '1s'",
    );
    let said = desk.check(&[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    said.has("warning: tool \"t\": python3 is given `crunsh.py`, and there is no such file in ");
    let script = desk.folder.path().join("crunsh.py");
    std::fs::write(script, "").unwrap();
    let said = desk.check(&[]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
}

#[test]
fn check_names_faults_of_the_manifest_and_of_commands_together() {
    let desk = Desk::new(
        "[[tool]]\nname = 't'\ndescription = 'd'\ncommand = ['pythonn3', 'a.py']\nattempt = 2\n\
         [[tool]]\nname = 'u'\ndescription = 'd'\ncommand = ['true']\ntimeout = 'soon'",
    );
    let said = desk.check(&[]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
    for part in ["attempt: unknown key", "timeout: ", "`pythonn3`"] {
        said.has(part);
    }
    assert_eq!(said.stderr.matches("pythonn3").count(), 1, "{said:?}");
}

#[test]
fn a_later_attempt_is_played_until_none_is_left() {
    let script = "echo $TASKFERRY_ATTEMPT; exit 75";
    for (rest, attempt, code, again) in [
        ("attempts = 3", "2", 75, "2"),
        ("attempts = 3", "3", 1, "3"),
        ("attempts = 1", "1", 1, "1"),
    ] {
        let said = Desk::of_script(rest, script).try_it(&["--attempt", attempt]);
        assert_eq!(
            (said.code, said.text().trim()),
            (Some(code), again),
            "{said:?}"
        );
        let warned = said.stderr.contains("this is no dry run");
        assert_eq!(warned, rest == "attempts = 1", "{said:?}");
    }
    let said = Desk::of_script("", script).try_it(&["--attempt", "0"]);
    assert_eq!(said.code, Some(2), "{said:?}");
}

#[test]
fn check_names_every_fault_of_a_manifest_and_of_settings() {
    let desk = Desk::new("[[tool]]\nname = 'a b'\ncomand = ['x']\ntimeout = 'soon'");
    let said = desk.check(&[]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
    for part in [
        "name: ",
        "comand: unknown key",
        "command: is required",
        "timeout: ",
    ] {
        said.has(part);
    }
    let said = desk.check(&["--slots", "0", "--lease", "1h"]);
    assert_eq!(said.code, Some(2));
    said.has("--slots");
    said.has("--lease");
    let large = Desk::of_script("max_output = '20MiB'", "").check(&[]);
    assert_eq!(large.code, Some(2));
    large.has("tool t: max_output is 20MiB");
    let schema = Desk::new(
        "[[tool]]\nname = 't'\ndescription = 'd'\ncommand = ['sh']\ninput_schema = { type = 'object', minProperties = 'x' }",
    );
    let said = schema.check(&[]);
    assert_eq!(said.code, Some(2));
    said.has("minProperties");
}

#[test]
fn check_names_every_command_that_cannot_be_started_here() {
    let desk = Desk::new(
        "[[tool]]\nname = 'well'\ndescription = 'd'\ncommand = ['true']\n\
         [[tool]]\nname = 'lost'\ndescription = 'd'\ncommand = ['no-such-program']\n\
         [[tool]]\nname = 'away'\ndescription = 'd'\ncommand = ['sh']\ncwd = 'no/such/folder'",
    );
    let said = desk.check(&[]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
    said.has("tool \"lost\": the command could not be started: `no-such-program`");
    said.has("tool \"away\": the command could not be started: its working directory");
    assert!(!said.stderr.contains("well"), "{said:?}");
    // A worker starts with them: the program may be mounted later.
    let tried = desk.worker("try", &["well"]).output().unwrap();
    assert!(tried.status.success(), "{tried:?}");
}

#[tokio::test]
async fn a_tried_tool_has_the_result_that_a_worker_stores() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    let _worker = rig.start_binary(scripts.path(), &[]);
    rig.until_registered("echo").await;
    let id = rig.submit(&tool("echo"), r#"{"text":"h\u00e9llo"}"#).await;
    let stored = rig.end_of(id).await;
    assert_eq!(text(&stored), "héllo");
    let desk = Desk::new(&std::fs::read_to_string(scripts.path().join("tools.toml")).unwrap());
    let arguments = ["echo", "--arguments", r#"{"text":"h\u00e9llo"}"#];
    let said = desk.said(desk.worker("try", &arguments).output().unwrap());
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(Some(said.stdout.trim_end()), stored.result.as_deref());
    said.has("progress 1/2 half");
}

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
    let desk = Desk::of_script("env = { COLOUR = 'red' }", "env");
    let mut command = desk.worker("try", &["t"]);
    command.env("TASKFERRY_SLOTS", "3").env("INHERITED", "yes");
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
}

#[test]
fn the_exit_code_says_how_the_tool_ended() {
    for (rest, script, code, told) in [
        ("", "echo 'no paper'; exit 3", 1, "no paper"),
        ("", "echo 'busy' >&2; exit 75", 75, "busy"),
        ("attempts = 1", "echo 'busy' >&2; exit 75", 1, "busy"),
        (
            "timeout = '100ms'",
            "exec sleep 600",
            1,
            "timed out after 100ms",
        ),
        (
            "max_output = '10B'",
            "echo 'more than ten bytes'",
            1,
            "output is larger than 10B",
        ),
        ("output = 'json'", "echo plain", 1, "JSON object"),
        ("", "kill -9 $$", 75, "killed by signal 9"),
        ("cwd = 'no/such'", "", 1, "its working directory"),
    ] {
        let said = Desk::of_script(rest, script).try_it(&[]);
        assert_eq!(said.code, Some(code), "{said:?}");
        assert_eq!(said.json()["isError"], true, "{said:?}");
        assert!(said.text().contains(told), "{told}: {said:?}");
        assert_eq!(
            said.stderr.contains("a worker would attempt it again"),
            code == 75
        );
    }
    let promised = "[tool.output_schema]\ntype = 'object'\nrequired = ['n']";
    let said = Desk::of_script(promised, "echo '{}'").try_it(&[]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.text().contains("does not fit its output schema"),
        "{said:?}"
    );
    let large = Desk::of_script("", "head -c 4000 /dev/zero | tr '\\0' x");
    let said = large.try_it(&["--max-result", "1KiB"]);
    assert!(said.text().contains("max_result"), "{said:?}");
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

#[test]
fn a_worker_in_rust_has_both_commands() {
    let desk = Desk::new("");
    let worker = example("rust_worker");
    let said = desk.said(desk.command(&worker, "check", &[]).output().unwrap());
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.stdout
            .contains("summarize_orders  default  (a handler of this program)"),
        "{said:?}"
    );
    let asking = [
        "summarize_orders",
        "--arguments",
        r#"{"region":"North","confirm":true}"#,
    ];
    for (answer, code, part) in [
        ("confirm=accept", 0, r#""2024-12":6345.62"#),
        ("confirm=decline", 1, "the person does not want it"),
    ] {
        let mut arguments = asking.to_vec();
        arguments.extend(["--answer", answer]);
        let said = desk.said(desk.command(&worker, "try", &arguments).output().unwrap());
        assert_eq!(said.code, Some(code), "{said:?}");
        assert!(said.text().contains(part), "{said:?}");
    }
    let said = desk.said(desk.command(&worker, "try", &asking).output().unwrap());
    assert!(said.text().contains("nobody answered"), "{said:?}");
}

#[test]
fn a_result_that_nobody_can_take_is_told() {
    let desk = Desk::of_script("", "echo x");
    let mut command = desk.worker("try", &["t"]);
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = command
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let said = desk.said(output);
    assert_eq!(said.code, Some(1), "{said:?}");
    said.has("the result cannot be written");
}
