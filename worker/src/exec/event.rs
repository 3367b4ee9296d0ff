//! What a running command reports, on its way to a receiver that may be slow.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use taskferry_contract::LogLevel;

use super::stderr::{ProgressLine, StderrLine};

/// Log lines that wait for the receiver; beyond, the oldest goes.
const WAITING_LOGS: usize = 256;

/// What a command reports while it runs.
#[derive(Debug, Clone, PartialEq)]
pub enum ExecEvent {
    /// How far the work has come.
    Progress(ProgressLine),
    /// The new status message of the task.
    Message(String),
    /// A line for the caller's log.
    Log {
        /// How severe it is.
        level: LogLevel,
        /// The text.
        text: String,
    },
}

/// Sends events without ever waiting for room. Of progress and of messages
/// only the newest waits; of log lines the last [`WAITING_LOGS`] do.
#[derive(Debug)]
pub(super) struct EventSink {
    sender: mpsc::Sender<ExecEvent>,
    waiting: Unsent,
    closed: bool,
}

#[derive(Debug, Default)]
struct Unsent {
    progress: Option<ProgressLine>,
    message: Option<String>,
    logs: VecDeque<(LogLevel, String)>,
    dropped_logs: u64,
}

impl EventSink {
    pub(super) fn new(sender: mpsc::Sender<ExecEvent>) -> Self {
        Self {
            sender,
            waiting: Unsent::default(),
            closed: false,
        }
    }

    /// Sends what a line reports. Returns a line that is no report.
    pub(super) fn report(&mut self, line: StderrLine) -> Option<StderrLine> {
        match line {
            StderrLine::Progress(progress) => self.waiting.progress = Some(progress),
            StderrLine::Message(text) => self.waiting.message = Some(text),
            StderrLine::Log(level, text) => self.waiting.push_log(level, text),
            StderrLine::Ask(_) | StderrLine::Plain(_) => return Some(line),
        }
        self.send_what_fits();
        None
    }

    /// Whether [`EventSink::send_next`] has something to do.
    pub(super) fn has_waiting(&self) -> bool {
        !self.closed && !self.waiting.is_empty()
    }

    /// Waits for room and sends one event. Loses nothing if it is dropped.
    pub(super) async fn send_next(&mut self) {
        match self.sender.reserve().await {
            Ok(permit) => {
                if let Some(event) = self.waiting.next() {
                    permit.send(event);
                }
            }
            Err(_closed) => self.closed = true,
        }
    }

    fn send_what_fits(&mut self) {
        while self.has_waiting() {
            match self.sender.try_reserve() {
                Ok(permit) => {
                    if let Some(event) = self.waiting.next() {
                        permit.send(event);
                    }
                }
                Err(TrySendError::Full(())) => return,
                Err(TrySendError::Closed(())) => self.closed = true,
            }
        }
    }
}

impl Unsent {
    fn is_empty(&self) -> bool {
        self.progress.is_none() && self.message.is_none() && self.logs.is_empty()
    }

    fn push_log(&mut self, level: LogLevel, text: String) {
        if self.logs.len() == WAITING_LOGS {
            self.logs.pop_front();
            self.dropped_logs = self.dropped_logs.saturating_add(1);
        }
        self.logs.push_back((level, text));
    }

    fn next(&mut self) -> Option<ExecEvent> {
        let dropped = std::mem::take(&mut self.dropped_logs);
        if dropped > 0 {
            return Some(ExecEvent::Log {
                level: LogLevel::Warning,
                text: format!("{dropped} log lines were left out: they came too fast"),
            });
        }
        if let Some((level, text)) = self.logs.pop_front() {
            return Some(ExecEvent::Log { level, text });
        }
        let message = self.message.take().map(ExecEvent::Message);
        message.or_else(|| self.progress.take().map(ExecEvent::Progress))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> StderrLine {
        StderrLine::parse(text.to_owned())
    }

    fn progress(number: f64) -> ExecEvent {
        ExecEvent::Progress(ProgressLine {
            progress: number,
            total: None,
            message: None,
        })
    }

    #[tokio::test]
    async fn the_newest_progress_and_message_wait() {
        let (sender, mut receiver) = mpsc::channel(1);
        let mut sink = EventSink::new(sender);
        for text in [
            "::progress 1",
            "::progress 2",
            "::progress 3",
            "::message a",
            "::message b",
        ] {
            assert_eq!(sink.report(line(text)), None);
        }
        assert_eq!(receiver.recv().await, Some(progress(1.0)));
        sink.send_next().await;
        assert_eq!(receiver.recv().await, Some(ExecEvent::Message("b".into())));
        sink.send_next().await;
        assert_eq!(receiver.recv().await, Some(progress(3.0)));
        assert!(!sink.has_waiting());
    }

    #[tokio::test]
    async fn says_how_many_log_lines_were_left_out() {
        let (sender, mut receiver) = mpsc::channel(1);
        let mut sink = EventSink::new(sender);
        for number in 0..WAITING_LOGS + 11 {
            sink.report(line(&format!("::log info {number}")));
        }
        let mut texts = Vec::new();
        while let Ok(event) = receiver.try_recv() {
            if let ExecEvent::Log { text, .. } = event {
                texts.push(text);
            }
            if sink.has_waiting() {
                sink.send_next().await;
            }
        }
        assert_eq!(texts[0], "0");
        assert_eq!(texts[1], "10 log lines were left out: they came too fast");
        assert_eq!(texts[2], "11");
        assert_eq!(texts.len(), WAITING_LOGS + 2);
    }

    #[test]
    fn a_receiver_that_is_gone_is_no_trouble() {
        let (sender, receiver) = mpsc::channel(1);
        drop(receiver);
        let mut sink = EventSink::new(sender);
        assert_eq!(sink.report(line("::progress 1")), None);
        assert!(!sink.has_waiting());
        assert_eq!(sink.report(line("plain")), Some(line("plain")));
    }
}
