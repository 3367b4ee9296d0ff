//! What the product does, in no protocol's words. [`Bridge`] is what the use cases of one front end are made of; each
//! concern has a type and a file of its own: tasks, plain calls, the questions of both, the tasks by which clients answer
//! them, sessions with their requests and streams, the catalog of tools, what callers carry between two requests, and Redis
//! as a whole.

mod call;
mod canonical;
mod catalog;
mod client_task;
mod doubt;
mod error;
mod fleet;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod identity;
mod outcomes;
mod plain_call;
mod question;
mod rates;
mod seal;
mod server;
mod sessions;
mod submit;
mod task;
mod tool;
mod unserved;
mod waiters;

use std::sync::Arc;

use taskferry_contract::{
    Arguments, Error, FrontEndId, Owner, RedisSettings, Replication, Ring, Store, TaskId,
};
use taskferry_housekeeping::Housekeeping;
use taskferry_process::{Offload, Parts, keep_running};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;

pub(crate) use call::{Call, Wanted};
pub(crate) use catalog::Catalog;
use client_task::ClientTasks;
pub(crate) use client_task::ToPoll;
pub(crate) use error::{BridgeError, rounded};
use fleet::KnownFleet;
pub(crate) use identity::digest;
use outcomes::Outcomes;
use plain_call::Calls;
use question::Questions;
pub(crate) use question::{MayBeSent, Via};
pub(crate) use rates::FAILURE;
use rates::Rates;
use seal::Seal;
pub(crate) use seal::{Carried, GOOD_FOR, Unsealed};
pub(crate) use server::Found;
use server::Server;
use sessions::{SessionRequests, SessionStreams, Sessions};
pub(crate) use submit::Limits;
use submit::Submitter;
pub(crate) use task::Cancelled;
use task::Tasks;
pub(crate) use tool::Tool;
use waiters::Waiters;
pub(crate) use waiters::Watch;

/// A listener to the bell that is slower than this many rings misses some.
const RINGS_KEPT: usize = 4096;

/// The use cases of one front end. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Bridge(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    front_end: FrontEndId,
    audit: Audit,
    server: Server,
    catalog: Catalog,
    tasks: Tasks,
    calls: Calls,
    questions: Questions,
    client_tasks: ClientTasks,
    sessions: Sessions,
    rates: Rates,
    session_requests: SessionRequests,
    session_streams: SessionStreams,
    seal: Seal,
    waiters: Arc<Waiters>,
    outcomes: Arc<Outcomes>,
    housekeeping: Housekeeping,
    rings: broadcast::Sender<TaskId>,
    offload: Offload,
    memory: Parts<Owner>,
}

impl Bridge {
    /// Nothing is connected before it is used. Results on their way take no more than `memory`. Changes that clients hear of are
    /// answered only once Redis replicas have them, if `replication` says which. Fails if the address cannot be used.
    pub(crate) fn new(
        redis: &RedisSettings,
        replication: Option<Replication>,
        limits: Limits,
        memory: Parts<Owner>,
    ) -> Result<Self, Error> {
        let store = Store::new(redis)?.with_replication(replication);
        let front_end = FrontEndId::random();
        let audit = Audit::new(&front_end);
        let fleet = Arc::new(KnownFleet::new(store.clone(), limits.no_worker_refuse));
        let offload = Offload::default();
        let outcomes = Arc::new(Outcomes::new(&store, &memory, &offload));
        let waiters = Arc::new(Waiters::new(
            store.clone(),
            Arc::clone(&fleet),
            Arc::clone(&outcomes),
        ));
        let submitter = Submitter {
            store: store.clone(),
            fleet: Arc::clone(&fleet),
            limits,
            audit: audit.clone(),
        };
        Ok(Self(Arc::new(Inner {
            server: Server::new(store.clone()),
            catalog: Catalog::new(store.clone()),
            tasks: Tasks {
                store: store.clone(),
                front_end: front_end.clone(),
                submitter: submitter.clone(),
                waiters: Arc::clone(&waiters),
                fleet: Arc::clone(&fleet),
                outcomes: Arc::clone(&outcomes),
            },
            calls: Calls {
                store: store.clone(),
                front_end: front_end.clone(),
                submitter,
                waiters: Arc::clone(&waiters),
                fleet,
            },
            questions: Questions {
                store: store.clone(),
                front_end: front_end.clone(),
                audit: audit.clone(),
            },
            client_tasks: ClientTasks {
                store: store.clone(),
                audit: audit.clone(),
            },
            sessions: Sessions::new(store.clone(), limits.sessions),
            rates: Rates::new(store.clone(), limits.owner_rate),
            session_requests: SessionRequests::new(store.clone(), audit.clone()),
            session_streams: SessionStreams::new(store.clone()),
            seal: Seal::new(store.clone()),
            housekeeping: Housekeeping::new(store.clone(), front_end.to_string(), Vec::new()),
            store,
            front_end,
            audit,
            waiters,
            outcomes,
            rings: broadcast::Sender::new(RINGS_KEPT),
            offload,
            memory,
        })))
    }

