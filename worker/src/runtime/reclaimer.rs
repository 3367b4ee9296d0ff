//! Takes over jobs whose worker fell silent.

use std::sync::Arc;
use std::time::Duration;

use taskferry_contract::{Error, QueueStream, Shard};

use super::Runtime;
use super::executor::take_up;
use crate::core::Core;
use crate::core::pause::jittered;
use crate::core::rounds::{Round, repeat};
use crate::core::slots::StartPermit;

/// The longest sleep between two rounds. A worker with a spare slot takes a job over within this time after its lease; a
/// full one when one of its own slots becomes free, and its further queues wait as long.
const ROUND: Duration = Duration::from_secs(1);

/// Reclaims on one shard until the worker stops.
pub(crate) async fn run(runtime: Arc<Runtime>, shard: Shard) {
    let core = &runtime.core;
    let reclaimer = Reclaimer {
        runtime: &runtime,
        shard,
    };
    let first_sleep = reclaimer.pause();
    repeat(
        reclaimer,
        first_sleep,
        &core.wake.reclaimer,
        &core.phase.stop,
    )
    .await;
}

struct Reclaimer<'a> {
    runtime: &'a Arc<Runtime>,
    shard: Shard,
}

impl Reclaimer<'_> {
    /// The time to the next round.
    fn pause(&self) -> Duration {
        jittered(ROUND.min(self.runtime.core.lease / 3))
    }
}

impl Round for Reclaimer<'_> {
    async fn work(&mut self) -> Duration {
        let shard = self.shard;
        if let Err(error) = reclaim(self.runtime, shard).await {
            tracing::debug!(%error, %shard, "reclaiming failed; the next round tries again");
        }
        self.pause()
    }
}

/// A permit of a full worker to run a job that lost its worker, if there is such a job (not a slot of the tool, which the
/// job keeps). The reclaimer waits for the permit beside the fetcher, so that a backlog of new jobs does not keep the lost
/// one waiting until it is worked off.
async fn slot_for_lost(core: &Core, from: QueueStream<'_>) -> Result<Option<StartPermit>, Error> {
    match core.store.has_idle_entry(from, core.lease).await {
        Ok(false) => return Ok(None),
        Ok(true) => {}
        // Without a group nothing was delivered; the fetcher logs a key that is no stream.
        Err(error) if error.is_no_group() || error.is_wrong_type() => return Ok(None),
        Err(error) => return Err(error),
    }
    tokio::select! {
        () = core.phase.stop.cancelled() => Ok(None),
        permit = core.slots.acquire_start() => Ok(Some(permit)),
    }
}

async fn reclaim(runtime: &Arc<Runtime>, shard: Shard) -> Result<(), Error> {
    let core = &runtime.core;
    for queue in &core.queues {
        let (store, worker) = (&core.store, &core.worker);
        let from = QueueStream { shard, queue };
        // Nothing is taken over that cannot run at once.
        let (mut spare, mut permit) = (core.slots.spare(), None);
        if spare == 0 {
            permit = slot_for_lost(core, from).await?;
            spare = usize::from(permit.is_some());
        }
        if spare == 0 {
            continue;
        }
        match store.reclaim(worker, from, core.lease, spare).await {
            Ok(deliveries) => take_up(runtime, deliveries, permit),
            Err(error) if error.is_no_group() => store.ensure_group(from).await?,
            // The fetcher logs it.
            Err(error) if error.is_wrong_type() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
