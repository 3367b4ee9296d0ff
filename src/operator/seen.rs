//! The workers, as they reported last.

use std::time::Duration;

use taskferry_contract::{Error, Store, WorkerInfo};

/// A worker, and when it reported.
#[derive(Debug)]
pub(crate) struct SeenWorker {
    /// What it reported.
    pub(crate) info: WorkerInfo,
    /// When, ms since the epoch.
    pub(crate) beat_ms: u64,
    /// How long ago that was.
    pub(crate) silent_for: Duration,
}

impl SeenWorker {
    /// Whether it has not reported for so long that it may be gone.
    pub(crate) fn is_silent(&self) -> bool {
        WorkerInfo::is_silent(self.silent_for)
    }

    /// Whether it may begin jobs of a tool.
    pub(super) fn may_run(&self, tool: &str) -> bool {
        self.is_counted_on() && self.info.runs(tool)
    }

    /// Whether it may begin jobs.
    pub(super) fn is_counted_on(&self) -> bool {
        self.info.is_counted_on(self.silent_for)
    }
}

/// The workers that reported within the last minute, also those that are silent by now.
pub(super) async fn workers(store: &Store) -> Result<Vec<SeenWorker>, Error> {
    let (workers, now_ms) = (store.workers().await?, store.now_ms().await?);
    let seen = workers.into_iter().map(|(info, beat_ms)| SeenWorker {
        info,
        beat_ms,
        silent_for: Duration::from_millis(now_ms.saturating_sub(beat_ms)),
    });
    Ok(seen.collect())
}
