//! What is done for one queue of a shard.

use std::time::Duration;

use taskferry_contract::{
    Error, Look, PendingFrom, QueueName, QueueStream, Shard, Store, WorkerId,
};
use tokio::time::Instant;

use crate::told;

/// How many due jobs one call moves at most.
const BATCH: u32 = 100;
/// How many pending entries one call looks at, and how many calls are made in one round.
const PENDING: u32 = 100;
const CALLS: usize = 50;
/// What was renewed so short a time ago has not lost its lease, which is a second at least.
const IDLE: Duration = Duration::from_secs(1);
/// The longest time until the next look for due jobs: meanwhile another process may have added one.
const LONGEST: Duration = Duration::from_millis(500);
/// The time between two looks for lost jobs.
const LOST: Duration = Duration::from_secs(1);
/// The same while no worker has a job of the queue: one that begins just now holds its lease for a second at least.
const IDLE_LOST: Duration = Duration::from_secs(2);
/// The time after which the names of workers that are gone are taken off.
const SWEEP: Duration = Duration::from_secs(60);

/// A queue, and when which work for it is due.
#[derive(Debug)]
pub(crate) struct Tended {
    name: QueueName,
    forward_at: Instant,
    requeue_at: Instant,
    sweep_at: Instant,
    /// Where the next look for lost jobs goes on.
    from: PendingFrom,
    /// No worker had a job of the queue, at the last look.
    is_idle: bool,
    /// Keys of the wrong type that were logged, which are not logged again while they stay so.
    misplaced: Vec<String>,
}

impl Tended {
    pub(crate) fn new(name: QueueName) -> Self {
        let now = Instant::now();
        Self {
            name,
            forward_at: now,
            requeue_at: now,
            sweep_at: now,
            from: PendingFrom::default(),
            is_idle: false,
            misplaced: Vec::new(),
        }
    }

    /// Due jobs are looked for in this round.
    pub(crate) fn hurry(&mut self) {
        self.forward_at = Instant::now();
    }

    /// When something is due next.
    pub(crate) fn due_at(&self) -> Instant {
        self.forward_at.min(self.requeue_at)
    }

    /// Whether due jobs, and those that wait for slots, are to be looked for.
    pub(crate) fn looks_for_waiting(&self) -> bool {
        self.forward_at <= Instant::now()
    }

    /// Nothing is due in this queue, or will be, and nothing waits for a slot.
    pub(crate) fn note_nothing_waits(&mut self) {
        self.misplaced.clear();
        self.forward_at = Instant::now() + LONGEST;
    }

    /// Whether no worker had a job of the queue, at the last look.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_idle
    }

    /// Lost jobs are looked for in this round.
    pub(crate) fn look_for_lost(&mut self) {
        self.requeue_at = Instant::now();
    }

    /// Does what is due. `gone` are workers whose leases are not waited for; `None` if no lease is judged now.
    pub(crate) async fn tend(
        &mut self,
        store: &Store,
        shard: Shard,
        gone: Option<&[WorkerId]>,
    ) -> Result<(), Error> {
        let now = Instant::now();
        if self.requeue_at <= now {
            self.requeue_at = now + LOST;
            if let Some(gone) = gone {
                self.requeue(store, shard, gone).await?;
            }
            if self.is_idle {
                self.requeue_at = now + IDLE_LOST;
            }
        }
        if self.forward_at <= now {
            let pause = self.forward(store, shard).await?;
            self.forward_at = Instant::now() + pause;
        }
        if self.sweep_at <= now {
            self.sweep_at = now + SWEEP;
            self.sweep(store, shard).await;
        }
        Ok(())
    }

    /// Puts jobs back that lost their worker.
    async fn requeue(
        &mut self,
        store: &Store,
        shard: Shard,
        silent: &[WorkerId],
    ) -> Result<(), Error> {
        let look = Look {
            count: PENDING,
            idle: IDLE,
            silent,
        };
        for _ in 0..CALLS {
            let of = stream(shard, &self.name);
            let reply = match store.requeue(of, &self.from, look).await {
                // Nothing was ever delivered. Whoever reads a key that is no stream logs it.
                Err(error) if error.is_no_group() || error.is_wrong_type() => {
                    self.is_idle = true;
                    return Ok(());
                }
                reply => reply?,
            };
            self.is_idle = reply.is_idle;
            reply
                .found
                .iter()
                .for_each(|found| told::found(&self.name, found));
            match reply.next {
                Some(next) => self.from = next,
                None => {
                    self.from = PendingFrom::default();
                    break;
                }
            }
        }
        Ok(())
    }

    /// Moves one batch of due jobs, and returns when to look again.
    async fn forward(&mut self, store: &Store, shard: Shard) -> Result<Duration, Error> {
        let reply = store.forward(stream(shard, &self.name), BATCH).await?;
        let known = std::mem::replace(&mut self.misplaced, reply.misplaced);
        for key in self.misplaced.iter().filter(|key| !known.contains(key)) {
            tracing::error!(key, "a key has the wrong type; the jobs that need it wait");
        }
        if reply.expired > 0 {
            told::expired_waiting(reply.expired, shard);
        }
        if reply.moved >= u64::from(BATCH) {
            return Ok(Duration::ZERO);
        }
        let Some(call_again_ms) = reply.call_again_ms else {
            return Ok(LONGEST);
        };
        let now_ms = store.now_ms().await?;
        let wait = Duration::from_millis(call_again_ms.saturating_sub(now_ms));
        Ok(wait.min(LONGEST))
    }

    async fn sweep(&self, store: &Store, shard: Shard) {
        let queue = &self.name;
        match store.forget_silent_workers(stream(shard, queue)).await {
            Ok(0) => {}
            Ok(forgotten) => {
                tracing::info!(forgotten, %queue, "silent workers are no longer consumers");
            }
            Err(error) => {
                tracing::debug!(%error, %queue, "the names of silent workers stay for now");
            }
        }
    }
}

fn stream(shard: Shard, queue: &QueueName) -> QueueStream<'_> {
    QueueStream { shard, queue }
}
