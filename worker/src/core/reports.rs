//! Reports of a handler that wait to be sent. Of progress the newest wins. Log lines are all kept, up to a bound.

use std::collections::VecDeque;
use std::sync::Mutex;

use taskferry_contract::{LogLevel, ProgressReport, cut};
use tokio::sync::Notify;

use super::lock::lock;

/// How many log lines wait to be sent. When there are more, the oldest is dropped.
const LINES_WAITING: usize = 256;

/// The longest log line that is sent, bytes: front ends hold some of each for clients that take their time.
const LONGEST_LINE: usize = 8 << 10;

/// What a handler reported and pollers have not seen yet.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    waiting: Mutex<Option<ProgressReport>>,
    lines: Mutex<VecDeque<(LogLevel, String)>>,
    added: Notify,
}

impl Reports {
    /// Adds a report. Its parts replace those that wait.
    pub(crate) fn add(&self, report: ProgressReport) {
        let mut waiting = lock(&self.waiting);
        let older = waiting.take().unwrap_or_default();
        *waiting = Some(over(report, older));
        drop(waiting);
        self.added.notify_one();
    }

    /// Adds a line for the client's log.
    pub(crate) fn add_line(&self, level: LogLevel, text: &str) {
        let mut lines = lock(&self.lines);
        if lines.len() == LINES_WAITING {
            lines.pop_front();
        }
        lines.push_back((level, cut(text, LONGEST_LINE).into_owned()));
        drop(lines);
        self.added.notify_one();
    }

    /// Waits until something is added.
    pub(crate) async fn added(&self) {
        self.added.notified().await;
    }

    /// Takes the log lines that wait.
    pub(crate) fn take_lines(&self) -> Vec<(LogLevel, String)> {
        lock(&self.lines).drain(..).collect()
    }

    /// Takes the progress that waits.
    pub(crate) fn take(&self) -> Option<ProgressReport> {
        lock(&self.waiting).take()
    }

    /// Puts a report back that could not be sent. Newer parts win over it.
    pub(crate) fn put_back(&self, report: ProgressReport) {
        let mut waiting = lock(&self.waiting);
        let newer = waiting.take().unwrap_or_default();
        *waiting = Some(over(newer, report));
        drop(waiting);
        self.added.notify_one();
    }
}

fn over(newer: ProgressReport, older: ProgressReport) -> ProgressReport {
    // A new number without a total removes the old total.
    let (progress, total) = match newer.progress {
        Some(number) => (Some(number), newer.total),
        None => (older.progress, older.total),
    };
    ProgressReport {
        progress,
        total,
        message: newer.message.or(older.message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(progress: f64, total: Option<f64>) -> ProgressReport {
        ProgressReport {
            progress: Some(progress),
            total,
            message: None,
        }
    }

    fn message(text: &str) -> ProgressReport {
        ProgressReport {
            message: Some(text.to_owned()),
            ..ProgressReport::default()
        }
    }

    #[test]
    fn the_newest_number_and_the_newest_message_win() {
        let reports = Reports::default();
        reports.add(number(1.0, Some(9.0)));
        reports.add(message("a"));
        reports.add(number(2.0, Some(9.0)));
        let report = reports.take().unwrap();
        assert_eq!((report.progress, report.total), (Some(2.0), Some(9.0)));
        assert_eq!(report.message.as_deref(), Some("a"));
        assert_eq!(reports.take(), None);
    }

    #[test]
    fn a_report_that_was_not_sent_yields_to_newer_ones() {
        let reports = Reports::default();
        reports.add(number(1.0, None));
        let unsent = reports.take().unwrap();
        reports.add(message("b"));
        reports.put_back(unsent);
        let report = reports.take().unwrap();
        assert_eq!(report.progress, Some(1.0));
        assert_eq!(report.message.as_deref(), Some("b"));
    }
}
