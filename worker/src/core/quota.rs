//! How many jobs a worker may still begin, and whether there is anything left for it to do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use taskferry_contract::Shard;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};

/// The shortest time without a job after which a worker ends by itself.
pub(crate) const SHORTEST_IDLE: Duration = Duration::from_secs(1);

/// When a worker ends by itself. By default it does not.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OneShot {
    /// It begins so many jobs, and ends when they have ended.
    pub(crate) max_jobs: Option<usize>,
    /// It ends when it ran no job and found none for so long.
    pub(crate) idle_exit: Option<Duration>,
}

impl OneShot {
    /// What of it cannot be had.
    pub(crate) fn refused(self) -> impl Iterator<Item = String> {
        let none = self.max_jobs == Some(0);
        let short = self.idle_exit.is_some_and(|after| after < SHORTEST_IDLE);
        [
            none.then(|| "max_jobs must be at least 1".to_owned()),
            short.then(|| format!("idle_exit must be at least {SHORTEST_IDLE:?}")),
        ]
        .into_iter()
        .flatten()
    }
}

/// Counts the jobs that the worker begins, and notes what its fetchers find.
#[derive(Debug)]
pub(crate) struct Quota {
    one_shot: OneShot,
    /// A permit for each job that may still begin.
    left: Arc<Semaphore>,
    work: watch::Sender<Work>,
}

#[derive(Debug)]
struct Work {
    begun: usize,
    running: usize,
    /// When the last job ended.
    ended: Instant,
    /// Since when each fetcher finds nothing. A fetcher whose last read failed is not here.
    empty: BTreeMap<Shard, Instant>,
}

impl Quota {
    pub(crate) fn new(one_shot: OneShot) -> Self {
        let most = one_shot.max_jobs.unwrap_or(Semaphore::MAX_PERMITS);
        let work = Work {
            begun: 0,
            running: 0,
            ended: Instant::now(),
            empty: BTreeMap::new(),
        };
        Self {
            one_shot,
            left: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            work: watch::Sender::new(work),
        }
    }

    /// Whether the number of jobs is limited: an entry too many must not be read then, since nobody here would begin it.
    pub(crate) fn is_limited(&self) -> bool {
        self.one_shot.max_jobs.is_some()
    }

    /// The longest that a read may wait for an entry, so that an idle worker ends in time.
    pub(crate) fn longest_read(&self) -> Duration {
        self.one_shot.idle_exit.unwrap_or(Duration::MAX)
    }

    /// The right to begin one job.
    pub(crate) async fn acquire(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.left)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed")
    }

    /// The right to begin `wanted` jobs, or fewer if the quota has less. `None` if it has nothing.
    pub(crate) fn take(&self, wanted: usize) -> Option<OwnedSemaphorePermit> {
        let count = wanted.min(self.left.available_permits());
        let count = u32::try_from(count).ok().filter(|count| *count > 0)?;
        // Another loop may have been faster; then the next round takes what is left.
        Arc::clone(&self.left).try_acquire_many_owned(count).ok()
    }

    /// Notes that a job began, with the right to it, until the guard is dropped.
    pub(crate) fn begin(&self, right: OwnedSemaphorePermit) -> Begun {
        right.forget();
        self.work.send_modify(|work| {
            work.begun += 1;
            work.running += 1;
        });
        Begun(self.work.clone())
    }

    /// Notes that a read of this shard, begun at `since`, brought nothing.
    pub(crate) fn found_nothing(&self, shard: Shard, since: Instant) {
        self.work.send_modify(|work| {
            work.empty.entry(shard).or_insert(since);
        });
    }

    /// Notes that a read of this shard brought something, or failed.
    pub(crate) fn found_something(&self, shard: Shard) {
        self.work
            .send_if_modified(|work| work.empty.remove(&shard).is_some());
    }

    /// Waits until a one-shot worker of so many shards has nothing left to do. Never ends for others.
    pub(crate) async fn over(&self, shards: usize) -> &'static str {
        let mut changes = self.work.subscribe();
        loop {
            let idle_at = {
                let work = changes.borrow_and_update();
                let begins_no_more = self
                    .one_shot
                    .max_jobs
                    .is_some_and(|most| work.begun >= most);
                if work.running == 0 && begins_no_more {
                    return "it has begun max_jobs jobs, and they have ended";
                }
                self.one_shot.idle_exit.zip(work.idle_since(shards))
            };
            let idle = async {
                match idle_at {
                    Some((after, since)) => sleep_until(since + after).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = idle => return "it found no job for idle_exit",
                // The sender is this struct's own.
                _changed = changes.changed() => {}
            }
        }
    }
}

