//! Works the jobs of lifecycles off, in a process of its own.

use std::time::Duration;

use taskferry_contract::{ClaimReply, Claimed, Delivery, Hold, Outcome, Source, Store, WorkerId};
use tokio::task::JoinSet;

use crate::child;
use crate::cli::Part;
use crate::work::{self, Kind};

/// A lease that no job here outlives.
pub(crate) const LEASE: Duration = Duration::from_secs(60);
/// How long a read waits for the first entry.
const BLOCK: Duration = Duration::from_secs(1);

/// Works until the parent ends.
pub(crate) async fn run(part: &Part) -> anyhow::Result<()> {
    child::end_with_parent();
    let store = work::store(&part.redis_url)?;
    let worker: WorkerId = "bench-consumer".parse()?;
    let queue = Kind::Noop.definition()?.queue;
    let result = work::result(part.payload_bytes);
    let mut connection = store.connections().blocking().await?;
    let mut jobs = JoinSet::new();
    loop {
        while let Some(ended) = jobs.try_join_next() {
            ended??;
        }
        if jobs.len() >= part.slots
            && let Some(ended) = jobs.join_next().await
        {
            ended??;
            continue;
        }
        let source = Source {
            worker: &worker,
            shard: work::shard(&store)?,
            queues: std::slice::from_ref(&queue),
        };
        let count = part.slots - jobs.len();
        let delivered = store.read_new(&mut connection, source, count, Some(BLOCK));
        for delivery in delivered.await? {
            if let Delivery::Job(claimed) = delivery {
                let (store, worker, result) = (store.clone(), worker.clone(), result.clone());
                jobs.spawn(async move { work_off(&store, claimed, worker, result).await });
            }
        }
    }
}

async fn work_off(
    store: &Store,
    claimed: Claimed,
    worker: WorkerId,
    result: String,
) -> anyhow::Result<()> {
    // Anything but a start means that the job was cleaned away.
    let ClaimReply::Started(job) = store.claim(&claimed, &worker, LEASE).await? else {
        return Ok(());
    };
    let hold = Hold {
        claimed,
        attempt: job.attempt,
        worker,
    };
    let outcome = Outcome::Completed {
        result,
        is_error: false,
        message: None,
    };
    store.finish(&hold, &outcome).await?;
    Ok(())
}
