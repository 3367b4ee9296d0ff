//! What the product does, in no protocol's words: start a job, wait for it, poll, cancel, answer, list.

mod call;
mod canonical;
mod catalog;
mod doubt;
mod error;
mod fleet;
mod identity;
mod input;
mod seal;
mod submit;
mod waiters;

use std::sync::Arc;
use std::time::Duration;

use taskferry_contract::{
    CancelReply, LeaveReply, Leaver, LogLine, Owner, Page, PromoteReply, ReplicaId, Ring, Store,
    TaskId, TaskView,
};
use taskferry_process::{Offload, keep_running};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

pub(crate) use call::{Call, Wanted};
pub(crate) use catalog::{Catalog, Tool};
pub(crate) use error::{BridgeError, twice};
use fleet::KnownFleet;
pub(crate) use identity::digest;
use seal::Seal;
pub(crate) use seal::{Carried, Unsealed};
use waiters::Waiters;
pub(crate) use waiters::Watch;

/// The registry is read again this often, in case a bell was missed.
const CATALOG_REFRESH: Duration = Duration::from_secs(5);

/// What a cancelled job says of itself.
const CANCELLED: &str = "The task was cancelled by request.";

/// So many log lines are read at once.
const LINES_AT_ONCE: usize = 100;

/// So many rings wait for one who listens to all of them.
const RINGS_KEPT: usize = 4096;

/// Bounds on what callers may queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The most entries a queue may hold, 0 for no limit.
    pub(crate) queue_cap: u64,
    /// The most live jobs an owner may have, 0 for no limit.
    pub(crate) owner_cap: u64,
    /// How long the record of a plain call stays after its end: so long a client whose stream broke can fetch the result.
    pub(crate) plain_keep: Duration,
}

/// The use cases of one replica. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Bridge(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    replica: ReplicaId,
    catalog: Catalog,
    waiters: Arc<Waiters>,
    fleet: Arc<KnownFleet>,
    rings: broadcast::Sender<TaskId>,
    seal: Seal,
    limits: Limits,
    offload: Offload,
}

impl Bridge {
    pub(crate) fn new(store: Store, limits: Limits) -> Self {
        let fleet = Arc::new(KnownFleet::new(store.clone()));
        Self(Arc::new(Inner {
            catalog: Catalog::new(store.clone()),
            seal: Seal::new(store.clone()),
            waiters: Arc::new(Waiters::new(Arc::clone(&fleet))),
            fleet,
            store,
            replica: ReplicaId::random(),
            rings: broadcast::Sender::new(RINGS_KEPT),
            limits,
            offload: Offload::default(),
        }))
    }

    /// Keeps the catalog and the waiters awake until `stop`.
    pub(crate) async fn run(&self, stop: &CancellationToken) {
        let catalog = || self.0.catalog.keep_fresh(CATALOG_REFRESH, stop);
        tokio::join!(
            keep_running("doorbell", stop, || self.listen(stop), || {}),
            keep_running("catalog", stop, catalog, || {}),
        );
    }

    async fn listen(&self, stop: &CancellationToken) {
        let bell = self.0.store.replica_bell(&self.0.replica);
        let on_ring = |ring| match ring {
            Ring::Task(id) => {
                self.0.waiters.wake(id);
                // Without a receiver there is nobody to tell.
                let _nobody = self.0.rings.send(id);
            }
            Ring::Tools => self.0.catalog.wake(),
            Ring::ToolRemoved(name) => self.0.catalog.removed(name),
            Ring::Connected => {
                self.0.waiters.wake_all();
                self.0.catalog.wake();
            }
        };
        bell.listen(stop, on_ring).await;
    }

    /// The tools.
    pub(crate) fn catalog(&self) -> &Catalog {
        &self.0.catalog
    }

    /// Whether requests can be served: Redis answers, knows every transition, and is used with a contract that this program
    /// keeps. If not, says why.
    pub(crate) async fn ready(&self) -> Result<(), String> {
        self.0.store.ready().await.map_err(|error| {
            tracing::warn!(%error, "not ready");
            error.sentence()
        })
    }

    /// This replica.
    pub(crate) fn replica(&self) -> &ReplicaId {
        &self.0.replica
    }

    /// Every ring of this replica's bell.
    pub(crate) fn rings(&self) -> broadcast::Receiver<TaskId> {
        self.0.rings.subscribe()
    }

    /// Where work on large inputs is done.
    pub(crate) fn offload(&self) -> &Offload {
        &self.0.offload
    }

