//! The real binaries, as processes that a test starts, watches and kills.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::config::REDIS_SERVER;
use crate::eventually::eventually_some;

/// How much of a process's output a failing test shows.
const LINES_SHOWN: usize = 60;

/// One of this workspace's binaries, to be run as by a user: without what is set for the tests alone.
///
/// # Panics
///
/// If it has not been built.
#[must_use]
pub fn command(name: &str) -> Command {
    let mut command = Command::new(binary(name));
    command.env_remove(REDIS_SERVER);
    command
}

/// Its path, next to that of the running test or binary.
fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a running program knows its own path");
    // A test is target/<profile>/deps/<test>, a binary target/<profile>/<name>.
    let profile = own
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps"));
    let path = profile.unwrap_or(Path::new(".")).join(name);
    if !path.is_file() {
        panic!(
            "{} does not exist; build it first: cargo build --package {name} --bin {name}",
            path.display()
        );
    }
    path
}

/// A process whose output goes to files. It is killed with this value; a failing test then shows the end of its output.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: PathBuf,
    /// Removes the output with this value.
    temporary: Option<TempDir>,
}

impl Process {
    /// Starts `command`; `name` is for messages.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    #[must_use]
    pub fn start(name: &str, command: Command) -> Self {
        let temporary = tempfile::tempdir().expect("a temporary directory can be made");
        let folder = temporary.path().to_owned();
        let mut process = Self::start_in(&folder, name, command);
        process.temporary = Some(temporary);
        process
    }

    /// As [`Process::start`], with standard error somewhere else, so that [`Process::stderr`] is empty.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    #[must_use]
    pub fn start_with_stderr(name: &str, command: Command, stderr: Stdio) -> Self {
        let temporary = tempfile::tempdir().expect("a temporary directory can be made");
        let folder = temporary.path().to_owned();
        let mut process = Self::spawn(&folder, name, command, Some(stderr));
        process.temporary = Some(temporary);
        process
    }

    /// Starts `command` with its output in the files `stdout` and `stderr` of `output`, which stay.
    ///
    /// # Panics
    ///
    /// If it cannot be started, or the files cannot be made.
    #[must_use]
    pub fn start_in(output: &Path, name: &str, command: Command) -> Self {
        Self::spawn(output, name, command, None)
    }

