//! What most tests start with: a server, a store on it, a tool, an owner and a worker. A test fails if it ends and a job is
//! left, unless it says so.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, ToRedisArgs};
use taskferry_contract::{
    ClaimReply, DeliveredEntry, Delivery, FinishReply, HeldAttempt, Job, Owner, QuestionRef,
    QueueName, QueueStream, RetryReply, Shard, Shards, Status, Store, StreamReader, Submission,
    SubmitReply, TaskId, TaskView, ToolDefinition, WorkerId,
};
use taskferry_testing::{ServerOptions, TestServer, eventually};

use crate::samples::{completed, failed, job_in, patient, started, tool};

/// A lease that no test outlives.
pub(crate) const LEASE: Duration = Duration::from_secs(60);
/// How long a test waits for what must come.
pub(crate) const SOON: Duration = Duration::from_secs(10);
pub(crate) struct Rig {
    pub(crate) server: TestServer,
    /// What a front end has, and all others that are not told apart.
    pub(crate) store: Store,
    /// What a worker has.
    pub(crate) at_work: Store,
    /// What an operator has.
    pub(crate) operator: Store,
    pub(crate) redis: MultiplexedConnection,
    pub(crate) tool: ToolDefinition,
    pub(crate) owner: Owner,
    pub(crate) worker: WorkerId,
    pub(crate) shard: Shard,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::on(ServerOptions::default(), Shards::default()).await
    }

    pub(crate) async fn on(options: ServerOptions, shards: Shards) -> Self {
        let server = TestServer::start_with(options).await;
        let server = server.drained_at_end(Duration::ZERO);
        let mut settings = patient(&server.url());
        settings.shards = shards;
        let owner = Owner::named("key:alice").unwrap();
        let store = Store::new(&settings).unwrap();
        let rig = Self {
            at_work: store.clone(),
            operator: store.clone(),
            store,
            redis: server.raw().await,
            server,
            tool: tool("report"),
            worker: "w1".parse().unwrap(),
            shard: shards.of(&owner),
            owner,
        };
        rig.ensure_group().await;
        rig
    }

    /// Has one store for all that there is to do.
    pub(crate) fn uses(&mut self, store: &Store) {
        [&mut self.store, &mut self.at_work, &mut self.operator]
            .into_iter()
            .for_each(|used| *used = store.clone());
    }

    /// Changes to the server that became the primary: assertions look there from now on.
    pub(crate) async fn move_to(&mut self, mut server: TestServer) -> TestServer {
        self.redis = server.raw().await;
        server.takes_over_from(&mut self.server);
        std::mem::replace(&mut self.server, server)
    }

    /// The stream of the tool's queue.
    pub(crate) fn stream(&self) -> QueueStream<'_> {
        QueueStream {
            shard: self.shard,
            queue: &self.tool.queue,
        }
    }

    /// The tool's queue, as a set of names.
    pub(crate) fn queues(&self) -> BTreeSet<QueueName> {
        [self.tool.queue.clone()].into()
    }

    /// A question of the owner's task.
    pub(crate) fn question<'a>(&'a self, task: TaskId, key: &'a str) -> QuestionRef<'a> {
        QuestionRef {
            task,
            owner: &self.owner,
            key,
        }
    }

    pub(crate) async fn ensure_group(&self) {
        let made = self.at_work.ensure_group(self.stream());
        made.await.unwrap();
    }

    /// A submission with nothing special about it.
    pub(crate) fn submission(&self) -> Submission<'_> {
        let (id, arguments) = (TaskId::random(self.shard), r#"{"month":"2026-07"}"#);
        Submission {
            ttl: Duration::from_secs(600),
            ..Submission::new(&self.tool, id, &self.owner, arguments.into())
        }
    }

    /// Queues a job.
    pub(crate) async fn submit(&self) -> TaskId {
        self.submit_as(self.submission()).await
    }

    pub(crate) async fn submit_as(&self, submission: Submission<'_>) -> TaskId {
        let reply = self.store.submit(&submission).await.unwrap();
        assert!(matches!(reply, SubmitReply::Queued { .. }), "{reply:?}");
        submission.id
    }

    /// Reads one new entry; the test fails if there is none.
    pub(crate) async fn next(&self) -> DeliveredEntry {
        match self.deliveries().await.pop() {
            Some(Delivery::Job(claimed)) => claimed,
            other => panic!("no entry of a job, but {other:?}"),
        }
    }

    /// Reads up to one new entry.
    pub(crate) async fn deliveries(&self) -> Vec<Delivery> {
        let mut connection = self.at_work.connections().blocking().await.unwrap();
        let source = StreamReader {
            worker: &self.worker,
            shard: self.shard,
            queues: std::slice::from_ref(&self.tool.queue),
        };
        let read = self.at_work.read_new(&mut connection, source, 1, None);
        read.await.unwrap()
    }

    pub(crate) async fn claim(&self, claimed: &DeliveredEntry) -> ClaimReply {
        self.claim_by(claimed, &self.worker).await
    }

    pub(crate) async fn claim_by(&self, claimed: &DeliveredEntry, worker: &WorkerId) -> ClaimReply {
        self.at_work.claim(claimed, worker, LEASE).await.unwrap()
    }

    /// Reads the next entry and starts its attempt.
    pub(crate) async fn start(&self) -> (HeldAttempt, Job) {
        let claimed = self.next().await;
        let reply = self.claim(&claimed).await;
        started(claimed, &self.worker, reply)
    }

    /// The next entry is the job's, which must wait for its turn.
    pub(crate) async fn must_wait(&self, id: TaskId) {
        let claimed = self.next().await;
        assert_eq!(claimed.id, id);
        let reply = self.claim(&claimed).await;
        assert!(matches!(reply, ClaimReply::Waits(_)), "{reply:?}");
    }

    /// Queues a job, which must wait for its turn.
    pub(crate) async fn waiting(&self) -> TaskId {
        let id = self.submit().await;
        self.must_wait(id).await;
        id
    }

    /// Queues a job and starts its first attempt.
    pub(crate) async fn running(&self) -> HeldAttempt {
        self.running_as(self.submission()).await
    }

    pub(crate) async fn running_as(&self, submission: Submission<'_>) -> HeldAttempt {
        self.submit_as(submission).await;
        self.start().await.0
    }

    /// Lets the lease of a job run out, as it does when its worker died a lease ago.
    pub(crate) async fn lapse(&mut self, hold: &HeldAttempt) {
        let record = self.store.keys().record(hold.claimed.id);
        self.raw::<()>("HSET", (record, "lease_ms", 1)).await;
        self.lapse_entry(hold).await;
    }

    /// Lets the entry of an attempt look as if its worker had been silent for an hour.
    pub(crate) async fn lapse_entry(&mut self, hold: &HeldAttempt) {
        let claimed = &hold.claimed;
        let queue = self.store.keys().queue(self.shard, &claimed.queue);
        let worker = hold.worker.as_str();
        let entry = claimed.entry.as_str();
        let idle = (
            queue, "workers", worker, 0, entry, "IDLE", 3_600_000, "JUSTID",
        );
        self.raw::<Vec<String>>("XCLAIM", idle).await;
    }

    /// Takes over what silent workers held.
    pub(crate) async fn reclaim_by(&self, worker: &WorkerId) -> Vec<Delivery> {
        let reclaimed = self.at_work.reclaim(worker, self.stream(), LEASE, 100);
        reclaimed.await.unwrap()
    }

    /// Lets the worker of an attempt die and another one, `w2`, start the next.
    pub(crate) async fn crash(&mut self, hold: &HeldAttempt) -> HeldAttempt {
        self.lapse(hold).await;
        let other: WorkerId = "w2".parse().unwrap();
        let claimed = job_in(self.reclaim_by(&other).await);
        let reply = self.claim_by(&claimed, &other).await;
        started(claimed, &other, reply).0
    }

    /// Lets a record expire now, as if its time had come.
    pub(crate) async fn expire(&mut self, id: TaskId) {
        let record = self.store.keys().record(id);
        let ready = format!("ready:{}:{}", self.tool.queue, self.tool.name);
        for index in ["active", "owned", &ready] {
            let index = format!(
                "{}{index}:{}",
                self.store.keys().base(self.shard),
                self.owner
            );
            let ended = (index, "XX", 1, id.to_string());
            self.raw::<()>("ZADD", ended).await;
        }
        let base = self.store.keys().base(self.shard);
        let booked = format!("{base}booked:{}:{}", self.tool.queue, self.tool.name);
        self.raw::<()>("ZADD", (booked, "XX", 1, id.to_string()))
            .await;
        assert_eq!(self.raw::<i64>("PEXPIRE", (&record, 1)).await, 1);
        let mut redis = self.redis.clone();
        eventually(SOON, "the record expires", async || {
            let exists = redis::cmd("EXISTS").arg(&record).to_owned();
            exists.query_async::<i64>(&mut redis).await.unwrap() == 0
        })
        .await;
    }

    /// Waits until a connection waits for entries.
    pub(crate) async fn until_blocked(&self, client_id: i64) {
        let mut redis = self.redis.clone();
        let mut list = redis::cmd("CLIENT");
        list.arg("LIST").arg("ID").arg(client_id);
        eventually(SOON, "the read blocks", async || {
            let line: String = list.query_async(&mut redis).await.unwrap();
            line.contains("flags=b")
        })
        .await;
    }

    pub(crate) async fn finish(&self, hold: &HeldAttempt) -> FinishReply {
        self.at_work.finish(hold, &completed()).await.unwrap()
    }

    /// Fails the attempt in a way that another one may mend.
    pub(crate) async fn retry(&self, hold: &HeldAttempt) -> RetryReply {
        let retry = self
            .at_work
            .schedule_retry(hold, Duration::ZERO, "later", &failed("no"))
            .await;
        retry.unwrap()
    }

    pub(crate) async fn view(&self, id: TaskId) -> Option<TaskView> {
        self.store.view_with_outcome(id).await.unwrap()
    }

    pub(crate) async fn status(&self, id: TaskId) -> Option<Status> {
        self.view(id).await.map(|view| view.status)
    }

    /// The whole record, as redis-cli would show it.
    pub(crate) async fn record(&mut self, id: TaskId) -> HashMap<String, String> {
        let record = self.store.keys().record(id);
        self.raw("HGETALL", record).await
    }

    /// How many entries the queue holds.
    pub(crate) async fn queue_length(&mut self) -> usize {
        let queue = self.store.keys().queue(self.shard, &self.tool.queue);
        self.raw("XLEN", queue).await
    }

    /// How many entries of the queue are pending.
    pub(crate) async fn pending(&mut self) -> usize {
        let queue = self.store.keys().queue(self.shard, &self.tool.queue);
        let (count, ..): (usize, Option<String>, Option<String>, redis::Value) =
            self.raw("XPENDING", (queue, "workers")).await;
        count
    }

    /// The dead letters: reason and attempts of each.
    pub(crate) async fn dead_letters(&mut self) -> Vec<HashMap<String, String>> {
        let dead = format!("{}dead", self.store.keys().base(self.shard));
        let entries: Vec<(String, HashMap<String, String>)> =
            self.raw("XRANGE", (dead, "-", "+")).await;
        entries.into_iter().map(|(_, fields)| fields).collect()
    }

    /// Sends a command behind the store's back.
    pub(crate) async fn raw<T: FromRedisValue>(&mut self, name: &str, args: impl ToRedisArgs) -> T {
        let mut command = redis::cmd(name);
        command.arg(args);
        command.query_async(&mut self.redis).await.unwrap()
    }

    /// Ends a test with jobs that are left, on purpose.
    pub(crate) fn leaves_jobs(mut self) {
        self.server.leaves_jobs();
    }

    /// Ends a test with keys that no transition would leave, on purpose.
    pub(crate) fn leaves_anything(mut self) {
        self.server.leaves_anything();
    }
}
