//! Quiet points: between faults everything stands still for a moment, and what must hold of Redis at any time is looked at
//! while jobs wait, run and ask.

use std::time::Duration;

use taskferry_testing::invariants;
use taskferry_testing::redis::{self, aio::MultiplexedConnection};
use tokio::time::{Instant, sleep};

use crate::connect::connect;
use crate::plan::NARROW;
use crate::topology::Topology;

/// How long what is on its way to Redis has time to arrive; longer than a slow wire delays it.
const ARRIVES: Duration = Duration::from_millis(350);
/// How long a quiet point is looked for. What ended just before is started again, and disturbs one.
const BOUND: Duration = Duration::from_secs(30);

/// The broken laws among those that hold at any moment.
pub(crate) async fn look(topology: &Topology) -> Vec<String> {
    let begin = Instant::now();
    loop {
        topology.freeze().await;
        sleep(ARRIVES).await;
        let found = undisturbed(topology).await;
        topology.thaw().await;
        match found {
            Some(broken) => return broken,
            None if begin.elapsed() > BOUND => {
                return vec![format!(
                    "Redis is written to for {BOUND:?}, although all stand still"
                )];
            }
            None => sleep(ARRIVES).await,
        }
    }
}

/// None if somebody wrote meanwhile.
async fn undisturbed(topology: &Topology) -> Option<Vec<String>> {
    let mut redis = connect(topology).await.ok()?;
    let before = changes(&mut redis).await?;
    let mut broken = invariants::live(&mut redis, "tf").await;
    broken.extend(too_many(&mut redis).await?);
    (changes(&mut redis).await? == before).then_some(broken)
}

/// A tool has no more running jobs than it may; those whose lease has run out do not count.
async fn too_many(redis: &mut MultiplexedConnection) -> Option<Option<String>> {
    let (seconds, _micros): (u64, u64) = redis::cmd("TIME").query_async(redis).await.ok()?;
    let mut count = redis::cmd("ZCOUNT");
    count
        .arg("tf:{0}:running:default:narrow")
        .arg(seconds * 1000)
        .arg("+inf");
    let running: u32 = count.query_async(redis).await.ok()?;
    let text = format!("{running} jobs of narrow run, and {NARROW} may");
    Some((running > NARROW).then_some(text))
}

/// How often the data was changed: Redis here never saves, which would begin the count anew.
async fn changes(redis: &mut MultiplexedConnection) -> Option<u64> {
    let mut info = redis::cmd("INFO");
    info.arg("persistence");
    let text: String = info.query_async(redis).await.ok()?;
    let count = text
        .lines()
        .find_map(|line| line.strip_prefix("rdb_changes_since_last_save:"))?;
    count.trim().parse().ok()
}
