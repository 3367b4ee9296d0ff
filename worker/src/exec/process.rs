//! Starts a command, watches over it, and stops it when it must end.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::value::RawValue;
use taskferry_process::lower_open_files;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::environment::Environment;
use super::error::StartError;
use super::event::{EventSink, ExecEvent};
use super::folders;
use super::group::ProcessGroup;
use super::output::OutputMode;
use super::pipes::{Capture, Input, Pump, Speaker, Watch};
use super::stderr::AskLine;
use super::template::CommandTemplate;
use super::verdict::{CommandOutcome, ExitCause, Remains, outcome};

/// How long the pipes may stay open after the command's exit, because a
/// process it left behind holds them; and again after that one was killed.
const DRAIN: Duration = Duration::from_secs(1);

/// How long a killed command may take to be gone. One that hangs in the kernel
/// is left to it.
const REAP: Duration = Duration::from_secs(5);

/// How long an outcome waits for a slow receiver to take the last events.
const LAST_EVENTS: Duration = Duration::from_millis(100);

/// A command as a manifest describes it.
#[derive(Debug, Clone)]
pub struct ExecCommand {
    /// The program and its arguments.
    pub template: CommandTemplate,
    /// The folder it runs in.
    pub cwd: PathBuf,
    /// Variables beside the inherited ones.
    pub env: Environment,
    /// How its standard output becomes a result.
    pub output: OutputMode,
    /// The most standard output, in bytes; more kills the command. A manifest allows 1 B to 64 MiB, 4 MiB by default.
    pub max_output: usize,
    /// How long it may go on after SIGTERM; zero kills at once. Three seconds by default of a manifest.
    pub stop_grace: Duration,
    /// Whether it asks: then its standard input stays open for the answers.
    pub asks: bool,
}

/// One attempt of one call.
#[derive(Debug, Clone, Copy)]
pub struct Invocation<'a> {
    /// The id of the task.
    pub task_id: &'a str,
    /// The first task of the job, through any number of retries of dead letters.
    pub origin_task_id: &'a str,
    /// The attempt, from 1.
    pub attempt: u64,
    /// The name of the tool.
    pub tool: &'a str,
    /// The owner of the task; empty for an anonymous caller.
    pub owner: &'a str,
    /// The arguments of the call, a JSON object.
    pub arguments: &'a RawValue,
    /// How long this attempt may run. Who answers the questions of a command stops its time instead, and cancels it.
    pub timeout: Duration,
    /// The client's answers that there are, a JSON object by key; none for a tool that cannot have any.
    pub answers: Option<&'a str>,
}

/// Where what a command says goes, and where what it is told comes from.
#[derive(Debug)]
pub struct Talk {
    /// What it reports. A full or closed channel never holds it up.
    pub events: mpsc::Sender<ExecEvent>,
    /// Its questions, if it asks.
    pub questions: Option<Questions>,
}

/// The questions of a command, and what it is told of them.
#[derive(Debug)]
pub struct Questions {
    /// What it asks; what it asks at a time comes together.
    pub asked: mpsc::UnboundedSender<Vec<AskLine>>,
    /// Lines for its standard input, which is closed when they end.
    pub replies: mpsc::UnboundedReceiver<String>,
}

impl From<mpsc::Sender<ExecEvent>> for Talk {
    fn from(events: mpsc::Sender<ExecEvent>) -> Self {
        Self {
            events,
            questions: None,
        }
    }
}

/// Runs commands with the environment they inherit.
#[derive(Debug, Clone)]
pub struct Runner {
    inherited: Environment,
}

impl Runner {
    /// A runner whose commands inherit these variables.
    #[must_use]
    pub fn new(inherited: Environment) -> Self {
        Self { inherited }
    }

    /// Runs a command to its end, and ends whatever is left of its process
    /// group. Dropping the future kills the group.
    ///
    /// # Errors
    ///
    /// When the command could not be started.
    pub async fn run(
        &self,
        command: &ExecCommand,
        invocation: Invocation<'_>,
        talk: impl Into<Talk>,
        cancel: &CancellationToken,
    ) -> Result<CommandOutcome, StartError> {
        let Talk { events, questions } = talk.into();
        let asks = questions.is_some();
        let (asked, replies) = questions.map(|of| (of.asked, of.replies)).unzip();
        let mut child = self.start(command, invocation)?;
        let group = ProcessGroup::of_child(child.id());
        let mut capture = Capture::new(command.max_output);
        let speaker = Speaker {
            task: invocation.task_id.to_owned(),
            tool: invocation.tool.to_owned(),
            attempt: invocation.attempt,
        };
        let mut watch = Watch::new(EventSink::new(events), asked, speaker);
        let (overflow, over) = (capture.overflow.clone(), CancellationToken::new());
        let input = Input {
            line: stdin_line(invocation),
            replies,
            over: over.clone(),
        };
        let supervised = Supervised {
            pump: pump(&mut child, input, &mut capture, &mut watch),
            group,
            child,
            stop_grace: command.stop_grace,
            over,
        };
        let limits = Limits {
            timeout: (!asks).then_some(invocation.timeout),
            max_output: command.max_output,
            overflow: &overflow,
            cancel,
        };
        let cause = supervised.run(limits).await;
        let last_events = async {
            while watch.events.has_waiting() {
                watch.events.send_next().await;
            }
        };
        let _elapsed = timeout(LAST_EVENTS, last_events).await;
        let remains = Remains {
            mode: command.output,
            stdout: capture.bytes,
            tail: watch.tail,
            asks,
        };
        Ok(outcome(&cause, &remains))
    }