impl Work {
    /// Since when nothing runs and no shard has anything. `None` if that is not so.
    fn idle_since(&self, shards: usize) -> Option<Instant> {
        if self.running > 0 || self.empty.len() < shards {
            return None;
        }
        let found_nothing = self.empty.values().max();
        found_nothing.map(|since| self.ended.max(*since))
    }
}

/// A job that began, until this is dropped.
#[derive(Debug)]
pub(crate) struct Begun(watch::Sender<Work>);

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.send_modify(|work| {
            work.running = work.running.saturating_sub(1);
            work.ended = Instant::now();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use taskferry_contract::Shards;
    use tokio::time::timeout;

    const IDLE: Duration = Duration::from_secs(30);

    fn quota(max_jobs: Option<usize>, idle_exit: Option<Duration>) -> Quota {
        Quota::new(OneShot {
            max_jobs,
            idle_exit,
        })
    }

    /// How long `over` waits, with the clock paused; `None` if more than an hour.
    async fn waits(quota: &Quota, shards: usize) -> Option<Duration> {
        let began = Instant::now();
        let hour = Duration::from_secs(3600);
        let over = timeout(hour, quota.over(shards)).await;
        over.ok().map(|_why| began.elapsed())
    }

    #[test]
    fn bounds_that_cannot_be_had_are_refused() {
        let bounds = OneShot {
            max_jobs: Some(0),
            idle_exit: Some(Duration::from_millis(999)),
        };
        assert_eq!(bounds.refused().count(), 2);
        assert_eq!(OneShot::default().refused().count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_without_bounds_never_ends_by_itself() {
        let quota = quota(None, None);
        let shard = Shards::default().all().next().unwrap();
        drop(quota.begin(quota.take(9).unwrap().split(1).unwrap()));
        quota.found_nothing(shard, Instant::now());
        assert_eq!(waits(&quota, 1).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_job_ends_the_worker_and_no_right_is_given_twice() {
        let quota = quota(Some(2), None);
        let mut rights = quota.take(5).unwrap();
        assert_eq!(rights.num_permits(), 2);
        assert!(quota.take(1).is_none());
        let first = quota.begin(rights.split(1).unwrap());
        // A right that was not used can be used by another.
        drop(rights);
        let second = quota.begin(quota.acquire().await);
        drop(first);
        assert_eq!(waits(&quota, 1).await, None);
        drop(second);
        assert_eq!(waits(&quota, 1).await, Some(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_is_idle_when_nothing_runs_and_all_shards_were_read_in_vain() {
        let quota = quota(None, Some(IDLE));
        let shards: Vec<Shard> = Shards::new(2).unwrap().all().collect();
        quota.found_nothing(shards[0], Instant::now());
        assert_eq!(waits(&quota, 2).await, None);
        quota.found_nothing(shards[1], Instant::now());
        assert_eq!(waits(&quota, 2).await, Some(IDLE));
        // Later reads that bring nothing change nothing.
        quota.found_nothing(shards[1], Instant::now());
        assert_eq!(waits(&quota, 2).await, Some(Duration::ZERO));
        // A job that runs, and a read that failed.
        let job = quota.begin(quota.acquire().await);
        assert_eq!(waits(&quota, 2).await, None);
        drop(job);
        assert_eq!(waits(&quota, 2).await, Some(IDLE));
        quota.found_something(shards[0]);
        assert_eq!(waits(&quota, 2).await, None);
    }
}
