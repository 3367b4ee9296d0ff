//! Carries the questions of a command to the client, and the answers back to the command.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde_json::{Value, json};
use taskferry_contract::compact;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout_at};

use super::answers::{invalid, refusal};
use crate::exec::QuestionChannel;
use crate::exec::stderr::AskLine;
use crate::result::ToolResult;
use crate::sdk::ask::{AskError, AskRequest, checked_answer};
use crate::sdk::{AwaitingAnswer, JobContext};

/// Questions that come one by one, as from a script's `echo`, are asked together if they come within this time.
const TOGETHER: Duration = Duration::from_millis(20);

/// The relay of one attempt, and the command's side of it.
pub(super) fn open() -> (QuestionChannel, QuestionRelay) {
    let (asked, questions) = unbounded_channel();
    let (answered, replies) = unbounded_channel();
    let relay = QuestionRelay {
        questions,
        answered,
        open: BTreeSet::new(),
        tally: QuestionTally::default(),
    };
    (QuestionChannel { asked, replies }, relay)
}

/// Asks the client the questions of a command, and gives the command the answers.
pub(super) struct QuestionRelay {
    questions: UnboundedReceiver<Vec<AskLine>>,
    answered: UnboundedSender<String>,
    /// The keys of questions that have no answer yet.
    open: BTreeSet<String>,
    tally: QuestionTally,
}

/// What a command asked.
#[derive(Debug, Default)]
pub(super) struct QuestionTally {
    /// Whether a question was open at any time.
    was_open: bool,
    /// Why questions were not asked, or were answered by an error.
    refused: Vec<String>,
}

impl QuestionTally {
    /// The result of a job whose command exited to wait for an answer, although no question was open. `None` if one was
    /// open: then its answer has just come.
    pub(super) fn otherwise(self) -> Option<ToolResult> {
        if self.was_open {
            return None;
        }
        let mut text =
            "exit code 76 waits for an answer, but the tool asked nothing that is not answered"
                .to_owned();
        for reason in &self.refused {
            text.push('\n');
            text.push_str(reason);
        }
        Some(ToolResult::error(&text).because("it waits for an answer, and nothing is asked"))
    }
}

/// The wait until the command has its slot again.
type ReturnToSlot = Pin<Box<dyn Future<Output = ()> + Send>>;

impl QuestionRelay {
    /// Serves a command until it ends.
    pub(super) async fn serve(mut self, job: &JobContext) -> QuestionTally {
        let mut answers = job.answers();
        // The command gets answers only once it has its slot again.
        let mut untold = Vec::new();
        let (mut away, mut back) = (None::<AwaitingAnswer>, None::<ReturnToSlot>);
        loop {
            untold.extend(self.take_answered(&answers.borrow_and_update()));
            if self.open.is_empty() && back.is_none() {
                back = away.take().map(|away| Box::pin(away.end()) as ReturnToSlot);
            }
            if back.is_none() {
                for (key, answer) in untold.drain(..) {
                    self.tell(&key, checked_answer(&answer));
                }
            }
            let lines = tokio::select! {
                lines = self.questions.recv() => lines,
                _came = answers.changed(), if !self.open.is_empty() => continue,
                () = arrive(&mut back) => continue,
                () = job.cancelled().cancelled() => None,
            };
            let Some(lines) = lines else {
                if let Some(away) = away {
                    away.forget();
                }
                return self.tally;
            };
            let lines = self.gather(lines).await;
            if self.put(job, lines).await.is_err() {
                return self.tally;
            }
            if !self.open.is_empty() && away.is_none() {
                back = None;
                away = Some(job.await_answer());
            }
        }
    }

    /// Adds the questions that come within a moment.
    async fn gather(&mut self, mut lines: Vec<AskLine>) -> Vec<AskLine> {
        let until = Instant::now() + TOGETHER;
        while let Ok(Some(more)) = timeout_at(until, self.questions.recv()).await {
            lines.extend(more);
        }
        lines
    }

    /// Asks the questions that are valid and new, and answers the others at once. An error if the attempt must stop.
    async fn put(&mut self, job: &JobContext, lines: Vec<AskLine>) -> Result<(), AskError> {
        let known = job.answers().borrow().clone();
        let mut questions: BTreeMap<String, AskRequest> = BTreeMap::new();
        for AskLine { key, request } in lines {
            let request = match request {
                Ok(request) => request,
                Err(reason) => {
                    self.refuse(&key, &invalid(&reason));
                    continue;
                }
            };
            if let Some(answer) = known.get(&key) {
                self.tell(&key, checked_answer(answer));
            } else if let Err(error) = job.can_be_asked(&request) {
                self.tell(&key, Err(error));
            } else if !self.open.contains(&key) {
                questions.entry(key).or_insert(request);
            }
        }
        if questions.is_empty() {
            return Ok(());
        }
        let all: Vec<(&str, &AskRequest)> = questions
            .iter()
            .map(|(key, request)| (key.as_str(), request))
            .collect();
        match job.put(&all).await {
            Ok(answered) => {
                for (key, answer) in answered {
                    questions.remove(&key);
                    self.tell(&key, checked_answer(&answer));
                }
                self.tally.was_open |= !questions.is_empty();
                self.open.extend(questions.into_keys());
            }
            Err(AskError::Stopped) => return Err(AskError::Stopped),
            Err(error) => {
                for key in questions.into_keys() {
                    self.refuse(&key, &refusal(&error));
                }
            }
        }
        Ok(())
    }

    /// Takes the questions that have their answers now, with the answers.
    fn take_answered(&mut self, answers: &HashMap<String, String>) -> Vec<(String, String)> {
        let answered: Vec<(String, String)> = self
            .open
            .iter()
            .filter_map(|key| Some((key.clone(), answers.get(key)?.clone())))
            .collect();
        self.open.retain(|key| !answers.contains_key(key));
        answered
    }

    /// Writes an answer to the command as the client wrote it, on one line.
    fn tell(&mut self, key: &str, answer: Result<&str, AskError>) {
        match answer {
            Ok(result) => {
                let (key, result) = (Value::from(key), compact(result));
                self.say(format!(r#"{{"key":{key},"result":{result}}}"#));
            }
            Err(error) => self.refuse(key, &refusal(&error)),
        }
    }

    fn refuse(&mut self, key: &str, error: &Value) {
        let reason = error.get("message").and_then(Value::as_str);
        tracing::debug!(key, reason, "a question without an answer");
        self.tally.refused.extend(reason.map(str::to_owned));
        self.say(json!({ "key": key, "error": error }).to_string());
    }

    fn say(&self, line: String) {
        // A command that has ended reads nothing.
        let _ended = self.answered.send(line);
    }
}

/// Waits until the command has its slot again, if it waits for it.
async fn arrive(back: &mut Option<ReturnToSlot>) {
    match back {
        Some(on_its_way) => on_its_way.await,
        None => std::future::pending().await,
    }
    *back = None;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_told_an_answer_as_the_client_wrote_it() {
        let (questions, mut relay) = open();
        let answer = "{ \"z\": 123456789012345678901,\r\n\"a\": 1.50 }";
        relay.tell("k", checked_answer(answer));
        let mut replies = questions.replies;
        let line = r#"{"key":"k","result":{"z":123456789012345678901,"a":1.50}}"#;
        assert_eq!(replies.try_recv().unwrap(), line);
    }
}
