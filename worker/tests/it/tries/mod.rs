//! `check` and `try`: what they say, what they run, and that Redis is asked for nothing.

mod calls;
mod cgroups;
mod check;
mod questions;
mod results;

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

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

fn example(name: &str) -> std::path::PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("examples").join(name)
}

#[test]
fn workers_in_rust_supervise_commands_too() {
    let desk = Desk::new(
        "[[tool]]\nname = 't'\ndescription = 'd'\ncommand = ['sh', '-c', 'ulimit -n; cat /proc/$PPID/cmdline']\nlimits.open_files = 64",
    );
    // One has a runtime of its own when it learns what it was started for.
    for name in ["rust_worker", "fixture_worker"] {
        let mut command = desk.command(&example(name), "try", &["t", "--manifest"]);
        command.arg(desk.folder.path().join("tools.toml"));
        let said = desk.said(command.output().unwrap());
        assert_eq!(said.code, Some(0), "{said:?}");
        let told = said.text();
        assert!(told.starts_with("64\ntaskferry-supervisor"), "{told}");
    }
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
