//! One call of a tool, run here as a worker runs it, with whoever tries it as its client. It does not use Redis.

pub(crate) mod answer;
mod terminal;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{BufReader, stdin};
use std::sync::Arc;

use serde_json::value::RawValue;
use taskferry_contract::{
    Arguments, AttemptNumber, DeliveredEntry, HeldAttempt, Job, LogLevel, NewQuestion, Outcome,
    Owner, Refused, TaskId, ToolName, local_ms,
};
use taskferry_process::output::say;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::core::attempt::{Beginning, RunningAttempt};
use crate::runtime::judge::{Conclusion, judge};
use crate::runtime::settlement::{Settlement, completed};
use crate::runtime::supervise::supervise;
use crate::runtime::{Runtime, Tool, reporter};
use crate::sdk::ask::{AskRequest, WrittenQuestion};
use crate::units::format_duration;
use terminal::{Terminal, UnansweredQuestions};

/// What a client that can be asked everything declares.
const EVERYTHING: &str =
    r#"{"elicitation":{"form":{},"url":{}},"sampling":{"context":{},"tools":{}},"roots":{}}"#;

/// The call that is tried.
#[derive(Debug)]
pub(crate) struct Call {
    /// The tool's name.
    pub(crate) tool: String,
    pub(crate) arguments: Arguments,
    /// The number of the first attempt that is made.
    pub(crate) attempt: u32,
    /// What the client declares, a JSON object; everything if it is absent.
    pub(crate) capabilities: Option<String>,
    /// Answers to the tool's questions, by key, as [`answer::read`] gives them.
    pub(crate) answers: HashMap<String, String>,
    /// Whether further answers are read from standard input.
    pub(crate) reads_answers: bool,
}

/// How a trial ended.
#[derive(Debug)]
pub(crate) enum TrialEnd {
    /// With the result that the client sees, a `CallToolResult`.
    Completed { result: String, is_error: bool },
    /// With a JSON-RPC error.
    Failed { error: String },
    /// A worker would attempt it again, and if no attempt were left, the client would see `result`.
    Again { message: String, result: String },
    /// A worker would give the job back, since nothing of it could be run here.
    NotRun { message: String },
    /// Whoever tried it did not wait for its end.
    Cancelled,
}

/// A tool and a call of it that can be run.
pub(crate) struct Trial {
    runtime: Runtime,
    name: ToolName,
    arguments: Box<RawValue>,
    first_attempt: u32,
    capabilities: String,
    id: TaskId,
    terminal: Arc<Terminal>,
}

impl Trial {
    /// A trial of one of the worker's tools.
    ///
    /// # Errors
    ///
    /// Why nothing can be run: there is no such tool, or the arguments do not fit it.
    pub(crate) fn new(runtime: Runtime, call: Call) -> Result<Self, String> {
        let called: Result<ToolName, _> = call.tool.parse();
        let tool = called.ok().and_then(|name| runtime.tools.get(&name));
        let tool = tool.ok_or_else(|| unknown(&runtime, &call.tool))?;
        let name = tool.definition.name.clone();
        let fits = tool.checks.arguments(&call.arguments);
        let refused = |fault: String| format!("invalid arguments for {name}: {fault}");
        fits.map_err(refused)?;
        let arguments = RawValue::from_string(call.arguments.as_str().to_owned());
        let arguments = arguments.map_err(|error| refused(error.to_string()))?;
        let (terminal, questions) = Terminal::new(call.answers);
        let terminal = Arc::new(terminal);
        if call.reads_answers {
            read_answers(questions)?;
        }
        Ok(Self {
            id: TaskId::random(runtime.core.store.shards().of(&Owner::anonymous())),
            runtime,
            name,
            arguments,
            first_attempt: call.attempt,
            capabilities: call.capabilities.unwrap_or_else(|| EVERYTHING.to_owned()),
            terminal,
        })
    }

    /// Cancel it to kill what runs at once.
    pub(crate) fn kill_token(&self) -> CancellationToken {
        self.runtime.core.phase.kill.clone()
    }

    /// Runs the call to its end, or until `cancel` is cancelled and the tool has stopped.
    pub(crate) async fn run(self, cancel: &CancellationToken) -> TrialEnd {
        let tool = self.runtime.tools.get(&self.name);
        let tool = tool.expect("it was found when the trial was made");
        if tool.definition.attempts == 1 {
            say(&format!(
                "{} has attempts = 1, and this is no dry run: it does here what it must not do twice",
                self.name
            ));
        }
        self.ask_first(tool);
        let before = self.first_attempt.saturating_sub(1);
        let mut number = u64::from(before);
        loop {
            tokio::select! {
                () = self.terminal.all_answered() => {}
                () = cancel.cancelled() => return TrialEnd::Cancelled,
            }
            number += 1;
            let settlement = match Box::pin(self.attempt(tool, number, cancel)).await {
                Conclusion::Settle { settlement, .. } => settlement,
                Conclusion::Park {
                    otherwise: Some(result),
                } if !self.terminal.has_open() => Settlement::Finish(completed(result)),
                Conclusion::Park { .. } | Conclusion::Parked => {
                    say("parked: it runs again, from its start, once its questions are answered");
                    continue;
                }
                Conclusion::Refused(_) => return TrialEnd::Cancelled,
            };
            let left = tool.definition.attempts.saturating_sub(before);
            return ended(settlement, left);
        }
    }

