//! How a command ended, and what that means for the attempt.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use taskferry_process::StopSignal;

use super::cgroup::MetLimits;
use super::limits::ResourceLimits;
use super::lines::Tail;
use super::output::OutputMode;
use crate::result::{SUMMARY_CHARS, ToolResult, end_of};
use crate::units::format_size;

/// `EX_TEMPFAIL` of sysexits.h: try again later.
const RETRY_CODE: i32 = 75;

/// The exit code of a command that is to be run again once its questions are answered.
const PARK_CODE: i32 = 76;

/// What made a command end.
#[derive(Debug)]
pub(super) enum ExitCause {
    /// It ended by itself, with a status if that could be read.
    Exited(Option<ExitStatus>),
    /// Its output was larger than this bound in bytes.
    TooMuchOutput(usize),
    /// It ran longer than this.
    TimedOut(Duration),
    /// The task was cancelled, or the attempt lost its job.
    Cancelled,
}

/// What a command wrote, and how to read it.
#[derive(Debug)]
pub(super) struct CommandOutput {
    /// How its standard output becomes a result.
    pub(super) mode: OutputMode,
    pub(super) stdout: Vec<u8>,
    /// The last lines of its standard error.
    pub(super) tail: Tail,
    /// Whether the manifest lets the tool ask questions (`asks = true`).
    pub(super) asks: bool,
    /// What its processes could use up.
    pub(super) limits: ResourceLimits,
    /// Those that all of them together have met.
    pub(super) met: MetLimits,
}

/// What the end of a command means for its attempt.
#[derive(Debug)]
pub enum CommandOutcome {
    /// The tool has a result, which may be an error.
    Completed(ToolResult),
    /// The attempt failed; another one may succeed.
    Retry {
        /// What went wrong, for the status message.
        message: String,
        /// The result if this was the last attempt.
        result: ToolResult,
    },
    /// A stop signal ended the command, and the worker did not send it. A service manager may have sent it to the worker
    /// too. If so, the attempt counts as stopped by the worker; else it ended with `otherwise`.
    Interrupted {
        /// How the attempt ended if the worker goes on.
        otherwise: Box<CommandOutcome>,
    },
    /// It is to run again once its questions are answered.
    Park,
    /// The command was killed, because the task was cancelled or the attempt lost its job.
    Cancelled,
}

pub(super) fn outcome(cause: &ExitCause, output: &CommandOutput) -> CommandOutcome {
    match *cause {
        ExitCause::Cancelled => CommandOutcome::Cancelled,
        ExitCause::TimedOut(timeout) => CommandOutcome::Completed(ToolResult::timed_out(timeout)),
        ExitCause::TooMuchOutput(limit) => {
            let limit = format_size(limit);
            let text = format!(
                "output is larger than {limit} (the tool's max_output, set in its manifest)"
            );
            CommandOutcome::Completed(ToolResult::error(&text).because(text))
        }
        ExitCause::Exited(None) => retry("the exit status is unknown".to_owned(), &output.tail),
        ExitCause::Exited(Some(status)) if was_interrupted(status) => CommandOutcome::Interrupted {
            otherwise: Box::new(exited(status, output)),
        },
        ExitCause::Exited(Some(status)) => exited(status, output),
    }
}

/// Whether a stop signal ended the command. A program that catches the signal, or a shell whose child was killed by it,
/// exits with 128 plus its number.
fn was_interrupted(status: ExitStatus) -> bool {
    let by_code = || status.code().map(|code| code - 128);
    let number = status.signal().or_else(by_code);
    let mut signals = StopSignal::ALL.into_iter();
    signals.any(|signal| Some(signal.number()) == number)
}

fn exited(status: ExitStatus, output: &CommandOutput) -> CommandOutcome {
    if let Some(limit) = output.limits.that_ended(status, output.met) {
        // The same work would take as much again.
        let text = format!("{limit}\n{}", output.tail.text());
        return CommandOutcome::Completed(ToolResult::error(text.trim_end()).because(limit));
    }
    let met = || {
        let words = output.tail.text();
        output.limits.that_show(&words, status, output.met)
    };
    let Some(code) = status.code() else {
        // A status has a code or a signal.
        let signal = status.signal().unwrap_or_default();
        let and = met().map_or(String::new(), |met| format!(": {met}"));
        return retry(format!("killed by signal {signal}{and}"), &output.tail);
    };
    if code == 0 {
        return CommandOutcome::Completed(output.mode.result_of_success(&output.stdout));
    }
    if code == PARK_CODE && output.asks {
        return CommandOutcome::Park;
    }
    let mut fallback_text = output.tail.text();
    if fallback_text.is_empty() {
        fallback_text = format!("exit code {code}");
    }
    if let Some(met) = met() {
        fallback_text = format!("{fallback_text}\n{met}");
    }
    let result = output
        .mode
        .result_of_failure(&output.stdout, &fallback_text);
    let result = result.because(format!("exit code {code}"));
    if code == RETRY_CODE {
        let message = result.summary.clone().unwrap_or(fallback_text);
        return CommandOutcome::Retry { message, result };
    }
    CommandOutcome::Completed(result)
}

