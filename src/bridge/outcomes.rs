//! The outcomes of ended jobs, and the memory that they take: of all who ask for one at a time, the first reads it, and the
//! others wait for that and share it, for as long as somebody holds it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taskferry_contract::{Error, Owner, SharedJson, Store, StoredOutcome, TaskId, TaskView};
use taskferry_process::{Budget, Offload, Parts};
use tokio::time::Instant;

use super::BridgeError;

/// How long a front end keeps an outcome that nobody holds any more, since it was read. Not as long if others wait for its
/// memory.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// An outcome of so many bytes costs less to read again than to keep.
const SMALL: u64 = 4 << 10;

/// While it is read an outcome takes so many times its size: there is the buffer of the connection, which doubled as it grew,
/// and the text.
const TIMES_READ: usize = 3;

/// How long a caller waits for memory that others hold.
const ROOM_WITHIN: Duration = Duration::from_secs(3);

/// The outcomes that are being read, are held, or were read a moment ago.
#[derive(Debug)]
pub(super) struct Outcomes {
    store: Store,
    /// For all results on their way.
    memory: Parts<Owner>,
    offload: Offload,
    kept_for: Duration,
    room_within: Duration,
    known: Mutex<HashMap<TaskId, Arc<Reading>>>,
}

/// Locked by the one who reads it.
type Reading = tokio::sync::Mutex<Option<Read>>;

#[derive(Debug)]
struct Read {
    at: Instant,
    outcome: Result<Option<Ended>, Failure>,
}

/// What a job ended with.
#[derive(Debug, Clone, PartialEq)]
struct Ended {
    result: Option<SharedJson>,
    error: Option<SharedJson>,
}

/// Why an outcome was not read.
#[derive(Debug, Clone)]
enum Failure {
    Store(Error),
    NoRoom,
}

impl Outcomes {
    pub(super) fn new(store: &Store, memory: &Parts<Owner>, offload: &Offload) -> Self {
        Self {
            store: store.clone(),
            memory: memory.clone(),
            offload: offload.clone(),
            kept_for: KEPT_FOR,
            room_within: ROOM_WITHIN,
            known: Mutex::default(),
        }
    }

    /// The view with its outcome, of which it said that it is of `bytes`. `None` if its record has expired since.
    pub(super) async fn complete(
        &self,
        mut view: TaskView,
        bytes: u64,
    ) -> Result<Option<TaskView>, BridgeError> {
        if bytes == 0 {
            return Ok(Some(view));
        }
        let ended = if bytes <= SMALL {
            self.store.outcome(view.id, bytes).await?.map(Ended::small)
        } else {
            let read = || self.read(view.id, bytes, self.memory.of(&view.owner));
            self.share(view.id, read).await?
        };
        let Some(ended) = ended else {
            return Ok(None);
        };
        (view.result, view.error) = (ended.result, ended.error);
        Ok(Some(view))
    }

