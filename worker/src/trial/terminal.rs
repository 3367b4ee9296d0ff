//! Whoever tries a tool, as the client of its call: is shown what it reports, and answers what it asks.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::future::ready;
use std::io::BufRead;
use std::sync::mpsc::{Receiver, Sender, channel};

use taskferry_contract::{
    AskReply, HeldAttempt, LogLevel, NewQuestion, ParkReply, ProgressReport, Refused, ToolName,
};
use taskferry_process::output::say;
use tokio::sync::watch;

use super::answer;
use crate::core::attempt::RunningAttempt;
use crate::core::relay::{Relay, Relayed};

/// The person, or the script, behind a trial.
#[derive(Debug)]
pub(crate) struct Terminal {
    /// Answers that were given before anything was asked.
    given: HashMap<String, String>,
    /// Questions for whoever reads answers from standard input.
    unanswered: Sender<String>,
    conversation: watch::Sender<Conversation>,
}

#[derive(Debug, Default)]
struct Conversation {
    /// The answers so far: key to JSON.
    answers: HashMap<String, String>,
    /// The questions that have none yet.
    open: BTreeSet<String>,
}

/// The questions that are to be answered from standard input.
#[derive(Debug)]
pub(crate) struct UnansweredQuestions {
    keys: Receiver<String>,
    conversation: watch::Sender<Conversation>,
}

impl Terminal {
    /// A terminal with these answers, by key, and the questions that are left to be answered from standard input.
    pub(crate) fn new(given: HashMap<String, String>) -> (Self, UnansweredQuestions) {
        let (unanswered, keys) = channel();
        let conversation = watch::Sender::default();
        let questions = UnansweredQuestions {
            keys,
            conversation: conversation.clone(),
        };
        let terminal = Self {
            given,
            unanswered,
            conversation,
        };
        (terminal, questions)
    }

    /// The answers so far.
    pub(crate) fn answers(&self) -> HashMap<String, String> {
        self.conversation.borrow().answers.clone()
    }

    /// Asks a question. Returns its answer if it was asked before and has one.
    pub(crate) fn put(&self, NewQuestion { key, request }: NewQuestion<'_>) -> Option<String> {
        let known = |conversation: &Conversation| conversation.answers.get(key).cloned();
        if let Some(answer) = known(&self.conversation.borrow()) {
            return Some(answer);
        }
        let is_new = |conversation: &mut Conversation| conversation.open.insert(key.to_owned());
        if !self.conversation.send_if_modified(is_new) {
            return None;
        }
        say(&format!("question {key} {}", on_one_line(request)));
        // A question whose answer was given beforehand is open for a moment too, as with a client.
        if let Some(given) = self.given.get(key) {
            self.conversation
                .send_modify(|conversation| conversation.answer(key, given.clone()));
        } else if self.unanswered.send(key.to_owned()).is_err() {
            self.conversation
                .send_modify(|conversation| conversation.answer(key, answer::nobody(key)));
        }
        None
    }

    /// Waits until every question has its answer.
    pub(crate) async fn all_answered(&self) {
        let mut conversation = self.conversation.subscribe();
        // The channel cannot be closed while this exists.
        let _closed = conversation
            .wait_for(|conversation| conversation.open.is_empty())
            .await;
    }

    /// Whether a question has no answer yet.
    pub(crate) fn has_open(&self) -> bool {
        !self.conversation.borrow().open.is_empty()
    }

