//! An attempt that waits for an answer, away from its slot.

use std::sync::Arc;

use super::Core;
use super::attempt::RunningAttempt;

/// An attempt that waits for an answer, without its slot. If the wait is dropped without an answer, as by a `select!`, the
/// slot is taken again in the background.
pub(crate) struct AwaitingAnswer(Option<Waiting>);

struct Waiting {
    attempt: Arc<RunningAttempt>,
    core: Arc<Core>,
}

impl AwaitingAnswer {
    /// Gives the attempt's slot back, and stops its time.
    pub(crate) fn begin(attempt: Arc<RunningAttempt>, core: Arc<Core>) -> Self {
        attempt.begin_wait();
        Self(Some(Waiting { attempt, core }))
    }

    /// Ends the wait without a slot: the attempt has come to its end.
    pub(crate) fn forget(mut self) {
        self.0 = None;
    }

    /// Ends the wait once there is a slot.
    pub(crate) async fn end(mut self) {
        if let Some(Waiting { attempt, core }) = self.0.take() {
            attempt.end_wait(&core.slots).await;
        }
    }
}

impl Drop for AwaitingAnswer {
    fn drop(&mut self) {
        if let Some(Waiting { attempt, core }) = self.0.take()
            && !attempt.cancel.is_cancelled()
        {
            let handlers = core.handlers.clone();
            handlers.spawn(async move { attempt.end_wait(&core.slots).await });
        }
    }
}
