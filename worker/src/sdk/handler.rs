//! What runs the jobs of a tool.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::context::JobContext;
use super::output::HandlerResult;

/// The future of one attempt.
pub type HandlerFuture = Pin<Box<dyn Future<Output = HandlerResult> + Send>>;

/// Runs the jobs of a tool. Every `async fn(JobContext) -> Result<ToolOutput, ToolError>` is one.
pub trait Handler: Send + Sync + 'static {
    /// Runs one attempt. The future runs on its own: a panic ends this attempt alone, which is then retried.
    fn run(&self, job: JobContext) -> HandlerFuture;

    /// How long an attempt may go on after it was told to stop, until its future is dropped. One second.
    fn stop_grace(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// How long an attempt that has waited for an answer too long may take to stop, before its job is parked. Zero, the
    /// default, drops its future where it waits, in [`JobContext::ask`], without a warning.
    fn park_grace(&self) -> Duration {
        Duration::ZERO
    }
}

impl<F, Fut> Handler for F
where
    F: Fn(JobContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = HandlerResult> + Send + 'static,
{
    fn run(&self, job: JobContext) -> HandlerFuture {
        Box::pin(self(job))
    }
}
