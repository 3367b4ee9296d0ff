//! Starts commands, and gathers what they report and leave behind.

use std::time::Duration;

use taskferry_contract::HandleDigest;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::command::ExecCommand;
use super::environment::Environment;
use super::error::StartError;
use super::event::{EventSink, ExecEvent};
use super::invocation::Invocation;
use super::pipes::{Speaker, StderrReader, StdinFeed, StdoutCapture};
use super::running::{Limits, RunningCommand, pump};
use super::start::start;
use super::stderr::AskLine;
use super::supervisor::Supervisor;
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
    supervisor: Option<Supervisor>,
}

impl Runner {
    /// A runner whose commands inherit these variables, as far as each lets them pass. They are supervised by this program,
    /// if it can ([`supervise_if_told`](super::supervise_if_told)).
    #[must_use]
    pub fn new(inherited: Environment) -> Self {
        Self {
            inherited,
            supervisor: Supervisor::own(),
        }
    }

    /// The same with another supervisor, or none: then only the process group of a command can be ended, and one that has
    /// limits or a sandbox is not started.
    #[must_use]
    pub fn supervised_by(self, supervisor: Option<Supervisor>) -> Self {
        Self { supervisor, ..self }
    }

    /// Runs a command to its end, and ends whatever is left of what it has
    /// started. Dropping the future kills it.
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
        let supervisor = self.supervisor.as_ref();
        let (process, pipes) = start(command, &self.inherited, invocation, supervisor).await?;
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
            pump: pump(pipes, input, &mut capture, &mut reader),
            process,
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
        let (cause, met) = running.run(limits).await;
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
            limits: command.limits,
            met,
        };
        Ok(outcome(&cause, &output))
    }
}