    /// Asks the questions that come before the job, if the client can be asked them.
    fn ask_first(&self, tool: &Tool) {
        for first in &tool.definition.ask_first {
            let request = AskRequest::read(WrittenQuestion {
                kind_or_method: &first.method,
                params: first.params.get(),
            });
            let can = |request: &AskRequest| request.check(Some(&self.capabilities)).is_ok();
            if let Ok(request) = request
                && can(&request)
            {
                let request = request.to_json();
                let _answered_already = self.terminal.put(NewQuestion {
                    key: &first.key,
                    request: &request,
                });
            }
        }
    }

    async fn attempt(&self, tool: &Tool, number: u64, cancel: &CancellationToken) -> Conclusion {
        let core = &self.runtime.core;
        let job = self.job(tool, number);
        let hold = HeldAttempt {
            claimed: DeliveredEntry::new(self.id, job.queue.clone(), "0-0".to_owned().into()),
            attempt: job.attempt,
            worker: core.worker.clone(),
        };
        let permit = core.slots.acquire_now(&job.queue).await;
        let attempt = Arc::new(RunningAttempt::new(Beginning {
            hold,
            job,
            arguments: self.arguments.clone(),
            bell: Arc::new(Notify::new()),
            permit,
            relay: Arc::clone(&self.terminal) as _,
        }));
        let cancelled = async {
            cancel.cancelled().await;
            attempt.refuse(Refused::Cancelled);
            std::future::pending::<Infallible>().await
        };
        let end = tokio::select! {
            end = Box::pin(supervise(core, tool, &attempt)) => end,
            never = self.terminal.bring_answers(&attempt) => match never {},
            never = cancelled => match never {},
        };
        reporter::flush(&attempt).await;
        let conclusion = judge(core, tool, &attempt, end).await;
        attempt.slot.give_back();
        conclusion
    }

    /// The job as a worker that claimed it has it.
    fn job(&self, tool: &Tool, number: u64) -> Job {
        let definition = &tool.definition;
        let ms = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        Job {
            id: self.id,
            origin: self.id,
            tool: self.name.clone(),
            queue: definition.queue.clone(),
            owner: Owner::anonymous(),
            arguments: Arguments::of(Some(&self.arguments)),
            attempt: AttemptNumber(number),
            retries: self.first_attempt.saturating_sub(1).into(),
            crashes: 0,
            max_attempts: definition.attempts.into(),
            max_crashes: definition.crash_limit.into(),
            created_ms: local_ms(),
            ttl_ms: ms(definition.ttl.default_ms),
            waited_ms: 0,
            taken_from: None,
            timeout_ms: definition.timeout_ms,
            capabilities: Some(self.capabilities.clone()),
            trace: None,
            trace_state: None,
            baggage: None,
            log_level: Some(LogLevel::Debug),
            definition: Some(tool.digest.clone()),
            answers: self.terminal.answers(),
        }
    }
}

fn unknown(runtime: &Runtime, name: &str) -> String {
    let mut names: Vec<&str> = runtime.tools.keys().map(ToolName::as_str).collect();
    names.sort_unstable();
    format!("there is no tool {name:?}; there are: {}", names.join(", "))
}

/// Reads answers on a thread of its own, which nothing waits for: a read of standard input cannot be ended.
fn read_answers(questions: UnansweredQuestions) -> Result<(), String> {
    let read = move || questions.answer_from(BufReader::new(stdin()));
    let thread = std::thread::Builder::new().name("answers".to_owned());
    let begun = thread.spawn(read).map(drop);
    begun.map_err(|error| format!("no thread to read answers on: {error}"))
}

fn ended(settlement: Settlement, attempts: u32) -> TrialEnd {
    match settlement {
        // As if no attempt were left.
        Settlement::Retry { last, .. } if attempts <= 1 => {
            ended(Settlement::Finish(last), attempts)
        }
        Settlement::Finish(Outcome::Completed {
            result, is_error, ..
        }) => TrialEnd::Completed { result, is_error },
        Settlement::Finish(Outcome::Failed { error, .. }) => TrialEnd::Failed { error },
        Settlement::Finish(Outcome::Cancelled { .. }) => TrialEnd::Cancelled,
        Settlement::Retry {
            delay,
            message,
            last,
        } => {
            let delay = format_duration(delay);
            let message = format!("a worker would attempt it again after {delay}: {message}");
            let result = match last {
                Outcome::Completed { result, .. } => result,
                Outcome::Failed { error, .. } => error,
                Outcome::Cancelled { message } => message,
            };
            TrialEnd::Again { message, result }
        }
        Settlement::Release { message, .. } => TrialEnd::NotRun {
            message: message.unwrap_or_else(|| "it was stopped".to_owned()),
        },
    }
}