    /// Reads an outcome, once there is room in its owner's memory for it, and checks it beside the threads that serve.
    async fn read(&self, id: TaskId, bytes: u64, memory: Budget) -> Result<Option<Ended>, Failure> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut charge = memory.charge();
        let most = bytes.saturating_mul(TIMES_READ);
        if !charge.grow_to(most) {
            self.forget_all_but_held();
            if !charge.wait_for(most, self.room_within).await {
                return Err(Failure::NoRoom);
            }
        }
        let stored = self.store.outcome(id, bytes as u64).await?;
        let Some(stored) = stored else {
            return Ok(None);
        };
        charge.shrink_to(bytes);
        let check = move || Ended::checked(stored, charge);
        Ok(Some(self.offload.run(bytes, check).await))
    }

    /// What is held of a task or was read a moment ago, or what `read` gives. A failure is shared by those who waited for it.
    async fn share<F>(&self, id: TaskId, read: impl FnOnce() -> F) -> Result<Option<Ended>, Failure>
    where
        F: Future<Output = Result<Option<Ended>, Failure>>,
    {
        let asked = Instant::now();
        let reading = Arc::clone(self.lock().entry(id).or_default());
        let mut last = reading.lock().await;
        if let Some(last) = &*last
            && (last.at >= asked || last.is_kept(self.kept_for))
        {
            return last.outcome.clone();
        }
        let outcome = read().await;
        *last = Some(Read {
            at: Instant::now(),
            outcome: outcome.clone(),
        });
        outcome
    }

    /// Forgets what is kept no longer, again and again. Never returns.
    pub(super) async fn keep_forgetting(&self) {
        loop {
            tokio::time::sleep(self.kept_for / 10).await;
            if self.memory.is_short() {
                self.forget_all_but_held();
            } else {
                self.forget(|read| read.is_kept(self.kept_for));
            }
        }
    }

    /// Makes room for others.
    fn forget_all_but_held(&self) {
        self.forget(Read::is_held);
    }

    /// Forgets what nobody reads or is to be kept.
    fn forget(&self, keep: impl Fn(&Read) -> bool) {
        self.lock().retain(|_, reading| {
            let read = reading.try_lock();
            read.map_or(true, |read| read.as_ref().is_some_and(&keep))
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, Arc<Reading>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read {
    fn is_kept(&self, kept_for: Duration) -> bool {
        self.outcome.is_ok() && (self.at.elapsed() < kept_for || self.is_held())
    }

    /// Whether it is on its way to somebody.
    fn is_held(&self) -> bool {
        let Ok(Some(ended)) = &self.outcome else {
            return false;
        };
        let mut texts = ended.result.iter().chain(&ended.error);
        texts.any(SharedJson::is_held_by_others)
    }
}

impl Ended {
    fn small(stored: StoredOutcome) -> Self {
        Self {
            result: stored.result.map(Into::into),
            error: stored.error.map(Into::into),
        }
    }

    /// With something that goes with its text, which is read here to its end.
    fn checked(stored: StoredOutcome, with: impl Send + Sync + 'static) -> Self {
        let with = Arc::new(with);
        let held = |text: Option<String>| {
            let text = SharedJson::with(text?, Arc::clone(&with));
            let _noted = text.is_json();
            Some(text)
        };
        Self {
            result: held(stored.result),
            error: held(stored.error),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for BridgeError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => error.into(),
            Failure::NoRoom => Self::NoRoom,
        }
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
        let memory = Parts::new(Budget::new(10 << 10), None);
        let store = Store::new(&settings).unwrap();
        Outcomes {
            kept_for,
            ..Outcomes::new(&store, &memory, &Offload::default())
        }
    }

    fn id() -> TaskId {
        TaskId::random(Shards::default().all().next().unwrap())
    }

    fn ended(outcomes: &Outcomes) -> Ended {
        let mut charge = outcomes.memory.whole().charge();
        assert!(charge.grow_to(5 << 10));
        let stored = StoredOutcome {
            result: Some("{}".to_owned()),
            error: None,
        };
        Ended::checked(stored, charge)
    }

    /// Reads slowly, and counts that.
    async fn slowly<T>(reads: &Cell<u32>, outcome: impl FnOnce() -> T) -> T {
        reads.set(reads.get() + 1);
        tokio::time::sleep(Duration::from_millis(100)).await;
        outcome()
    }

    #[tokio::test]
    async fn one_reads_for_all_who_ask_and_it_is_kept_for_a_while() {
        let id = id();
        for (kept_for, reads_wanted) in [(LONG, 1), (Duration::ZERO, 2)] {
            let (outcomes, reads) = (outcomes(kept_for), Cell::new(0));
            let ask = async || {
                let read = || slowly(&reads, || Ok(Some(ended(&outcomes))));
                let shared = outcomes.share(id, read).await.unwrap();
                assert_eq!(shared.unwrap().result, Some("{}".into()));
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
            let read = || slowly(&reads, || Err(Failure::NoRoom));
            assert!(outcomes.share(id, read).await.is_err());
        };
        tokio::join!(ask(), ask(), ask());
        assert_eq!(reads.get(), 1);
        tokio::time::sleep(Duration::from_millis(1)).await;
        ask().await;
        assert_eq!(reads.get(), 2);
    }

    #[tokio::test]
    async fn what_somebody_holds_is_kept_and_shared_and_the_rest_makes_room() {
        let (outcomes, reads) = (outcomes(LONG), Cell::new(0));
        let ask = async |id| {
            let read = || slowly(&reads, || Ok(Some(ended(&outcomes))));
            outcomes.share(id, read).await.unwrap().unwrap()
        };
        let (one, other) = (id(), id());
        let held = ask(one).await;
        drop(ask(other).await);
        assert!(
            !outcomes.memory.whole().charge().grow_to(1),
            "both are kept"
        );
        outcomes.forget_all_but_held();
        assert!(outcomes.memory.whole().charge().grow_to(5 << 10));
        assert_eq!(ask(one).await, held);
        assert_eq!(reads.get(), 2, "the held one was not read again");
        drop(held);
        outcomes.forget_all_but_held();
        assert!(outcomes.memory.whole().charge().grow_to(10 << 10));
    }

    #[tokio::test]
    async fn without_memory_nothing_is_read() {
        let mut outcomes = outcomes(LONG);
        outcomes.room_within = Duration::from_millis(100);
        let memory = outcomes.memory.whole().clone();
        let mut all = memory.charge();
        assert!(all.grow_to(10 << 10));
        let begun = Instant::now();
        let refused = outcomes.read(id(), 5000, memory.clone()).await;
        assert!(matches!(refused, Err(Failure::NoRoom)), "{refused:?}");
        assert!(begun.elapsed() >= outcomes.room_within);
        drop(all);
        let reached = outcomes.read(id(), 1 << 40, memory).await;
        assert!(
            matches!(reached, Err(Failure::Store(_))),
            "nobody listens there: {reached:?}"
        );
    }
}
