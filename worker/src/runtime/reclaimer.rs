//! Takes over jobs whose worker fell silent.

use std::sync::Arc;
use std::time::Duration;

use taskferry_contract::{Error, Shard};

use super::Runtime;
use super::backoff::jittered;
use super::executor::take_up;

/// At most so long after its lease a job is taken over.
const ROUND: Duration = Duration::from_secs(1);

/// Reclaims on one shard until the worker stops.
pub(crate) async fn run(runtime: Arc<Runtime>, shard: Shard) {
    let round = ROUND.min(runtime.lease / 3);
    loop {
        tokio::select! {
            () = runtime.phase.stop.cancelled() => return,
            () = tokio::time::sleep(jittered(round)) => {}
            () = runtime.wake.reclaimer.notified() => {}
        }
        if let Err(error) = reclaim(&runtime, shard).await {
            tracing::debug!(%error, %shard, "reclaiming failed; the next round tries again");
        }
    }
}

async fn reclaim(runtime: &Arc<Runtime>, shard: Shard) -> Result<(), Error> {
    for queue in &runtime.queues {
        // Nothing is taken over that cannot run at once.
        let spare = runtime.slots.spare();
        if spare == 0 {
            return Ok(());
        }
        let (store, worker) = (&runtime.store, &runtime.worker);
        let from = (shard, queue);
        match store.reclaim(worker, from, runtime.lease, spare).await {
            Ok(deliveries) => take_up(runtime, shard, deliveries, None),
            Err(error) if error.is_no_group() => store.ensure_group(shard, queue).await?,
            // The fetcher tells of it.
            Err(error) if error.is_wrong_type() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
