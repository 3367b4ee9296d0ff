//! Which workers are gone, by their silence on the wire: Redis drops a process's subscription the moment it dies.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use taskferry_contract::{Error, Shard, Store, WorkerId};
use tokio::time::Instant;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(400);
/// The same while no worker has a job.
const IDLE_LOOK: Duration = Duration::from_millis(800);
/// A look that came so much too late says nothing of those before.
const MISSED: Duration = Duration::from_secs(1);
/// The pause where the user may not look.
const FORBIDDEN: Duration = Duration::from_secs(60);
/// A worker that was absent at every look for so long is gone.
const GONE: Duration = Duration::from_secs(3);
/// After Redis started, another took its place, or it could not be reached, all had to connect again: for so long only those are
/// judged by their silence that were seen since.
const GRACE: Duration = Duration::from_secs(15);

/// The workers of a shard, as their subscriptions tell.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Who was there at some look since there was a doubt.
    seen: BTreeSet<WorkerId>,
    /// Who is absent, and since which look.
    absent: BTreeMap<WorkerId, Instant>,
    /// Who is gone.
    gone: Vec<WorkerId>,
    /// How many were there at the last look.
    present: u32,
    run_id: String,
    judge_at: Instant,
    look_at: Instant,
}

impl Wire {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            seen: BTreeSet::new(),
            absent: BTreeMap::new(),
            gone: Vec::new(),
            present: 0,
            run_id: String::new(),
            judge_at: now,
            look_at: now,
        }
    }

    /// Redis was away, perhaps.
    pub(crate) fn doubt(&mut self) {
        self.seen.clear();
        self.absent.clear();
        self.gone.clear();
        self.judge_at = Instant::now() + GRACE;
    }

    pub(crate) fn look_at(&self) -> Instant {
        self.look_at
    }

    /// The workers that are gone.
    pub(crate) fn gone(&self) -> &[WorkerId] {
        &self.gone
    }

    /// How many workers were there at the last look.
    pub(crate) fn present(&self) -> u32 {
        self.present
    }

    /// Looks, if that is due. Returns whether somebody was found gone that was not before. `is_idle`: no worker has a job.
    pub(crate) async fn look(
        &mut self,
        store: &Store,
        shard: Shard,
        is_idle: bool,
    ) -> Result<bool, Error> {
        if Instant::now() < self.look_at {
            return Ok(false);
        }
        let seen = match store.listeners(shard).await {
            // Then the leases are waited for.
            Err(error) if error.is_forbidden() => {
                self.look_at = Instant::now() + FORBIDDEN;
                return Ok(false);
            }
            seen => seen?,
        };
        let now = Instant::now();
        if now > self.look_at + MISSED {
            // It was not looked for a while, since another process kept house, or this one was held up.
            self.absent.clear();
            self.gone.clear();
        }
        self.look_at = now + if is_idle { IDLE_LOOK } else { LOOK };
        self.present = u32::try_from(seen.present.len()).unwrap_or(u32::MAX);
        let is_another = !self.run_id.is_empty() && self.run_id != seen.run_id;
        self.run_id = seen.run_id;
        if is_another {
            self.doubt();
        }
        self.judge_at = self.judge_at.max(now + GRACE.saturating_sub(seen.uptime));
        self.absent.retain(|worker, _| seen.absent.contains(worker));
        self.gone.retain(|worker| seen.absent.contains(worker));
        for worker in seen.absent {
            self.absent.entry(worker).or_insert(now);
        }
        self.seen.retain(|worker| self.absent.contains_key(worker));
        self.seen.extend(seen.present);
        let mut is_new = false;
        for (worker, since) in &self.absent {
            let is_judged = now >= self.judge_at || self.seen.contains(worker);
            let is_silent = is_judged && now.duration_since(*since) >= GONE;
            if is_silent && !self.gone.contains(worker) && store.listens(worker).await? {
                tracing::info!(%worker, "a worker is gone: its connection has ended, and what it runs is put back");
                self.gone.push(worker.clone());
                is_new = true;
            }
        }
        Ok(is_new)
    }
}
