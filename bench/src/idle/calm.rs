//! Waits until a fleet is calm, and counts what it does then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::time::sleep;

use super::crew::Crew;
use crate::redis_stats::RedisStats;

/// How long all workers may take to be there.
const THERE: Duration = Duration::from_secs(120);
/// How long they are left alone then: those that ask who keeps house learn how many they are, and ask the less.
const SETTLES: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(500);

/// The calls of each command within `length`, those inside scripts included, once all are there and calm.
pub(super) async fn calls_of(
    crew: &Crew,
    length: Duration,
) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut stats = RedisStats::connect(crew.redis.port()).await?;
    let deadline = Instant::now() + THERE;
    loop {
        let there = crew.store.workers().await?.len();
        if there == crew.workers {
            break;
        }
        if Instant::now() > deadline {
            bail!(
                "{there} of {} workers are there after {THERE:?}",
                crew.workers
            );
        }
        sleep(LOOK).await;
    }
    sleep(SETTLES).await;
    let before = stats.calls().await?;
    sleep(length).await;
    let after = stats.calls().await?;
    Ok(grown(&before, &after))
}

/// What was called in between, but for the one question that this program asked.
fn grown(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let grown = after.iter().map(|(name, calls)| {
        let own = u64::from(name == "info");
        let before = before.get(name).copied().unwrap_or(0) + own;
        (name.clone(), calls.saturating_sub(before))
    });
    grown.filter(|(_, calls)| *calls > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_called_in_between_is_counted_without_our_own_question() {
        let calls =
            |info, get| BTreeMap::from([("info".to_owned(), info), ("get".to_owned(), get)]);
        assert_eq!(
            grown(&calls(3, 5), &calls(4, 7)),
            BTreeMap::from([("get".to_owned(), 2)])
        );
        assert_eq!(
            grown(&calls(3, 5), &calls(6, 5)),
            BTreeMap::from([("info".to_owned(), 2)])
        );
    }
}
