//! What a handler tells on its way to whoever waits: of progress the newest wins; of log lines all go, but for a flood.
//! Both at most once in 40 ms.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Mutex;
use std::time::Duration;

use taskferry_contract::{LogLevel, Progress};
use tokio::sync::Notify;

use super::attempt::Attempt;
use super::backoff::Backoff;
use super::{Runtime, lock};

/// Between two reports of a job.
const PACE: Duration = Duration::from_millis(40);
/// So many log lines wait to be sent; beyond, the oldest goes.
const LINES_WAITING: usize = 256;

/// What a handler reported and pollers have not seen yet.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    waiting: Mutex<Option<Progress>>,
    lines: Mutex<VecDeque<(LogLevel, String)>>,
    added: Notify,
}

impl Reports {
    /// Adds a report over what waits.
    pub(crate) fn add(&self, report: Progress) {
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
        lines.push_back((level, text.to_owned()));
        drop(lines);
        self.added.notify_one();
    }

    fn take_lines(&self) -> Vec<(LogLevel, String)> {
        lock(&self.lines).drain(..).collect()
    }

    fn take(&self) -> Option<Progress> {
        lock(&self.waiting).take()
    }

    /// Puts a report back that could not be sent, under what came meanwhile.
    fn put_back(&self, report: Progress) {
        let mut waiting = lock(&self.waiting);
        let newer = waiting.take().unwrap_or_default();
        *waiting = Some(over(newer, report));
        drop(waiting);
        self.added.notify_one();
    }
}

fn over(newer: Progress, older: Progress) -> Progress {
    // A new number without a total counts towards no known total.
    let (progress, total) = match newer.progress {
        Some(number) => (Some(number), newer.total),
        None => (older.progress, older.total),
    };
    Progress {
        progress,
        total,
        message: newer.message.or(older.message),
    }
}

/// Sends what is reported until it is dropped.
pub(crate) async fn run(attempt: &Attempt, runtime: &Runtime) -> Infallible {
    let mut backoff = Backoff::default();
    loop {
        attempt.reports.added.notified().await;
        if send(attempt, runtime).await {
            backoff = Backoff::default();
            tokio::time::sleep(PACE).await;
        } else {
            backoff.wait().await;
        }
    }
}

/// Sends the last report, before the outcome closes the record.
pub(crate) async fn flush(attempt: &Attempt, runtime: &Runtime) {
    send(attempt, runtime).await;
}

/// Sends what waits; false if some of it waits again.
async fn send(attempt: &Attempt, runtime: &Runtime) -> bool {
    let lines = attempt.reports.take_lines();
    match runtime.relay.report_log(&attempt.hold, &lines).await {
        Ok(Ok(())) => {}
        Ok(Err(refused)) => attempt.refuse(refused),
        // Sent again they might come twice; they are in the worker's log in any case.
        Err(error) => tracing::debug!(%error, "log lines could not be sent"),
    }
    let Some(report) = attempt.reports.take() else {
        return true;
    };
    match runtime.relay.report_progress(&attempt.hold, &report).await {
        Ok(Ok(())) => {}
        Ok(Err(refused)) => attempt.refuse(refused),
        Err(error) => {
            if error.may_pass() {
                tracing::debug!(%error, "progress could not be reported; trying again");
                attempt.reports.put_back(report);
                return false;
            }
            tracing::warn!(%error, "Redis refuses a report of progress; it is dropped");
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(progress: f64, total: Option<f64>) -> Progress {
        Progress {
            progress: Some(progress),
            total,
            message: None,
        }
    }

    fn message(text: &str) -> Progress {
        Progress {
            message: Some(text.to_owned()),
            ..Progress::default()
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
