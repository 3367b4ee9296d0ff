//! The outcomes of ended jobs, each kept for a moment: of all who ask for one at a time, the first reads it, and the others
//! wait for that and share it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taskferry_contract::{Error, Store, StoredOutcome, TaskId, TaskView};
use tokio::time::Instant;

/// How long a front end keeps an outcome after it was read.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(1);

/// An outcome of so many bytes costs less to read again than to keep.
const SMALL: u64 = 4 << 10;

/// What is kept at most, bytes. One that does not fit is shared by those who wait for it, and then forgotten.
const ROOM: u64 = 32 << 20;

/// The outcomes that are being read, or were a moment ago.
#[derive(Debug)]
pub(super) struct Outcomes {
    store: Store,
    kept_for: Duration,
    known: Mutex<Table>,
}

/// The outcomes, and how large all are together, bytes.
#[derive(Debug, Default)]
struct Table {
    of: HashMap<TaskId, Known>,
    bytes: u64,
}

impl Table {
    /// The reading of an outcome, which is noted if nobody asked for it yet.
    fn reading(&mut self, id: TaskId, bytes: u64) -> Arc<Reading> {
        let known = self.of.entry(id).or_insert_with(|| {
            self.bytes += bytes;
            Known {
                bytes,
                read: Arc::default(),
            }
        });
        Arc::clone(&known.read)
    }

    fn forget(&mut self, id: TaskId) {
        if let Some(known) = self.of.remove(&id) {
            self.bytes -= known.bytes;
        }
    }
}

#[derive(Debug)]
struct Known {
    bytes: u64,
    read: Arc<Reading>,
}

/// Locked by the one who reads it.
type Reading = tokio::sync::Mutex<Option<Read>>;

#[derive(Debug)]
struct Read {
    at: Instant,
    outcome: Result<Option<StoredOutcome>, Error>,
}

impl Outcomes {
    pub(super) fn new(store: Store, kept_for: Duration) -> Self {
        Self {
            store,
            kept_for,
            known: Mutex::default(),
        }
    }

    /// The view with its outcome, of which it said that it is of `bytes`. `None` if its record has expired since.
    pub(super) async fn complete(
        &self,
        mut view: TaskView,
        bytes: u64,
    ) -> Result<Option<TaskView>, Error> {
        if bytes == 0 {
            return Ok(Some(view));
        }
        let read = || self.store.outcome(view.id, bytes);
        let outcome = if bytes <= SMALL {
            read().await?
        } else {
            self.share(view.id, bytes, read).await?
        };
        let Some(outcome) = outcome else {
            return Ok(None);
        };
        (view.result, view.error) = (outcome.result, outcome.error);
        Ok(Some(view))
    }

    /// What was read of a task a moment ago, or what `read` gives. A failure is shared by those who waited for it.
    async fn share<F>(
        &self,
        id: TaskId,
        bytes: u64,
        read: impl FnOnce() -> F,
    ) -> Result<Option<StoredOutcome>, Error>
    where
        F: Future<Output = Result<Option<StoredOutcome>, Error>>,
    {
        let asked = Instant::now();
        let reading = self.lock().reading(id, bytes);
        let mut last = reading.lock().await;
        if let Some(last) = &*last
            && (last.at >= asked || last.is_fresh(self.kept_for))
        {
            return last.outcome.clone();
        }
        let outcome = read().await;
        *last = Some(Read {
            at: Instant::now(),
            outcome: outcome.clone(),
        });
        let mut known = self.lock();
        if known.bytes > ROOM {
            known.forget(id);
        }
        outcome
    }

    /// Forgets what is kept no longer, again and again. Never returns.
    pub(super) async fn keep_forgetting(&self) {
        loop {
            tokio::time::sleep(self.kept_for / 2).await;
            let mut known = self.lock();
            let stale = known.of.iter().filter(|(_, one)| {
                let read = one.read.try_lock();
                read.is_ok_and(|read| {
                    !read
                        .as_ref()
                        .is_some_and(|read| read.is_fresh(self.kept_for))
                })
            });
            let stale: Vec<TaskId> = stale.map(|(id, _)| *id).collect();
            stale.into_iter().for_each(|id| known.forget(id));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read {
    fn is_fresh(&self, kept_for: Duration) -> bool {
        self.outcome.is_ok() && self.at.elapsed() < kept_for
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use taskferry_contract::{RedisSettings, Shards};

    use super::*;

    /// Longer than any machine stalls.
    const LONG: Duration = Duration::from_secs(600);

    fn outcomes(kept_for: Duration) -> Outcomes {
        let settings = RedisSettings::new("redis://127.0.0.1:1");
        Outcomes::new(Store::new(&settings).unwrap(), kept_for)
    }

    fn id() -> TaskId {
        TaskId::random(Shards::default().all().next().unwrap())
    }

    /// Reads slowly, and counts that.
    async fn slowly(
        reads: &Cell<u32>,
        outcome: Result<Option<StoredOutcome>, Error>,
    ) -> Result<Option<StoredOutcome>, Error> {
        reads.set(reads.get() + 1);
        tokio::time::sleep(Duration::from_millis(100)).await;
        outcome
    }

    #[tokio::test]
    async fn one_reads_for_all_who_ask_and_it_is_kept_for_a_while() {
        let (id, stored) = (
            id(),
            StoredOutcome {
                result: Some("{}".into()),
                error: None,
            },
        );
        for (kept_for, reads_wanted) in [(LONG, 1), (Duration::ZERO, 2)] {
            let (outcomes, reads) = (outcomes(kept_for), Cell::new(0));
            let ask = async || {
                let read = || slowly(&reads, Ok(Some(stored.clone())));
                let shared = outcomes.share(id, 2, read).await.unwrap();
                assert_eq!(shared.as_ref(), Some(&stored));
            };
            tokio::join!(ask(), ask(), ask());
            assert_eq!(reads.get(), 1);
            ask().await;
            assert_eq!(reads.get(), reads_wanted, "kept for {kept_for:?}");
        }
    }

    #[tokio::test]
    async fn a_failure_is_shared_by_those_who_waited_and_not_kept() {
        let (outcomes, id, reads) = (outcomes(LONG), id(), Cell::new(0));
        let ask = async || {
            let failure = Error::Unsuitable("no".to_owned());
            let read = || slowly(&reads, Err(failure));
            assert!(outcomes.share(id, 2, read).await.is_err());
        };
        tokio::join!(ask(), ask(), ask());
        assert_eq!(reads.get(), 1);
        tokio::time::sleep(Duration::from_millis(1)).await;
        ask().await;
        assert_eq!(reads.get(), 2);
    }

    #[tokio::test]
    async fn one_that_does_not_fit_is_shared_and_then_forgotten() {
        let (outcomes, id, reads) = (outcomes(LONG), id(), Cell::new(0));
        let ask = async || {
            let read = || slowly(&reads, Ok(None));
            outcomes.share(id, ROOM + 1, read).await.unwrap();
        };
        tokio::join!(ask(), ask());
        assert_eq!(reads.get(), 1);
        ask().await;
        assert_eq!(reads.get(), 2);
        assert_eq!(outcomes.lock().bytes, 0);
    }
}
