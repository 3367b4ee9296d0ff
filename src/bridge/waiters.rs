//! Which requests wait at this front end for which task. A bell only says "read it again"; a waiter also reads by itself
//! every few seconds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use taskferry_contract::{Error, Owner, Store, TaskId, TaskView};
use tokio::sync::watch;

use super::BridgeError;
use super::fleet::KnownFleet;
use super::outcomes::Outcomes;

/// How long a waiter relies on the bell before it reads the job by itself.
const FALLBACK: Duration = Duration::from_secs(3);

/// How long a waiter pauses that could not read the job, at first and at most. A ring ends the pause.
const LOOK_AGAIN: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(2)];

/// The bells of the tasks that something here waits for.
#[derive(Debug)]
pub(crate) struct Waiters {
    store: Store,
    bells: Mutex<HashMap<TaskId, watch::Sender<()>>>,
    fleet: Arc<KnownFleet>,
    outcomes: Arc<Outcomes>,
}

impl Waiters {
    pub(super) fn new(store: Store, fleet: Arc<KnownFleet>, outcomes: Arc<Outcomes>) -> Self {
        Self {
            store,
            bells: Mutex::default(),
            fleet,
            outcomes,
        }
    }

    /// Wakes those who wait for a task.
    pub(crate) fn wake(&self, id: TaskId) {
        if let Some(bell) = self.lock().get(&id) {
            bell.send_replace(());
        }
    }

    /// Wakes everyone.
    pub(crate) fn wake_all(&self) {
        for bell in self.lock().values() {
            bell.send_replace(());
        }
    }

    /// Subscribes to this front end's bell for a task, from now on. Reads nothing, and does not ask workers to ring
    /// (`Store::watch`).
    pub(crate) fn watch(self: &Arc<Self>, id: TaskId, owner: &Owner) -> Watch {
        let bell = self
            .lock()
            .entry(id)
            .or_insert_with(|| watch::Sender::new(()))
            .subscribe();
        Watch {
            waiters: Arc::clone(self),
            id,
            owner: owner.clone(),
            joined_as: id,
            is_found_again: false,
            bell: Some(bell),
            seed: None,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TaskId, watch::Sender<()>>> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, id: TaskId, bell: watch::Receiver<()>) {
        let mut bells = self.lock();
        drop(bell);
        if bells
            .get(&id)
            .is_some_and(|bell| bell.receiver_count() == 0)
        {
            bells.remove(&id);
        }
    }
}

/// A task as it changes.
#[derive(Debug)]
pub(crate) struct Watch {
    waiters: Arc<Waiters>,
    id: TaskId,
    owner: Owner,
    joined_as: TaskId,
    is_found_again: bool,
    bell: Option<watch::Receiver<()>>,
    seed: Option<TaskView>,
}

impl Watch {
    /// The task.
    pub(crate) fn id(&self) -> TaskId {
        self.id
    }

    /// Whose it is.
    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// As whom the caller holds the job: the id that its submit named, another than the job's if it joined one.
    pub(crate) fn joined_as(&self) -> TaskId {
        self.joined_as
    }

    /// Notes as whom the caller joined the job.
    pub(crate) fn join_as(&mut self, id: TaskId) {
        self.joined_as = id;
    }

    /// Whether the caller joined a job that another call had queued.
    pub(crate) fn has_joined(&self) -> bool {
        self.joined_as != self.id
    }

    /// Notes whether the client can send the same call again and gets this job instead of a second one: it has an alias.
    pub(crate) fn found_again(&mut self, is_found_again: bool) {
        self.is_found_again = is_found_again;
    }

    /// Whether the client can send the same call again and gets this job instead of a second one.
    pub(crate) fn is_found_again(&self) -> bool {
        self.is_found_again
    }

    /// The state as it was read just now: the next [`Self::next`] or [`Self::next_state`] gives it instead of waiting. A
    /// terminal one, since it has no outcome, only makes `next` read at once.
    pub(crate) fn seed(&mut self, view: TaskView) {
        self.seed = Some(view);
    }

    /// How long the job lives at most, if the next read is known and finds it alive.
    pub(crate) fn may_last(&self) -> Option<Duration> {
        let view = self.seed.as_ref()?;
        let ttl = u64::try_from(view.ttl_ms).unwrap_or(0);
        (!view.status.is_terminal()).then(|| Duration::from_millis(ttl))
    }

    /// The next state: at once the first time if it is known, else after a bell or a few seconds. The same state may be
    /// seen twice. An unreachable store is waited out: the job goes on without us.
    pub(crate) async fn next(&mut self) -> Result<TaskView, BridgeError> {
        let mut patience = FALLBACK;
        if let Some(view) = self.seed.take() {
            if !view.status.is_terminal() {
                return Ok(self.waiters.fleet.complete(view).await);
            }
            // A seed has no outcome.
            patience = Duration::ZERO;
        }
        self.wait(patience, true).await
    }

    /// The same without outcomes: those who wait for many do not hold what they ended with.
    pub(crate) async fn next_state(&mut self) -> Result<TaskView, BridgeError> {
        match self.seed.take() {
            Some(view) => Ok(self.waiters.fleet.complete(view).await),
            None => self.wait(FALLBACK, false).await,
        }
    }

    async fn wait(
        &mut self,
        mut patience: Duration,
        with_outcome: bool,
    ) -> Result<TaskView, BridgeError> {
        let [mut pause, longest] = LOOK_AGAIN;
        loop {
            if let Some(bell) = &mut self.bell {
                // A timeout is the fallback read; a closed bell cannot be, since the map keeps the sender while we wait.
                let _bell_or_fallback = tokio::time::timeout(patience, bell.changed()).await;
            }
            let seen = if with_outcome {
                self.read_now().await
            } else {
                self.owned(self.waiters.store.view(self.id).await).await
            };
            match seen? {
                Some(view) => return Ok(view),
                None => {
                    patience = pause.mul_f64(rand::random_range(0.5..1.0));
                    pause = (pause * 2).min(longest);
                }
            }
        }
    }

    /// The state now. `None` if the store does not answer at the moment.
    pub(crate) async fn read_now(&self) -> Result<Option<TaskView>, BridgeError> {
        let (seen, bytes) = match self.waiters.store.view_with_size(self.id).await {
            Ok(seen) => seen.unzip(),
            Err(error) => return self.owned(Err(error)).await,
        };
        let Some(view) = self.owned(Ok(seen)).await? else {
            return Ok(None);
        };
        let outcomes = &self.waiters.outcomes;
        match outcomes.complete(view, bytes.unwrap_or(0)).await {
            Ok(ended) => ended.map(Some).ok_or(BridgeError::NotFound),
            Err(BridgeError::NoRoom | BridgeError::Unavailable(_)) => {
                tracing::debug!(task = %self.id, "an outcome could not be read; trying again");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn owned(
        &self,
        seen: Result<Option<TaskView>, Error>,
    ) -> Result<Option<TaskView>, BridgeError> {
        match seen {
            Ok(Some(view)) if view.owner == self.owner => {
                Ok(Some(self.waiters.fleet.complete(view).await))
            }
            Ok(_) => Err(BridgeError::NotFound),
            Err(error) if error.may_pass() => {
                // Thousands may wait here: the loop that keeps the connection logs the failure, once.
                tracing::debug!(task = %self.id.digest(), %error, "reading a task failed; trying again");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(bell) = self.bell.take() {
            self.waiters.leave(self.id, bell);
        }
    }
}
