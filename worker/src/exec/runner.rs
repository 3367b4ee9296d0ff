//! Starts commands, and gathers what they report and leave behind.

use std::process::Stdio;
use std::time::Duration;

use taskferry_contract::HandleDigest;
use taskferry_process::lower_open_files;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::command::ExecCommand;
use super::environment::Environment;
use super::error::StartError;
use super::event::{EventSink, ExecEvent};
use super::folders;
use super::group::ProcessGroup;
use super::invocation::Invocation;
use super::pipes::{Speaker, StderrReader, StdinFeed, StdoutCapture};
use super::running::{Limits, RunningCommand, pump};
use super::stderr::AskLine;
use super::verdict::{CommandOutcome, CommandOutput, outcome};

/// How long an outcome waits for a slow receiver to take the last events.
const LAST_EVENTS: Duration = Duration::from_millis(100);

/// The channels between a running command and its worker.
#[derive(Debug)]
pub struct Channels {
    /// What it reports. A full or closed channel never holds it up.
    pub events: mpsc::Sender<ExecEvent>,
    /// Its questions, if it asks.
    pub questions: Option<QuestionChannel>,
}

/// The questions of a command, and the lines that it gets about them.
#[derive(Debug)]
pub struct QuestionChannel {
    /// What it asks; what it asks at a time comes together.
    pub asked: mpsc::UnboundedSender<Vec<AskLine>>,
    /// Lines for its standard input, which is closed when they end.
    pub replies: mpsc::UnboundedReceiver<String>,
}

impl From<mpsc::Sender<ExecEvent>> for Channels {
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
        channels: impl Into<Channels>,
        cancel: &CancellationToken,
    ) -> Result<CommandOutcome, StartError> {
        let Channels { events, questions } = channels.into();
        let asks = questions.is_some();
        let (asked, replies) = questions.map(|of| (of.asked, of.replies)).unzip();
        let mut child = self.start(command, invocation)?;
        let group = ProcessGroup::of_child(child.id());
        let mut capture = StdoutCapture::new(command.max_output);
        let speaker = Speaker {
            task: HandleDigest::of(invocation.task_id),
            tool: invocation.tool.to_owned(),
            attempt: invocation.attempt,
        };
        let mut reader = StderrReader::new(EventSink::new(events), asked, speaker);
        let (overflow, over) = (capture.overflow.clone(), CancellationToken::new());
        let input = StdinFeed {
            line: invocation.stdin_line(),
            replies,
            over: over.clone(),
        };
        let running = RunningCommand {
            pump: pump(&mut child, input, &mut capture, &mut reader),
            group,
            child,
            stop_grace: command.stop_grace,
            over,
        };
        let limits = Limits {
            left: (!asks).then(|| invocation.left()),
            timeout: invocation.timeout,
            max_output: command.max_output,
            overflow: &overflow,
            cancel,
        };
        let cause = running.run(limits).await;
        let last_events = async {
            while reader.events.has_waiting() {
                reader.events.send_next().await;
            }
        };
        let _elapsed = timeout(LAST_EVENTS, last_events).await;
        let output = CommandOutput {
            mode: command.output,
            stdout: capture.bytes,
            tail: reader.tail,
            asks,
        };
        Ok(outcome(&cause, &output))
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
            .envs(self.inherited.passed(&command.env_pass))
            .envs(command.env.iter())
            .envs(invocation.facts())
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
