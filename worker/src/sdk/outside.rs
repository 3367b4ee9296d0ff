//! What other systems run for jobs.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use taskferry_contract::{Error, LeftOutside};
use tokio::time::Instant;

use super::context::JobContext;
use crate::core::pause::GrowingPause;

/// How long it is tried to note that nothing runs any more. Otherwise it is ended once more, later.
const END_WITHIN: Duration = Duration::from_secs(5);

/// The future of [`EndsOutside::end`]. Its error says why it may go on.
pub(crate) type OutsideFuture<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Ends in another system what is left there of jobs of a tool.
pub(crate) trait EndsOutside: Send + Sync {
    /// Ends what it runs for this job, if it does.
    fn end<'a>(&'a self, left: &'a LeftOutside) -> OutsideFuture<'a>;
}

impl JobContext {
    /// Notes that another system may run something for this job from now on, so that it is ended whatever becomes of this
    /// worker. Waits until Redis has that; where it never will, says so.
    pub(crate) async fn begin_outside(&self) {
        let attempt = &self.attempt;
        let mut pause = GrowingPause::default();
        loop {
            match attempt.relay.begin_outside(&attempt.hold).await {
                Ok(Ok(())) => return,
                Ok(Err(refused)) => return attempt.refuse(refused),
                Err(error) if error.may_pass() => pause.wait().await,
                Err(error) => return not_noted(&error),
            }
        }
    }

    /// Notes that nothing runs there any more.
    pub(crate) async fn end_outside(&self) {
        let (attempt, until) = (&self.attempt, Instant::now() + END_WITHIN);
        let mut pause = GrowingPause::default();
        loop {
            match attempt.relay.end_outside(&attempt.hold, self.tool()).await {
                Ok(()) => return,
                Err(error) if error.may_pass() && Instant::now() < until => pause.wait().await,
                Err(error) => return not_noted(&error),
            }
        }
    }
}

fn not_noted(error: &Error) {
    tracing::warn!(%error, "it cannot be noted whether an external job runs; if this worker dies, nobody cancels that job");
}