    fn start(
        &self,
        command: &ExecCommand,
        invocation: Invocation<'_>,
    ) -> Result<Child, StartError> {
        let program = command.template.program();
        let args = command.template.render(invocation.arguments)?;
        let mut process = Command::new(program);
        process
            .args(args)
            .current_dir(&command.cwd)
            .env_clear()
            .envs(self.inherited.iter())
            .envs(command.env.iter())
            .envs(facts(invocation))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let child = process.spawn().map_err(|source| {
            let path = command.env.get("PATH").or(self.inherited.get("PATH"));
            if let Some(folder) = folders::closed_on_the_way(&command.cwd, program, path) {
                StartError::Closed { folder, source }
            } else if command.cwd.is_dir() {
                StartError::from_spawn(program, source)
            } else {
                let cwd = command.cwd.clone();
                StartError::WorkingDirectory { cwd }
            }
        })?;
        child.id().into_iter().for_each(lower_open_files);
        Ok(child)
    }
}

/// What an attempt may use up, and what ends it early.
struct Limits<'a> {
    timeout: Option<Duration>,
    max_output: usize,
    overflow: &'a CancellationToken,
    cancel: &'a CancellationToken,
}

/// A running command with its pipes. The fields are dropped in this order.
struct Supervised<'a> {
    pump: Pump<'a>,
    group: ProcessGroup,
    child: Child,
    stop_grace: Duration,
    /// Ends its standard input.
    over: CancellationToken,
}

impl Supervised<'_> {
    async fn run(mut self, limits: Limits<'_>) -> ExitCause {
        let child = &mut self.child;
        let first = async {
            tokio::select! {
                biased;
                status = child.wait() => ExitCause::Exited(status.ok()),
                () = limits.cancel.cancelled() => ExitCause::Cancelled,
                () = limits.overflow.cancelled() => ExitCause::TooMuchOutput(limits.max_output),
                timeout = elapsed(limits.timeout) => ExitCause::TimedOut(timeout),
            }
        };
        let ending = self.pump.until(first).await;
        self.over.cancel();
        match ending {
            ExitCause::Exited(_) => {}
            ExitCause::TooMuchOutput(_) => self.kill().await,
            ExitCause::Cancelled | ExitCause::TimedOut(_) => self.stop().await,
        }
        self.drain().await;
        match ending {
            ExitCause::Exited(_) if limits.overflow.is_cancelled() => {
                ExitCause::TooMuchOutput(limits.max_output)
            }
            ending => ending,
        }
    }

    /// SIGTERM, then SIGKILL after the grace.
    async fn stop(&mut self) {
        self.group.terminate();
        let exit = timeout(self.stop_grace, self.child.wait());
        if self.pump.until(exit).await.is_err() {
            self.kill().await;
        }
    }

    async fn kill(&mut self) {
        self.group.kill();
        let exit = timeout(REAP, self.child.wait());
        if self.pump.until(exit).await.is_err() {
            tracing::warn!(pid = self.child.id(), "a killed command does not end");
        }
    }

    /// Reads what is still in the pipes and ends what the command left behind.
    async fn drain(&mut self) {
        if timeout(DRAIN, self.pump.finished()).await.is_ok() {
            self.group.kill();
            return;
        }
        self.group.kill();
        if timeout(DRAIN, self.pump.finished()).await.is_err() {
            tracing::warn!("a process outside the command's group holds its pipes");
        }
    }
}

/// Waits for a timeout, if there is one, and says how long it was.
async fn elapsed(timeout: Option<Duration>) -> Duration {
    match timeout {
        Some(timeout) => {
            sleep(timeout).await;
            timeout
        }
        None => std::future::pending().await,
    }
}

fn pump<'a>(
    child: &mut Child,
    input: Input,
    capture: &'a mut Capture,
    watch: &'a mut Watch,
) -> Pump<'a> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    Pump::new(async move {
        tokio::join!(
            async {
                if let Some(stdin) = stdin {
                    input.feed(stdin).await;
                }
            },
            async {
                if let Some(stdout) = stdout {
                    capture.read(stdout).await;
                }
            },
            async {
                if let Some(stderr) = stderr {
                    watch.read(stderr).await;
                }
            },
        );
    })
}

/// The arguments on one line: a line end in valid JSON can only stand between
/// values, so a space may take its place.
fn stdin_line(invocation: Invocation<'_>) -> Vec<u8> {
    let mut line = invocation.arguments.get().replace(['\n', '\r'], " ");
    line.push('\n');
    line.into_bytes()
}

/// What a command is told about its attempt.
fn facts(invocation: Invocation<'_>) -> Vec<(&'static str, String)> {
    let deadline = SystemTime::now() + invocation.timeout;
    let deadline_ms = deadline
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let mut facts = vec![
        ("TASKFERRY_TASK_ID", invocation.task_id.to_owned()),
        (
            "TASKFERRY_ORIGIN_TASK_ID",
            invocation.origin_task_id.to_owned(),
        ),
        ("TASKFERRY_ATTEMPT", invocation.attempt.to_string()),
        ("TASKFERRY_TOOL", invocation.tool.to_owned()),
        ("TASKFERRY_OWNER", invocation.owner.to_owned()),
        ("TASKFERRY_DEADLINE_MS", deadline_ms.to_string()),
    ];
    facts.extend(
        invocation
            .answers
            .map(|all| ("TASKFERRY_ANSWERS", all.to_owned())),
    );
    facts
}
