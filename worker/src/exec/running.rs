//! A running command: waits for its end, or ends it.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::cgroup::MetLimits;
use super::pipes::{Pipes, Pump, StderrReader, StdinFeed, StdoutCapture};
use super::process::Process;
use super::verdict::ExitCause;

/// How long the pipes may stay open after the command's exit, because a
/// process it left behind holds them; and again after that one was killed.
const DRAIN: Duration = Duration::from_secs(1);

/// How long a killed command may take to be gone. One that hangs in the kernel
/// is left to it.
const REAP: Duration = Duration::from_secs(5);

/// What an attempt may use up, and what ends it early.
pub(super) struct Limits<'a> {
    /// The time that is left, if it is kept here.
    pub(super) left: Option<Duration>,
    /// What the result says of it.
    pub(super) timeout: Duration,
    pub(super) max_output: usize,
    pub(super) overflow: &'a CancellationToken,
    pub(super) cancel: &'a CancellationToken,
}

/// A running command with its pipes. The fields are dropped in this order.
pub(super) struct RunningCommand<'a> {
    pub(super) pump: Pump<'a>,
    pub(super) process: Process,
    pub(super) stop_grace: Duration,
    /// Ends its standard input.
    pub(super) over: CancellationToken,
}

impl RunningCommand<'_> {
    /// Runs the command to its end, and says what ended it, and which limits of its cgroup it had met.
    pub(super) async fn run(mut self, limits: Limits<'_>) -> (ExitCause, MetLimits) {
        let process = &mut self.process;
        let first = async {
            tokio::select! {
                biased;
                status = process.wait() => ExitCause::Exited(status.ok()),
                () = limits.cancel.cancelled() => ExitCause::Cancelled,
                () = limits.overflow.cancelled() => ExitCause::TooMuchOutput(limits.max_output),
                () = elapsed(limits.left) => ExitCause::TimedOut(limits.timeout),
            }
        };
        let ending = self.pump.until(first).await;
        self.over.cancel();
        match ending {
            ExitCause::Exited(_) => {}
            ExitCause::TooMuchOutput(_) => self.kill().await,
            ExitCause::Cancelled | ExitCause::TimedOut(_) => self.stop().await,
        }
        self.drain().await;
        let ending = match ending {
            ExitCause::Exited(_) if limits.overflow.is_cancelled() => {
                ExitCause::TooMuchOutput(limits.max_output)
            }
            ending => ending,
        };
        (ending, self.process.met())
    }

    /// SIGTERM, then SIGKILL after the grace.
    async fn stop(&mut self) {
        self.process.terminate();
        let exit = timeout(self.stop_grace, self.process.wait());
        if self.pump.until(exit).await.is_err() {
            self.kill().await;
        }
    }

    async fn kill(&mut self) {
        self.process.kill();
        let exit = timeout(REAP, self.process.wait());
        if self.pump.until(exit).await.is_err() {
            tracing::warn!(pid = self.process.id(), "a killed command does not end");
        }
    }

    /// Reads what is still in the pipes and ends what the command left behind.
    async fn drain(&mut self) {
        let closed = timeout(DRAIN, self.pump.finished()).await.is_ok();
        self.process.kill();
        let gone = timeout(REAP, self.process.gone());
        if self.pump.until(gone).await.is_err() {
            tracing::warn!(
                pid = self.process.id(),
                "what a command left behind does not end"
            );
        }
        if !closed && timeout(DRAIN, self.pump.finished()).await.is_err() {
            tracing::warn!("a process that cannot be reached holds the command's pipes");
        }
    }
}

/// Waits for a timeout, if there is one, and says how long it was.
async fn elapsed(left: Option<Duration>) {
    match left {
        Some(left) => sleep(left).await,
        None => std::future::pending().await,
    }
}

/// Drives the three pipes of a command.
pub(super) fn pump<'a>(
    pipes: Pipes,
    input: StdinFeed,
    capture: &'a mut StdoutCapture,
    reader: &'a mut StderrReader,
) -> Pump<'a> {
    let Pipes {
        stdin,
        stdout,
        stderr,
    } = pipes;
    Pump::new(async move {
        tokio::join!(
            async {
                if let Some(stdin) = stdin {
                    input.feed(stdin).await;
                }
            },
            async {
                if let Some(stdout) = stdout {
                    capture.read(stdout).await;
                }
            },
            async {
                if let Some(stderr) = stderr {
                    reader.read(stderr).await;
                }
            },
        );
    })
}
