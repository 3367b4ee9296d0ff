//! How requests end when the process stops. At first they may end by themselves. Those that are open still when that has
//! lasted long enough are ended, each within a second: whoever waits for a job answers first, by what the store still says
//! of it; then a transport answers requests that still have no answer; and then the connections are closed.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How far the stop of the process has come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopping {
    /// Streams that carry no answer end, and nothing new is taken.
    pub(crate) begun: CancellationToken,
    /// Requests that are still open end now.
    pub(crate) over: CancellationToken,
}

impl Stopping {
    /// How long the store may take to read the job that a request waits for, and then a client to take an event.
    pub(crate) const LAST_READ: Duration = Duration::from_millis(600);
    pub(crate) const LAST_EVENT: Duration = Duration::from_millis(100);
    /// After this a transport answers requests that still have no answer.
    pub(crate) const LAST_MOMENT: Duration = Duration::from_millis(800);
    /// After this connections are cut off.
    pub(crate) const LAST_ANSWERS: Duration = Duration::from_secs(1);
}

const _: () = {
    let read = Stopping::LAST_READ.as_millis() + Stopping::LAST_EVENT.as_millis();
    assert!(read < Stopping::LAST_MOMENT.as_millis());
    assert!(Stopping::LAST_MOMENT.as_millis() < Stopping::LAST_ANSWERS.as_millis());
};
