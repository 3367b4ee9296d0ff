//! Where the questions of a command go in, and what it is told of them comes out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout_at};

use crate::ask::{AskError, AskRequest, checked_answer};
use crate::context::{Away, JobContext};
use crate::exec::stderr::AskLine;
use crate::exec::{Questions, ToolResult, compact};

/// Questions that come one by one, as from a script's `echo`, are put together if they come within this time.
const TOGETHER: Duration = Duration::from_millis(20);

/// The most that a command finds in its environment, in bytes. The operating system takes 128 KiB a variable, and what is
/// said in place of answers needs room too.
const LARGEST_ANSWERS: usize = 80 * 1024;

/// The desk of one attempt, and the command's side of it.
pub(super) fn open() -> (Questions, Desk) {
    let (asked, questions) = unbounded_channel();
    let (told, replies) = unbounded_channel();
    (Questions { asked, replies }, Desk { questions, told })
}

/// Puts the questions of a command to the client, and tells the command what came of them.
pub(super) struct Desk {
    questions: UnboundedReceiver<Vec<AskLine>>,
    told: UnboundedSender<String>,
}

/// What a command asked.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Whether a question was open at any time.
    was_open: bool,
    /// Why others were not put or have no answer.
    refused: Vec<String>,
}

impl Asked {
    /// How the job ends whose command wants to wait for an answer although no question is open; nothing if there was one,
    /// so that its answer must just have come.
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

/// The way back to the slot.
type Back = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Desk {
    /// Serves a command until it asks no more, which is at its end.
    pub(super) async fn serve(mut self, job: &JobContext) -> Asked {
        let mut asked = Asked::default();
        let mut answers = job.answers();
        let mut open = BTreeSet::new();
        // What the command is told when it has its slot again, and the way there.
        let (mut last, mut away, mut back) = (Vec::new(), None, None::<Back>);
        loop {
            let came = take(&mut open, &answers.borrow_and_update());
            last.extend(came);
            if open.is_empty() {
                back = back.or_else(|| away.take().map(|away: Away| Box::pin(away.back()) as Back));
            }
            if back.is_none() {
                self.tell_answers(&mut last, &mut asked);
            }
            let lines = tokio::select! {
                lines = self.questions.recv() => lines,
                _came = answers.changed(), if !open.is_empty() => continue,
                () = arrive(&mut back) => continue,
                () = job.cancelled().cancelled() => None,
            };
            let Some(lines) = lines else {
                if let Some(away) = away {
                    away.forget();
                }
                return asked;
            };
            let lines = self.gather(lines).await;
            if self.put(job, lines, (&mut asked, &mut open)).await.is_err() {
                return asked;
            }
            if !open.is_empty() && away.is_none() {
                back = None;
                away = Some(Away::from_the_slot_of(job));
            }
        }
    }

    /// What else is asked within a moment.
    async fn gather(&mut self, mut lines: Vec<AskLine>) -> Vec<AskLine> {
        let until = Instant::now() + TOGETHER;
        while let Ok(Some(more)) = timeout_at(until, self.questions.recv()).await {
            lines.extend(more);
        }
        lines
    }

    /// Puts what can be put; an error if the attempt must stop.
    async fn put(
        &self,
        job: &JobContext,
        lines: Vec<AskLine>,
        (asked, open): (&mut Asked, &mut BTreeSet<String>),
    ) -> Result<(), AskError> {
        let known = job.answers().borrow().clone();
        let mut questions: BTreeMap<String, AskRequest> = BTreeMap::new();
        for AskLine { key, request } in lines {
            let request = match request {
                Ok(request) => request,
                Err(reason) => {
                    self.refuse(&key, &invalid(&reason), asked);
                    continue;
                }
            };
            if let Some(answer) = known.get(&key) {
                self.tell(&key, checked_answer(answer), asked);
            } else if let Err(error) = job.can_be_asked(&request) {
                self.tell(&key, Err(error), asked);
            } else if !open.contains(&key) {
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
                    self.tell(&key, checked_answer(&answer), asked);
                }
                asked.was_open |= !questions.is_empty();
                open.extend(questions.into_keys());
            }
            Err(AskError::Stopped) => return Err(AskError::Stopped),
            Err(error) => {
                for key in questions.into_keys() {
                    self.refuse(&key, &refusal(&error), asked);
                }
            }
        }
        Ok(())
    }

    fn tell_answers(&self, answers: &mut Vec<(String, String)>, asked: &mut Asked) {
        for (key, answer) in answers.drain(..) {
            self.tell(&key, checked_answer(&answer), asked);
        }
    }

