//! The commands of a tool whose jobs run in another system.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::exec::{
    CommandOutcome, CommandTemplate, ExecCommand, ExecEvent, Invocation, OutputMode, Runner,
};
use crate::exec_tool::{EVENTS, not_started};
use crate::manifest::External;
use crate::result::ToolResult;
use crate::sdk::ToolError;

/// How much longer than its command the end of an attempt may take.
pub(super) const AFTERMATH: Duration = Duration::from_secs(7);

/// What all attempts of a tool share.
pub(super) struct Follower {
    pub(super) runner: Runner,
    pub(super) submit: ExecCommand,
    pub(super) external: External,
    /// How long an attempt may run.
    pub(super) timeout: Duration,
    pub(super) followed: Arc<Semaphore>,
    pub(super) commands: Semaphore,
}

/// For whom a command runs: what ends it beside its own time, and what hears it.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) cancel: &'a CancellationToken,
    pub(super) deadline: SystemTime,
    pub(super) on_event: OnEvent<'a>,
}

/// Hears what a command says while it runs.
pub(super) type OnEvent<'a> = &'a (dyn Fn(ExecEvent) + Sync);

impl Follower {
    /// Runs one of its commands.
    pub(super) async fn run(
        &self,
        template: &CommandTemplate,
        output: OutputMode,
        invocation: Invocation<'_>,
        around: Around<'_>,
    ) -> Result<CommandOutcome, ToolError> {
        let command = ExecCommand {
            template: template.clone(),
            output,
            ..self.submit.clone()
        };
        let invocation = Invocation {
            deadline: around.deadline,
            ..invocation
        };
        let Ok(_turn) = self.commands.acquire().await else {
            return Err(ToolError::stopped());
        };
        let (sender, mut events) = mpsc::channel(EVENTS);
        let stop = around.cancel.child_token();
        let run = self.runner.run(&command, invocation, sender, &stop);
        let pass_on = async {
            while let Some(event) = events.recv().await {
                (around.on_event)(event);
            }
        };
        let ended = async { tokio::join!(run, pass_on).0 };
        tokio::pin!(ended);
        let outcome = tokio::select! {
            outcome = &mut ended => outcome,
            () = sleep(self.external.command_timeout) => {
                stop.cancel();
                ended.await
            }
        };
        outcome.map_err(|error| not_started(&error))
    }

    /// Ends a job in its system, whatever becomes of the attempt. Why that did not work.
    pub(super) async fn cancel(
        &self,
        invocation: Invocation<'_>,
        on_event: OnEvent<'_>,
    ) -> Result<(), String> {
        let around = Around {
            cancel: &CancellationToken::new(),
            deadline: SystemTime::now() + self.external.command_timeout + AFTERMATH,
            on_event,
        };
        let template = &self.external.cancel;
        let outcome = self.run(template, OutputMode::Text, invocation, around);
        match outcome.await {
            Ok(CommandOutcome::Completed(result)) if !result.is_error => Ok(()),
            Ok(CommandOutcome::Completed(result)) => Err(Printed::of(&result).text),
            Ok(outcome) => Err(format!("{outcome:?}")),
            Err(error) => Err(format!("{error:?}")),
        }
    }
}

/// What a command printed, or why it did not.
pub(super) struct Printed {
    pub(super) is_error: bool,
    pub(super) text: String,
}

impl Printed {
    pub(super) fn of(result: &ToolResult) -> Self {
        let value: Value = serde_json::from_str(result.result.get()).unwrap_or_default();
        let text = value.pointer("/content/0/text").and_then(Value::as_str);
        Self {
            is_error: result.is_error,
            text: text.unwrap_or_default().to_owned(),
        }
    }

    pub(super) fn error(text: String) -> Self {
        Self {
            is_error: true,
            text,
        }
    }
}
