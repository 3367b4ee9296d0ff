//! Moves jobs whose time has come to their streams.

use std::sync::Arc;
use std::time::Duration;

use taskferry_contract::{Error, Shard};

use crate::core::Core;
use crate::core::pause::{GrowingPause, jittered};

/// Jobs moved by one call.
const BATCH: u32 = 100;
/// The longest sleep: another process may have planned a job meanwhile.
const LONGEST: Duration = Duration::from_secs(1);
/// A fleet that wakes for one job wakes over this time.
const SPREAD: Duration = Duration::from_millis(20);

/// Forwards on one shard until the worker stops.
pub(crate) async fn run(core: Arc<Core>, shard: Shard) {
    let mut after_failure = GrowingPause::default();
    let mut misplaced = Vec::new();
    loop {
        let pause = match forward(&core, shard, &mut misplaced).await {
            Ok(pause) => {
                after_failure = GrowingPause::default();
                pause
            }
            Err(error) => {
                tracing::debug!(%error, %shard, "forwarding failed; trying again");
                after_failure.next()
            }
        };
        tokio::select! {
            () = core.phase.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = core.wake.forwarder.notified() => {}
        }
    }
}

/// Moves all that is due and says how long there is nothing to do. Keys that hold something else than what belongs there are
/// told of once: `misplaced` are those that were.
async fn forward(
    core: &Core,
    shard: Shard,
    misplaced: &mut Vec<String>,
) -> Result<Duration, Error> {
    let reply = core.store.forward(shard, BATCH).await?;
    for key in reply
        .misplaced
        .iter()
        .filter(|key| !misplaced.contains(key))
    {
        tracing::error!(
            key,
            "a key holds something else than what belongs there; the jobs that it is for wait"
        );
    }
    *misplaced = reply.misplaced;
    if reply.expired > 0 {
        tracing::warn!(
            target: "attempt", parent: None, jobs = reply.expired, %shard,
            outcome = "expired while they waited for their time or a slot", "expired"
        );
    }
    if reply.moved >= u64::from(BATCH) {
        return Ok(Duration::ZERO);
    }
    let Some(due_ms) = reply.next_due_ms else {
        return Ok(jittered(LONGEST));
    };
    let now_ms = core.store.now_ms().await?;
    let wait = Duration::from_millis(due_ms.saturating_sub(now_ms));
    Ok(wait.min(LONGEST) + SPREAD.mul_f64(rand::random()))
}
