//! How a worker winds down, and what becomes of the jobs that run then.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;

/// How far the end of the worker has come. Each step implies those before, but for `read_no_more`.
#[derive(Debug, Default)]
pub(crate) struct Phase {
    /// No new job is begun.
    pub(crate) stop: CancellationToken,
    /// No stream is read any more, so jobs that are given back from now on go to other workers.
    pub(crate) read_no_more: CancellationToken,
    /// Attempts that still run are stopped, and their jobs released.
    pub(crate) halt: CancellationToken,
    /// Attempts that are still there are dropped, and no call is tried again.
    pub(crate) kill: CancellationToken,
}

/// How the jobs ended that were running when the worker was told to stop.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    released: AtomicUsize,
    abandoned: AtomicUsize,
}

impl Tally {
    /// Counts a job that others can take now, or one whose end could not be written: others take it over when its lease
    /// ends.
    pub(crate) fn count(&self, is_released: bool) {
        let counter = if is_released {
            &self.released
        } else {
            &self.abandoned
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn released(&self) -> usize {
        self.released.load(Ordering::Relaxed)
    }

    pub(crate) fn abandoned(&self) -> usize {
        self.abandoned.load(Ordering::Relaxed)
    }
}