    /// Tells an answer as the client wrote it, on one line.
    fn tell(&self, key: &str, answer: Result<&str, AskError>, asked: &mut Asked) {
        match answer {
            Ok(result) => {
                let (key, result) = (Value::from(key), compact(result));
                self.say(format!(r#"{{"key":{key},"result":{result}}}"#));
            }
            Err(error) => self.refuse(key, &refusal(&error), asked),
        }
    }

    fn refuse(&self, key: &str, error: &Value, asked: &mut Asked) {
        let reason = error.get("message").and_then(Value::as_str);
        tracing::debug!(key, reason, "a question without an answer");
        asked.refused.extend(reason.map(str::to_owned));
        self.say(json!({ "key": key, "error": error }).to_string());
    }

    fn say(&self, line: String) {
        // A command that has ended reads nothing.
        let _ended = self.told.send(line);
    }
}

/// Takes the questions that have their answers now.
fn take(open: &mut BTreeSet<String>, answers: &HashMap<String, String>) -> Vec<(String, String)> {
    let came: Vec<(String, String)> = open
        .iter()
        .filter_map(|key| Some((key.clone(), answers.get(key)?.clone())))
        .collect();
    open.retain(|key| !answers.contains_key(key));
    came
}

/// Waits until the slot is there again, if the command is on its way back to it.
async fn arrive(back: &mut Option<Back>) {
    match back {
        Some(on_its_way) => on_its_way.await,
        None => std::future::pending().await,
    }
    *back = None;
}

/// The answers that there are when an attempt begins, as its command finds them in its environment.
pub(super) fn answers(job: &JobContext) -> String {
    let known = job.answers().borrow().clone();
    by_key(known.into_iter().collect())
}

fn by_key(answers: BTreeMap<String, String>) -> String {
    let mut size = 0;
    let entries = answers.into_iter().map(|(key, answer)| {
        let mut entry = match checked_answer(&answer) {
            Ok(result) => format!(r#"{{"result":{}}}"#, compact(result)),
            Err(error) => json!({ "error": refusal(&error) }).to_string(),
        };
        let length = key.len() + entry.len();
        if size + length > LARGEST_ANSWERS {
            let message = "the answers are too large for the environment: ask on standard input";
            let error = json!({ "reason": "too_large", "message": message });
            entry = json!({ "error": error }).to_string();
        } else {
            size += length;
        }
        format!("{}:{entry}", Value::from(key))
    });
    format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
}

/// An error as a command is told it.
fn refusal(error: &AskError) -> Value {
    let message = error.to_string();
    match error {
        AskError::Client { code, message } => {
            json!({ "reason": "client", "code": code, "message": message })
        }
        AskError::NotDeclared { .. } => json!({ "reason": "not_declared", "message": message }),
        AskError::Key(_) | AskError::Url(_) | AskError::UnknownMethod(_) => invalid(&message),
        AskError::Stopped | AskError::Answer(_) | AskError::Unreadable(_) | AskError::Store(_) => {
            json!({ "reason": "failed", "message": message })
        }
    }
}

fn invalid(message: &str) -> Value {
    json!({ "reason": "invalid", "message": message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_the_environment_cannot_hold_are_told_from_those_that_it_can() {
        let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(50 << 10));
        let error = format!(r#"{{"error":{{"code":1,"message":"{large}"}}}}"#);
        let error = error.replace(&large, &"y".repeat(50 << 10));
        let answers = [("a", large.as_str()), ("b", &error), ("c", "{}")];
        let answers = answers.map(|(key, answer)| (key.to_owned(), answer.to_owned()));
        let told = by_key(answers.into_iter().collect());
        assert!(told.len() < LARGEST_ANSWERS);
        let told: Value = serde_json::from_str(&told).unwrap();
        assert!(told["a"]["result"]["text"].is_string());
        assert_eq!(told["b"]["error"]["reason"], "too_large");
        assert_eq!(told["c"], json!({ "result": {} }));
    }

    #[test]
    fn a_command_is_told_an_answer_as_the_client_wrote_it() {
        let (questions, desk) = open();
        let answer = "{ \"z\": 123456789012345678901,\r\n\"a\": 1.50 }";
        desk.tell("k", checked_answer(answer), &mut Asked::default());
        let mut replies = questions.replies;
        let written = r#"{"z":123456789012345678901,"a":1.50}"#;
        let line = format!(r#"{{"key":"k","result":{written}}}"#);
        assert_eq!(replies.try_recv().unwrap(), line);
        let told = by_key(BTreeMap::from([("k".to_owned(), answer.to_owned())]));
        assert_eq!(told, format!(r#"{{"k":{{"result":{written}}}}}"#));
    }

    #[test]
    fn a_command_is_told_why_it_has_no_answer() {
        let not_declared = AskError::NotDeclared {
            capability: "roots",
        };
        let client = AskError::Client {
            code: -1,
            message: "no".to_owned(),
        };
        for (error, reason) in [
            (not_declared, "not_declared"),
            (client, "client"),
            (AskError::Key(String::new()), "invalid"),
            (AskError::Url(String::new()), "invalid"),
            (AskError::Stopped, "failed"),
        ] {
            let told = refusal(&error);
            assert_eq!(told["reason"], reason);
            assert!(told["message"].is_string());
        }
    }
}