    /// Whether `arguments` fit the tool's input schema; else what does not first, and where.
    pub(crate) async fn check(&self, tool: &Arc<Tool>, arguments: &str) -> Result<(), String> {
        let (tool, arguments) = (Arc::clone(tool), arguments.to_owned());
        let bytes = arguments.len();
        let work = move || tool.check(&arguments);
        self.0.offload.run(bytes, work).await
    }

    /// The store, for sessions.
    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    /// Watches a task of `owner`; the first look is its state now.
    pub(crate) async fn watch(&self, id: TaskId, owner: &Owner) -> Result<Watch, BridgeError> {
        let mut watch = self.0.waiters.watch(&self.0.store, id, owner);
        let now = self.0.store.watch(id, owner, &self.0.replica).await?;
        watch.seed(self.owned(now, owner).await?);
        Ok(watch)
    }

    /// Makes the plain call that is watched a task, since its caller waits no longer. Nothing if it ended meanwhile: the
    /// next look shows that.
    pub(crate) async fn hand_out(
        &self,
        watch: &mut Watch,
        keep: Duration,
    ) -> Result<Option<TaskView>, BridgeError> {
        let handed = self.0.store.promote(watch.id(), watch.owner(), keep);
        match handed.await? {
            PromoteReply::Promoted(view) => {
                tracing::info!(task = %view.id, tool = %view.tool, "handed out");
                Ok(Some(self.0.fleet.complete(view).await))
            }
            PromoteReply::AlreadyTerminal(view) => {
                watch.seed(view);
                Ok(None)
            }
            PromoteReply::NotFound => Err(BridgeError::NotFound),
        }
    }

    /// Takes a caller off a plain call, and cancels that if nobody else holds it. One that is a task by now goes on.
    pub(crate) async fn leave_call(
        &self,
        id: TaskId,
        owner: &Owner,
        leaver: Leaver,
    ) -> Result<(), BridgeError> {
        let left = self
            .0
            .store
            .leave_call(id, owner, leaver, CANCELLED)
            .await?;
        if left == LeaveReply::Cancelled {
            tracing::info!(task = %id, "cancelled, since its caller left");
        }
        Ok(())
    }

    /// Reads a task of `owner`.
    pub(crate) async fn poll(&self, id: TaskId, owner: &Owner) -> Result<TaskView, BridgeError> {
        self.owned(self.0.store.view(id).await?, owner).await
    }

    /// Reads a task of `owner` with its outcome.
    pub(crate) async fn poll_with_outcome(
        &self,
        id: TaskId,
        owner: &Owner,
    ) -> Result<TaskView, BridgeError> {
        self.owned(self.0.store.view_with_outcome(id).await?, owner)
            .await
    }

    /// Lines of a job's log after a place, a batch at a time.
    pub(crate) async fn log_lines(
        &self,
        id: TaskId,
        after: Option<&str>,
    ) -> Result<Vec<LogLine>, BridgeError> {
        Ok(self.0.store.log_lines(id, after, LINES_AT_ONCE).await?)
    }

    /// Cancels a task. `Err(view)` inside if it had ended before. The record of a plain call is no task, though one may know
    /// its id.
    pub(crate) async fn cancel(
        &self,
        id: TaskId,
        owner: &Owner,
    ) -> Result<Result<TaskView, TaskView>, BridgeError> {
        self.poll(id, owner).await?;
        match self.0.store.cancel(id, owner, CANCELLED).await? {
            CancelReply::Cancelled(view) => {
                tracing::info!(task = %id, tool = %view.tool, "cancelled");
                Ok(Ok(view))
            }
            CancelReply::AlreadyTerminal(view) => Ok(Err(view)),
            CancelReply::NotFound => Err(BridgeError::NotFound),
        }
    }

    /// A page of the owner's tasks.
    pub(crate) async fn list(
        &self,
        owner: &Owner,
        after: Option<(u64, TaskId)>,
        limit: usize,
    ) -> Result<Page, BridgeError> {
        let mut page = self.0.store.list_owned(owner, after, limit).await?;
        let mut tasks = Vec::with_capacity(page.tasks.len());
        for view in page.tasks {
            tasks.push(self.0.fleet.complete(view).await);
        }
        page.tasks = tasks;
        Ok(page)
    }

    /// Another owner's task is not found, just as one that never was. So is the record of a plain call: it is no task.
    async fn owned(&self, view: Option<TaskView>, owner: &Owner) -> Result<TaskView, BridgeError> {
        let view = view.filter(|view| view.owner == *owner && !view.plain);
        Ok(self
            .0
            .fleet
            .complete(view.ok_or(BridgeError::NotFound)?)
            .await)
    }
}