fn retry(message: String, tail: &Tail) -> CommandOutcome {
    let tail = tail.text();
    let mut result = ToolResult::error(format!("{message}\n{tail}").trim_end());
    result.cause = Some(message.clone());
    // The summary has a length limit. Keep all of the message, and as much of the tail's end as fits.
    let room = SUMMARY_CHARS.saturating_sub(message.chars().count() + 1);
    if let Some(end) = end_of(&tail, room) {
        result.summary = Some(format!("{message}\n{end}"));
    }
    CommandOutcome::Retry { message, result }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(raw_status: i32, mode: OutputMode, stdout: &str, stderr: &str) -> CommandOutcome {
        let mut tail = Tail::default();
        stderr.lines().for_each(|line| tail.push(line.to_owned()));
        let stdout = stdout.as_bytes().to_vec();
        let cause = ExitCause::Exited(Some(ExitStatus::from_raw(raw_status)));
        outcome(
            &cause,
            &CommandOutput {
                mode,
                stdout,
                tail,
                asks: false,
                limits: ResourceLimits::default(),
                met: MetLimits::default(),
            },
        )
    }

    fn completed(outcome: CommandOutcome) -> (bool, String) {
        match outcome {
            CommandOutcome::Completed(result) => {
                (result.is_error, result.summary.unwrap_or_default())
            }
            other => panic!("{other:?}"),
        }
    }

    fn retried(outcome: CommandOutcome) -> (String, String) {
        match outcome {
            CommandOutcome::Retry { message, result } => {
                assert!(result.is_error);
                (message, result.summary.unwrap_or_default())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn zero_is_success_whatever_stderr_says() {
        let outcome = judge(0, OutputMode::Auto, "fine", "warning");
        assert_eq!(completed(outcome), (false, "fine".into()));
    }

    #[test]
    fn another_code_is_a_tool_error() {
        let judge = |stdout, stderr| completed(judge(3 << 8, OutputMode::Auto, stdout, stderr));
        assert_eq!(judge("out", "err"), (true, "out".into()));
        assert_eq!(judge("", "one\ntwo"), (true, "one\ntwo".into()));
        assert_eq!(judge("", ""), (true, "exit code 3".into()));
    }

    #[test]
    fn seventy_five_asks_for_another_attempt() {
        let judge = |stdout, stderr| retried(judge(75 << 8, OutputMode::Json, stdout, stderr));
        assert_eq!(judge("", "busy"), ("busy".into(), "busy".into()));
        assert_eq!(
            judge("", ""),
            ("exit code 75".into(), "exit code 75".into())
        );
    }

    #[test]
    fn an_end_by_a_stop_signal_is_told_from_others() {
        let otherwise = |status| match judge(status, OutputMode::Auto, "", "last words") {
            CommandOutcome::Interrupted { otherwise } => *otherwise,
            other => panic!("{status}: {other:?}"),
        };
        for signal in [1, 2, 3, 15] {
            assert_eq!(
                retried(otherwise(signal)).0,
                format!("killed by signal {signal}")
            );
            let code = (128 + signal) << 8;
            assert_eq!(completed(otherwise(code)), (true, "last words".into()));
        }
        for status in [9, 11, 13, (128 + 9) << 8, 1 << 8, 15 << 8, 0] {
            let outcome = judge(status, OutputMode::Auto, "", "");
            assert!(
                !matches!(outcome, CommandOutcome::Interrupted { .. }),
                "{status}"
            );
        }
    }

    #[test]
    fn a_long_tail_leaves_the_signal_in_sight() {
        let stderr = "x".repeat(2 * SUMMARY_CHARS) + "last words";
        let (_, summary) = retried(judge(9, OutputMode::Auto, "", &stderr));
        assert_eq!(summary.chars().count(), SUMMARY_CHARS);
        assert!(summary.starts_with("killed by signal 9\n\u{2026}x"));
        assert!(summary.ends_with("last words"));
    }

    #[test]
    fn a_command_killed_by_another_process_is_retried() {
        assert_eq!(
            retried(judge(9, OutputMode::Auto, "half", "last words")),
            (
                "killed by signal 9".into(),
                "killed by signal 9\nlast words".into()
            )
        );
    }
}
