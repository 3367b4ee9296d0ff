//! Moves due jobs to their streams, and gives out slots of tools that nobody freed.

use std::sync::Arc;
use std::time::Duration;

use taskferry_contract::{Error, QueueStream, Shard};

use crate::core::Core;
use crate::core::pause::{GrowingPause, jittered};
use crate::core::rounds::{Round, repeat};

/// How many jobs one call moves at most.
const BATCH: u32 = 100;
/// The longest sleep while Redis answers, but for [`SPREAD`]: meanwhile another process may have added a job that is due
/// sooner.
const LONGEST: Duration = Duration::from_secs(1);
/// All workers wake for the same due job, so each adds a random part of this time.
const SPREAD: Duration = Duration::from_millis(20);

/// Forwards on one shard until the worker stops.
pub(crate) async fn run(core: Arc<Core>, shard: Shard) {
    let forwarder = Forwarder {
        core: &core,
        shard,
        misplaced: Vec::new(),
        after_failure: GrowingPause::default(),
    };
    let (wake, stop) = (&core.wake.forwarder, &core.phase.stop);
    repeat(forwarder, Duration::ZERO, wake, stop).await;
}

struct Forwarder<'a> {
    core: &'a Core,
    shard: Shard,
    /// Keys of the wrong type that were logged, which are not logged again while they stay so.
    misplaced: Vec<String>,
    after_failure: GrowingPause,
}

impl Round for Forwarder<'_> {
    async fn work(&mut self) -> Duration {
        let shard = self.shard;
        match self.forward_all().await {
            Ok(pause) => {
                self.after_failure = GrowingPause::default();
                pause
            }
            Err(error) => {
                tracing::debug!(%error, %shard, "forwarding failed; trying again");
                self.after_failure.next()
            }
        }
    }
}

impl Forwarder<'_> {
    /// Moves a batch of each queue of this worker, and returns how long to sleep.
    async fn forward_all(&mut self) -> Result<Duration, Error> {
        let (mut pause, mut misplaced) = (LONGEST, Vec::new());
        for queue in &self.core.queues {
            let of = QueueStream {
                shard: self.shard,
                queue,
            };
            pause = pause.min(forward(self.core, of, &mut misplaced).await?);
        }
        let known = std::mem::replace(&mut self.misplaced, misplaced);
        for key in self.misplaced.iter().filter(|key| !known.contains(key)) {
            tracing::error!(key, "a key has the wrong type; the jobs that need it wait");
        }
        Ok(pause)
    }
}

/// Moves one batch of a queue, and returns how long to sleep. Adds the keys of the wrong type that were met.
async fn forward(
    core: &Core,
    of: QueueStream<'_>,
    misplaced: &mut Vec<String>,
) -> Result<Duration, Error> {
    let reply = core.store.forward(of, BATCH).await?;
    misplaced.extend(reply.misplaced);
    let shard = of.shard;
    if reply.expired > 0 {
        tracing::warn!(
            target: "attempt", parent: None, jobs = reply.expired, %shard,
            outcome = "expired while they waited for their time or a slot", "expired"
        );
    }
    if reply.moved >= u64::from(BATCH) {
        return Ok(Duration::ZERO);
    }
    let Some(call_again_ms) = reply.call_again_ms else {
        return Ok(jittered(LONGEST));
    };
    let now_ms = core.store.now_ms().await?;
    let wait = Duration::from_millis(call_again_ms.saturating_sub(now_ms));
    Ok(wait.min(LONGEST) + SPREAD.mul_f64(rand::random()))
}