    /// What this front end is called in Redis and in the audit.
    pub(crate) fn front_end(&self) -> &FrontEndId {
        &self.0.front_end
    }

    /// Keeps the catalog and the waiters awake, forgets outcomes, sees whether tools have workers, and keeps the queues going if no other process does, until
    /// `stop`.
    pub(crate) async fn run(&self, stop: &CancellationToken) {
        let catalog = || self.0.catalog.keep_fresh(stop);
        let outcomes = || async {
            let _stopped = stop
                .run_until_cancelled(self.0.outcomes.keep_forgetting())
                .await;
        };
        tokio::join!(
            keep_running("doorbell", stop, || self.listen(stop), || {}),
            keep_running("catalog", stop, catalog, || {}),
            keep_running("outcomes", stop, outcomes, || {}),
            keep_running("fleet", stop, || self.look_at_fleet(stop), || {}),
            self.keep_house(stop),
        );
    }

    /// Sees whether tools have workers.
    async fn look_at_fleet(&self, stop: &CancellationToken) {
        let fleet = &self.0.tasks.fleet;
        fleet.keep_looking(stop, || self.0.catalog.all()).await;
    }

    async fn keep_house(&self, stop: &CancellationToken) {
        let shards = self.0.store.shards().all().map(async |shard| {
            let begin = || self.0.housekeeping.run(shard, stop);
            keep_running("housekeeper", stop, begin, || {}).await;
        });
        futures_util::future::join_all(shards).await;
    }

    async fn listen(&self, stop: &CancellationToken) {
        let bell = self.0.store.front_end_bell(&self.0.front_end);
        let on_ring = |ring| match ring {
            Ring::Task(id) => {
                self.0.waiters.wake(id);
                // Without a receiver nobody waits for this.
                let _nobody = self.0.rings.send(id);
            }
            Ring::Tools => self.0.catalog.wake(),
            Ring::ToolRemoved(name) => self.0.catalog.removed(name),
            Ring::Connected => {
                self.0.waiters.wake_all();
                self.0.catalog.wake();
                self.0.server.note_connected();
            }
        };
        bell.listen(stop, on_ring).await;
    }

    /// Where what callers do is noted.
    pub(crate) fn audit(&self) -> &Audit {
        &self.0.audit
    }

    /// The tools.
    pub(crate) fn catalog(&self) -> &Catalog {
        &self.0.catalog
    }

    /// Tasks.
    pub(crate) fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    /// Plain calls.
    pub(crate) fn calls(&self) -> &Calls {
        &self.0.calls
    }

    /// The questions of jobs.
    pub(crate) fn questions(&self) -> &Questions {
        &self.0.questions
    }

    /// The tasks by which clients answer questions.
    pub(crate) fn client_tasks(&self) -> &ClientTasks {
        &self.0.client_tasks
    }

    /// What callers carry between two requests.
    pub(crate) fn seal(&self) -> &Seal {
        &self.0.seal
    }

    /// Redis as a whole.
    pub(crate) fn server(&self) -> &Server {
        &self.0.server
    }

    /// Sessions: opened, found, ended.
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// How many requests callers make.
    pub(crate) fn rates(&self) -> &Rates {
        &self.0.rates
    }

    /// The requests of sessions.
    pub(crate) fn session_requests(&self) -> &SessionRequests {
        &self.0.session_requests
    }

    /// The own streams of sessions.
    pub(crate) fn session_streams(&self) -> &SessionStreams {
        &self.0.session_streams
    }

    /// Every ring of this front end's bell.
    pub(crate) fn rings(&self) -> broadcast::Receiver<TaskId> {
        self.0.rings.subscribe()
    }

    /// The memory for results on their way, and what each owner has of it.
    pub(crate) fn memory(&self) -> &Parts<Owner> {
        &self.0.memory
    }

    /// Where work on large inputs is done.
    pub(crate) fn offload(&self) -> &Offload {
        &self.0.offload
    }

    /// Whether `arguments` fit the tool's input schema; else what does not first, and where.
    pub(crate) async fn check(
        &self,
        tool: &Arc<Tool>,
        arguments: &Arguments,
    ) -> Result<(), String> {
        let (tool, arguments) = (Arc::clone(tool), arguments.clone());
        let bytes = arguments.as_str().len();
        let work = move || tool.check(&arguments);
        self.0.offload.run(bytes, work).await
    }
}