    /// Brings answers to an attempt as they come.
    pub(crate) async fn bring_answers(&self, attempt: &RunningAttempt) -> Infallible {
        let mut conversation = self.conversation.subscribe();
        loop {
            let answers = conversation.borrow_and_update().answers.clone();
            attempt.answers.send_if_modified(|known| {
                let more = answers.len() > known.len();
                if more {
                    *known = answers;
                }
                more
            });
            if conversation.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Conversation {
    fn answer(&mut self, key: &str, answer: String) {
        self.open.remove(key);
        self.answers.insert(key.to_owned(), answer);
    }
}

impl UnansweredQuestions {
    /// Answers each question by the next line that is an answer, until nothing more is asked; those that are left when
    /// the lines end, by an error. Blocks its thread.
    pub(crate) fn answer_from(self, mut lines: impl BufRead) {
        while let Ok(key) = self.keys.recv() {
            let answer = next_answer(&key, &mut lines);
            self.conversation
                .send_modify(|conversation| conversation.answer(&key, answer));
        }
    }
}

fn next_answer(key: &str, lines: &mut impl BufRead) -> String {
    say(&format!("answer {key} with a line: {}", answer::FORMS));
    let mut line = String::new();
    loop {
        line.clear();
        match lines.read_line(&mut line) {
            Ok(1..) => match answer::read(&line) {
                Ok(answer) => return answer,
                Err(fault) => say(&format!("this is no answer: {fault}")),
            },
            Ok(0) | Err(_) => {
                say(&format!("nobody answers {key}: give --answer {key}=ANSWER"));
                return answer::nobody(key);
            }
        }
    }
}

impl Relay for Terminal {
    fn report_log<'a>(
        &'a self,
        _hold: &'a HeldAttempt,
        lines: &'a [(LogLevel, String)],
    ) -> Relayed<'a, Result<(), Refused>> {
        for (level, text) in lines {
            say(&format!("log {level} {}", on_one_line(text)));
        }
        Box::pin(ready(Ok(Ok(()))))
    }

    fn report_progress<'a>(
        &'a self,
        _hold: &'a HeldAttempt,
        report: &'a ProgressReport,
    ) -> Relayed<'a, Result<(), Refused>> {
        say(&shown(report));
        Box::pin(ready(Ok(Ok(()))))
    }

    fn ask<'a>(
        &'a self,
        _hold: &'a HeldAttempt,
        questions: &'a [NewQuestion<'a>],
    ) -> Relayed<'a, AskReply> {
        let answered = questions
            .iter()
            .filter_map(|question| Some((question.key.to_owned(), self.put(*question)?)))
            .collect();
        Box::pin(ready(Ok(AskReply::Asked(answered))))
    }

    fn park<'a>(&'a self, _hold: &'a HeldAttempt) -> Relayed<'a, ParkReply> {
        let reply = if self.has_open() {
            ParkReply::Parked
        } else {
            ParkReply::Answered
        };
        Box::pin(ready(Ok(reply)))
    }

    // Who tries a tool waits for it, or stops it.
    fn begin_outside<'a>(&'a self, _hold: &'a HeldAttempt) -> Relayed<'a, Result<(), Refused>> {
        Box::pin(ready(Ok(Ok(()))))
    }

    fn end_outside<'a>(&'a self, _hold: &'a HeldAttempt, _tool: &'a ToolName) -> Relayed<'a, ()> {
        Box::pin(ready(Ok(())))
    }
}

/// What a tool says, without what would move the cursor or end the line.
fn on_one_line(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() {
            c.escape_debug().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(shown).collect()
}

/// A report as a line.
fn shown(report: &ProgressReport) -> String {
    let finite = |number: Option<f64>| number.filter(|number| number.is_finite());
    let message = report.message.as_deref().map(on_one_line);
    let mut line = match (finite(report.progress), finite(report.total)) {
        (Some(done), Some(total)) => format!("progress {done}/{total}"),
        (Some(done), None) => format!("progress {done}"),
        (None, _) => "message".to_owned(),
    };
    if let Some(message) = message {
        line.push(' ');
        line.push_str(&message);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(key: &str) -> NewQuestion<'_> {
        NewQuestion { key, request: "{}" }
    }

    #[test]
    fn a_question_is_answered_by_what_was_given_else_by_the_next_line_that_is_an_answer() {
        let given = HashMap::from([("a".to_owned(), r#"{"roots":[]}"#.to_owned())]);
        let (terminal, questions) = Terminal::new(given);
        assert_eq!(terminal.put(roots("a")), None);
        assert!(!terminal.has_open());
        assert_eq!(terminal.put(roots("a")).as_deref(), Some(r#"{"roots":[]}"#));
        for key in ["b", "c", "d"] {
            assert_eq!(terminal.put(roots(key)), None);
        }
        assert!(terminal.has_open());
        let asked = terminal.answers();
        assert_eq!(asked.len(), 1);
        let conversation = terminal.conversation.clone();
        drop(terminal);
        questions.answer_from("what?\naccept {\"n\":1}\ndecline\n".as_bytes());
        let conversation = conversation.borrow();
        assert!(conversation.open.is_empty());
        assert_eq!(
            conversation.answers["b"],
            r#"{"action":"accept","content":{"n":1}}"#
        );
        assert_eq!(conversation.answers["c"], r#"{"action":"decline"}"#);
        assert!(
            conversation.answers["d"].contains("--answer d="),
            "{}",
            conversation.answers["d"]
        );
    }

    #[test]
    fn a_question_that_nobody_reads_is_answered_by_an_error() {
        let (terminal, questions) = Terminal::new(HashMap::new());
        drop(questions);
        assert_eq!(terminal.put(roots("a")), None);
        assert!(!terminal.has_open());
        assert!(terminal.answers()["a"].contains("nobody answered"));
    }

    #[test]
    fn reports_are_lines() {
        let report = |progress, total, message: Option<&str>| {
            shown(&ProgressReport {
                progress,
                total,
                message: message.map(str::to_owned),
            })
        };
        assert_eq!(report(Some(1.0), Some(2.5), Some("a")), "progress 1/2.5 a");
        assert_eq!(report(Some(1.0), None, None), "progress 1");
        assert_eq!(report(Some(f64::NAN), None, Some("a")), "message a");
        assert!(!report(None, None, Some("a\u{1b}[2J\nb")).contains(['\u{1b}', '\n']));
    }
}
