//! Passes the reports of an attempt on, at most once in 40 ms.

use std::convert::Infallible;
use std::time::Duration;

use crate::core::attempt::RunningAttempt;
use crate::core::pause::GrowingPause;

/// Between two reports of a job.
const PACE: Duration = Duration::from_millis(40);

/// Sends what is reported until it is dropped.
pub(crate) async fn run(attempt: &RunningAttempt) -> Infallible {
    let mut pause = GrowingPause::default();
    loop {
        attempt.reports.added().await;
        if send(attempt).await {
            pause = GrowingPause::default();
            tokio::time::sleep(PACE).await;
        } else {
            pause.wait().await;
        }
    }
}

/// Sends the last report, before the outcome closes the record.
pub(crate) async fn flush(attempt: &RunningAttempt) {
    send(attempt).await;
}

/// Sends what waits; false if some of it waits again.
async fn send(attempt: &RunningAttempt) -> bool {
    let lines = attempt.reports.take_lines();
    match attempt.relay.report_log(&attempt.hold, &lines).await {
        Ok(Ok(())) => {}
        Ok(Err(refused)) => attempt.refuse(refused),
        // Sent again they might come twice; they are in the worker's log in any case.
        Err(error) => tracing::debug!(%error, "log lines could not be sent"),
    }
    let Some(report) = attempt.reports.take() else {
        return true;
    };
    match attempt.relay.report_progress(&attempt.hold, &report).await {
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
