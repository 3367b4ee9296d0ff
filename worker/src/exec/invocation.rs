//! One attempt of a call, as its command gets it: a line on standard input, and environment variables.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::value::RawValue;

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
    /// How long an attempt of its tool may run, as its result says it after that.
    pub timeout: Duration,
    /// When this attempt must have ended. For a command that asks it is not enforced here: its time stands still while it
    /// waits for answers, so whoever runs it keeps the time, and cancels it.
    pub deadline: SystemTime,
    /// The W3C trace context of the call: variables of the command, by their names.
    pub trace: [(&'static str, Option<&'a str>); 3],
    /// The answers that the client gave so far, a JSON object by key; none for a tool that cannot have any.
    pub answers: Option<&'a str>,
}

impl Invocation<'_> {
    /// The arguments on one line: a line end in valid JSON can only stand between
    /// values, so a space may take its place.
    pub(super) fn stdin_line(self) -> Vec<u8> {
        let mut line = self.arguments.get().replace(['\n', '\r'], " ");
        line.push('\n');
        line.into_bytes()
    }

    /// How long the attempt may still run.
    pub(super) fn left(self) -> Duration {
        let left = self.deadline.duration_since(SystemTime::now());
        left.unwrap_or_default()
    }

    /// What a command gets about its attempt.
    pub(super) fn facts(self) -> Vec<(&'static str, String)> {
        let deadline_ms = self
            .deadline
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        let mut facts = vec![
            ("TASKFERRY_TASK_ID", self.task_id.to_owned()),
            ("TASKFERRY_ORIGIN_TASK_ID", self.origin_task_id.to_owned()),
            ("TASKFERRY_ATTEMPT", self.attempt.to_string()),
            ("TASKFERRY_TOOL", self.tool.to_owned()),
            ("TASKFERRY_OWNER", self.owner.to_owned()),
            ("TASKFERRY_DEADLINE_MS", deadline_ms.to_string()),
        ];
        let trace = self.trace.into_iter();
        facts.extend(trace.filter_map(|(name, value)| Some((name, value?.to_owned()))));
        facts.extend(
            self.answers
                .map(|all| ("TASKFERRY_ANSWERS", all.to_owned())),
        );
        facts
    }
}