    fn spawn(output: &Path, name: &str, mut command: Command, stderr: Option<Stdio>) -> Self {
        let file = |stream: &str| {
            let path = output.join(stream);
            File::create(&path)
                .unwrap_or_else(|error| panic!("{} cannot be made: {error}", path.display()))
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(stderr.unwrap_or_else(|| file("stderr").into()))
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        Self {
            name: name.to_owned(),
            child,
            output: output.to_owned(),
            temporary: None,
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// What it wrote to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    /// Waits until a line of its output, of either stream, contains `text`, and gives the line.
    ///
    /// # Panics
    ///
    /// If the line did not come before `deadline`, or the process ended without it.
    pub async fn wait_for_line(&mut self, deadline: Duration, text: &str) -> String {
        let what = format!("{} writes a line with {text:?}", self.name);
        eventually_some(deadline, &what, async || {
            let ended = matches!(self.child.try_wait(), Ok(Some(_)));
            let output = [self.stdout(), self.stderr()];
            let mut lines = output.iter().flat_map(|stream| stream.lines());
            if let Some(line) = lines.find(|line| line.contains(text)) {
                return Some(line.to_owned());
            }
            if ended {
                panic!("{} ended without a line with {text:?}", self.name);
            }
            None
        })
        .await
    }

    /// Waits until it ended.
    ///
    /// # Panics
    ///
    /// If it did not before `deadline`.
    pub async fn wait_for_exit(&mut self, deadline: Duration) -> ExitStatus {
        let what = format!("{} ends", self.name);
        eventually_some(deadline, &what, async || self.ended()).await
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks it to end: SIGTERM.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    /// Ends it as a power cut does: SIGKILL, and waits until it is gone.
    pub fn kill9(&mut self) {
        // Fails only if it is dead already.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Freezes it: SIGSTOP.
    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
    }

    /// Thaws it: SIGCONT.
    pub fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    /// Sends a signal; none to a process that has ended, whose id may be another's by now.
    ///
    /// # Panics
    ///
    /// If it cannot be sent.
    pub fn signal(&mut self, signal: Signal) {
        if self.is_running() {
            kill_process(Pid::from_child(&self.child), signal)
                .unwrap_or_else(|error| panic!("{} cannot be signalled: {error}", self.name));
        }
    }

    fn read(&self, stream: &str) -> String {
        let bytes = std::fs::read(self.output.join(stream)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// What is said of a key that somebody else wrote to: an operator can mend it only by its whole name.
const MISPLACED: &str = "see what it is, and remove it with redis-cli DEL";

/// The first line of a log that shows the id of a task or a session: whoever has one may use it, so logs have digests.
fn leaking(log: &str) -> Option<&str> {
    let mut lines = log.lines().filter(|line| !line.contains(MISPLACED));
    lines.find(|line| {
        let parts = line.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
        parts.into_iter().any(holds_uuid)
    })
}

/// Whether a word ends with a random UUID.
fn holds_uuid(word: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    let parts: Vec<&str> = word.rsplit('-').take(lengths.len()).collect();
    let fit = parts.iter().rev().zip(lengths);
    parts.len() == lengths.len()
        && fit.into_iter().all(|(part, length)| part.len() == length)
        && parts.get(2).is_some_and(|version| version.starts_with('4'))
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
        if self.name.starts_with("taskferry") && !std::thread::panicking() {
            let log = self.read("stderr");
            if let Some(line) = leaking(&log) {
                panic!("the log of {} shows an id: {line}", self.name);
            }
        }
        if std::thread::panicking() {
            for stream in ["stdout", "stderr"] {
                let text = self.read(stream);
                let lines: Vec<&str> = text.lines().collect();
                let shown = lines.get(lines.len().saturating_sub(LINES_SHOWN)..);
                eprintln!(
                    "--- {} {stream}\n{}",
                    self.name,
                    shown.unwrap_or_default().join("\n")
                );
            }
        }
    }
}

/// Whether any process but a zombie is left in the group that `leader` led.
///
/// # Panics
///
/// If the processes of this machine cannot be listed.
#[must_use]
pub fn group_lives(leader: u32) -> bool {
    let leader = leader.to_string();
    std::fs::read_dir("/proc")
        .expect("the processes are listed in /proc")
        .filter_map(Result::ok)
        .any(|entry| {
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // After the command's name in parentheses: state, parent, group.
            let rest = stat.rsplit(')').next().unwrap_or("");
            let fields: Vec<&str> = rest.split_whitespace().collect();
            fields.get(2) == Some(&leader.as_str()) && fields.first() != Some(&"Z")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start("sh", command)
    }

    #[tokio::test]
    async fn waits_for_a_line_of_either_stream_and_for_the_end() {
        let mut process = shell("echo out: ready; echo err: ready >&2; exec sleep 600");
        assert_eq!(process.wait_for_line(SOON, "out:").await, "out: ready");
        assert_eq!(process.wait_for_line(SOON, "err:").await, "err: ready");
        assert_eq!(process.stderr(), "err: ready\n");
        process.pause();
        process.terminate();
        assert!(
            process.is_running(),
            "a frozen process does not act on a signal"
        );
        process.resume();
        assert!(!process.wait_for_exit(SOON).await.success());
        process.terminate();
    }

    #[test]
    fn ids_are_found_in_a_log() {
        for line in [
            "INFO task=0-b9a307cd-d58b-4bd4-b771-f37e0dcf07ae tool=x",
            r#"{"session":"b9a307cd-d58b-4bd4-b771-f37e0dcf07ae"}"#,
        ] {
            assert_eq!(leaking(&format!("INFO a\n{line}")), Some(line));
        }
        assert_eq!(
            leaking("INFO task=b9a307cdd58b4bd4 from=host-5c31f0d2 4711-1"),
            None
        );
    }

    #[tokio::test]
    async fn output_stays_where_it_was_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo kept"]);
        let mut process = Process::start_in(folder.path(), "sh", command);
        process.wait_for_exit(SOON).await;
        drop(process);
        let kept = std::fs::read_to_string(folder.path().join("stdout"));
        assert_eq!(kept.unwrap(), "kept\n");
    }

    #[tokio::test]
    #[should_panic(expected = "ended without a line")]
    async fn a_process_that_ended_is_not_waited_for() {
        shell("echo other").wait_for_line(SOON, "ready").await;
    }

    #[test]
    #[should_panic(expected = "cargo build --package nothing --bin nothing")]
    fn a_binary_that_was_not_built_is_named_with_its_command() {
        drop(binary("nothing"));
    }
}
