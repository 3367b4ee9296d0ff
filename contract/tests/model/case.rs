//! One sequence of operations, done to the store and to the model, and compared after every step.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, ToRedisArgs};
use taskferry_contract::{
    Attempt, BlockingConnection, ClaimReply, Claimed, Delivery, Hold, Outcome, Owner, Progress,
    QueueName, RedisSettings, ReplicaId, Shard, Shards, Source, Store, Submission, SubmitReply,
    TaskId, ToolDefinition, WorkerId,
};
use taskferry_testing::{TestServer, invariants};

use crate::machine::{ATTEMPTS, CRASH_LIMITS, Held, LIMITED, Machine};
use crate::operation::{End, Operation, Passes, Submit, TOOLS, WORKERS};
use crate::reply::Reply;

/// Never runs out by itself within a case.
const LEASE: Duration = Duration::from_secs(3_600);
/// As idle as an entry is made when its lease is to have run out.
const LONG_MS: u64 = 7_200_000;
const TTL: Duration = Duration::from_secs(36_000);
/// How many rounds it may take to bring every job to its end.
const ROUNDS: usize = 60;

type Record = HashMap<String, String>;
type Checked<T> = Result<T, String>;

/// An attempt: as the store knows it and as the model does.
#[derive(Debug, Clone)]
struct Holding {
    hold: Hold,
    held: Held,
}

pub(crate) struct Case {
    store: Store,
    redis: MultiplexedConnection,
    connection: BlockingConnection,
    prefix: String,
    shard: Shard,
    queue: QueueName,
    tools: Vec<ToolDefinition>,
    owners: Vec<Owner>,
    workers: Vec<WorkerId>,
    model: Machine,
    ids: Vec<TaskId>,
    created: Vec<i64>,
    /// What Redis calls the entries that were delivered so far.
    entries: BTreeMap<usize, String>,
    deliveries: Vec<(usize, usize)>,
    holdings: Vec<Holding>,
    /// Records of jobs that have ended, as they were then.
    ended: BTreeMap<usize, Record>,
    /// How often a reply said that it ended the job.
    ends: BTreeMap<usize, u32>,
}

impl Case {
    pub(crate) async fn new(server: &TestServer, prefix: String) -> Self {
        let mut settings = RedisSettings::new(&server.url());
        settings.prefix.clone_from(&prefix);
        let store = Store::new(&settings).unwrap();
        let shard = Shards::default().all().next().unwrap();
        let queue = QueueName::default_queue();
        store.ensure_group(shard, &queue).await.unwrap();
        Self {
            connection: store.connections().blocking().await.unwrap(),
            redis: server.raw().await,
            store,
            prefix,
            shard,
            queue,
            tools: (0..TOOLS).map(tool).collect(),
            owners: vec![
                Owner::named("alice").unwrap(),
                Owner::named("alice:b").unwrap(),
                Owner::anonymous(),
            ],
            workers: (0..WORKERS)
                .map(|number| format!("w{number}").parse().unwrap())
                .collect(),
            model: Machine::default(),
            ids: Vec::new(),
            created: Vec::new(),
            entries: BTreeMap::new(),
            deliveries: Vec::new(),
            holdings: Vec::new(),
            ended: BTreeMap::new(),
            ends: BTreeMap::new(),
        }
    }

    pub(crate) async fn run(&mut self, operations: &[Operation]) -> Checked<()> {
        for (step, operation) in operations.iter().enumerate() {
            self.step(operation)
                .await
                .map_err(|wrong| format!("step {step}, {operation:?}: {wrong}"))?;
        }
        if !self.model.has_foreign_entries() {
            let broken = invariants::live(&mut self.redis, &self.prefix).await;
            none_broken(&broken).map_err(|wrong| format!("after the last step: {wrong}"))?;
        }
        self.drain()
            .await
            .map_err(|wrong| format!("while every job is brought to its end: {wrong}"))
    }

    /// Deletes what the case left, so that the next ones are not slowed down.
    pub(crate) async fn clear(&mut self) {
        let keys: Vec<String> = self.raw("KEYS", format!("{}:*", self.prefix)).await;
        if !keys.is_empty() {
            self.raw::<i64>("UNLINK", keys).await;
        }
    }

    /// Brings every job to its end by what workers and time do anyway; then nothing may be left.
    async fn drain(&mut self) -> Checked<()> {
        for _ in 0..ROUNDS {
            self.lapse_all().await;
            if self.model.is_drained() {
                break;
            }
            let (deliveries, holdings) = (self.deliveries.len(), self.holdings.len());
            self.step(&Operation::Reclaim { worker: 0 }).await?;
            self.step(&Operation::Forward {
                all: true,
                limit: 100,
            })
            .await?;
            while self
                .model
                .entries
                .values()
                .any(|entry| entry.pending.is_none())
            {
                self.step(&Operation::Read { worker: 0 }).await?;
            }
            self.claim_since(deliveries, 0).await?;
            for hold in holdings..self.holdings.len() {
                let end = End::Completed;
                self.step(&Operation::Finish { hold, end }).await?;
            }
            for job in self.model.parked() {
                self.step(&Operation::Cancel { job, owner: None }).await?;
            }
        }
        if !self.model.is_drained() {
            return Err("the jobs do not come to an end".to_owned());
        }
        for job in 0..self.ids.len() {
            self.compare_record(job).await?;
        }
        let dead: usize = self.raw("XLEN", self.key("dead")).await;
        equal("dead letters", &dead, &self.model.dead_letters)?;
        let broken = invariants::drained(&mut self.redis, &self.prefix).await;
        none_broken(&broken)
    }

    /// Does one operation to both, and compares what they say and what it left.
    async fn step(&mut self, operation: &Operation) -> Checked<()> {
        let (job, real, expected) = match operation {
            Operation::Submit(submit) => self.submit(submit).await?,
            Operation::SubmitAgain { job } => self.submit_again(*job).await,
            Operation::Read { worker } => self.read(*worker).await?,
            Operation::ReadAndClaim { worker } => {
                let before = self.deliveries.len();
                let read = self.read(*worker).await?;
                self.claim_since(before, *worker).await?;
                read
            }
            Operation::Claim { delivery, worker } => {
                match index(*delivery, self.deliveries.len()) {
                    Some(delivery) => self.claim(delivery, *worker).await,
                    None => nothing(),
                }
            }
            Operation::Reclaim { worker } => self.reclaim(*worker).await?,
            Operation::ReclaimAndClaim { worker } => {
                let before = self.deliveries.len();
                let reclaimed = self.reclaim(*worker).await?;
                self.claim_since(before, *worker).await?;
                reclaimed
            }
            Operation::Forward { all, limit } => self.forward(*all, *limit).await,
            Operation::Malformed => {
                let key = self.stream();
                self.raw::<String>("XADD", (key, "*", "hello", "world"))
                    .await;
                self.model.append(None);
                nothing()
            }
            Operation::Renew { hold }
            | Operation::Report { hold, .. }
            | Operation::Ask { hold, .. }
            | Operation::Park { hold }
            | Operation::Finish { hold, .. }
            | Operation::Retry { hold, .. }
            | Operation::Release { hold, .. } => match index(*hold, self.holdings.len()) {
                Some(hold) => self.write(operation, self.holdings[hold].clone()).await,
                None => nothing(),
            },
            Operation::Answer { job, .. }
            | Operation::Cancel { job, .. }
            | Operation::Watch { job, .. }
            | Operation::Lapse { job, .. }
            | Operation::Expire { job }
            | Operation::Duplicate { job } => match index(*job, self.ids.len()) {
                Some(job) => self.touch(operation, job).await,
                None => nothing(),
            },
        };
        equal("reply", &real, &expected)?;
        let Some(job) = job else { return Ok(()) };
        let ends = self.ends.entry(job).or_default();
        *ends += u32::from(real.ends() && !matches!(operation, Operation::Release { .. }));
        if *ends > 1 {
            return Err(format!("job {job} ended twice"));
        }
        self.compare_record(job).await
    }

    async fn submit(&mut self, submit: &Submit) -> Checked<(Option<usize>, Reply, Reply)> {
        let id = TaskId::random(self.shard);
        let expected = self.model.submit(submit, id.to_string());
        let reply = self
            .store
            .submit(&self.submission(submit, id))
            .await
            .unwrap();
        let real = match reply {
            SubmitReply::Queued { created_ms } => {
                self.ids.push(id);
                self.created.push(created_ms);
                Reply::Queued
            }
            SubmitReply::Duplicate(first) => {
                let first = self.ids.iter().position(|id| *id == first);
                Reply::Duplicate(first.ok_or("a duplicate of an unknown task")?)
            }
            SubmitReply::QueueFull { length } => Reply::QueueFull(length),
            SubmitReply::OwnerLimit { live } => Reply::OwnerLimit(live),
        };
        let job = (real == Reply::Queued).then(|| self.ids.len() - 1);
        Ok((job, real, expected))
    }

    /// The same submit once more, as after a dropped connection.
    async fn submit_again(&mut self, job: usize) -> (Option<usize>, Reply, Reply) {
        let live = index(job, self.ids.len()).filter(|job| !self.model.jobs[*job].gone);
        let Some(job) = live else { return nothing() };
        let submit = self.model.jobs[job].submit.clone();
        let submission = self.submission(&submit, self.ids[job]);
        let reply = self.store.submit(&submission).await.unwrap();
        let same = SubmitReply::Queued {
            created_ms: self.created[job],
        };
        let real = if reply == same {
            Reply::Queued
        } else {
            Reply::Nothing
        };
        (Some(job), real, Reply::Queued)
    }

    fn submission<'a>(&'a self, submit: &Submit, id: TaskId) -> Submission<'a> {
        const KEYS: [Option<&str>; 3] = [None, Some("k"), Some("b:k")];
        Submission {
            tool: &self.tools[submit.tool],
            id,
            owner: &self.owners[submit.owner],
            arguments: "{}",
            plain: submit.plain,
            ttl: TTL,
            keep: if submit.keep { TTL * 2 } else { TTL / 2 },
            idempotency_key: KEYS[usize::from(submit.key)],
            capabilities: None,
            trace: None,
            waiter: None,
            queue_cap: submit.queue_cap,
            owner_cap: submit.owner_cap,
        }
    }

    async fn read(&mut self, worker: usize) -> Checked<(Option<usize>, Reply, Reply)> {
        let source = Source {
            worker: &self.workers[worker],
            shard: self.shard,
            queues: std::slice::from_ref(&self.queue),
        };
        let read = self.store.read_new(&mut self.connection, source, 1, None);
        let delivered = read.await.unwrap();
        let expected: Vec<usize> = self.model.read(worker).into_iter().collect();
        self.delivered(&delivered, &expected).await
    }

    async fn reclaim(&mut self, worker: usize) -> Checked<(Option<usize>, Reply, Reply)> {
        let from = (self.shard, &self.queue);
        let reclaim = self.store.reclaim(&self.workers[worker], from, LEASE, 100);
        let delivered = reclaim.await.unwrap();
        let expected = self.model.reclaim(worker);
        self.delivered(&delivered, &expected).await
    }

    /// Notes what was delivered; buries what cannot be read.
    async fn delivered(
        &mut self,
        delivered: &[Delivery],
        expected: &[usize],
    ) -> Checked<(Option<usize>, Reply, Reply)> {
        let jobs = expected.iter().map(|entry| self.model.entries[entry].job);
        let expected_jobs = Reply::Delivered(jobs.collect());
        let mut real = Vec::new();
        for delivery in delivered {
            let (entry, job) = match delivery {
                Delivery::Job(claimed) => {
                    let job = self.ids.iter().position(|id| *id == claimed.id);
                    (
                        &claimed.entry,
                        Some(job.ok_or("an entry of an unknown task")?),
                    )
                }
                Delivery::Unreadable { entry, .. } => {
                    let from = (self.shard, &self.queue);
                    let bury = self.store.dead_letter(from, entry, ("", ""), "unreadable");
                    bury.await.unwrap();
                    (entry, None)
                }
            };
            if let Some(number) = expected.get(real.len()) {
                let known = self.entries.entry(*number);
                let known = known.or_insert_with(|| entry.as_str().to_owned());
                equal("entry", &entry.as_str(), &known.as_str())?;
                match job {
                    Some(job) => self.deliveries.push((job, *number)),
                    None => self.model.bury(*number),
                }
            }
            real.push(job);
        }
        Ok((None, Reply::Delivered(real), expected_jobs))
    }

    /// Claims what was delivered since there were `before` deliveries.
    async fn claim_since(&mut self, before: usize, worker: usize) -> Checked<()> {
        for delivery in before..self.deliveries.len() {
            Box::pin(self.step(&Operation::Claim { delivery, worker })).await?;
        }
        Ok(())
    }

    async fn claim(&mut self, delivery: usize, worker: usize) -> (Option<usize>, Reply, Reply) {
        let (job, entry) = self.deliveries[delivery];
        let expected = self.model.claim(job, entry, worker);
        let claimed = Claimed {
            id: self.ids[job],
            queue: self.queue.clone(),
            entry: self.entries[&entry].clone().into(),
        };
        let reply = self
            .store
            .claim(&claimed, &self.workers[worker], LEASE)
            .await
            .unwrap();
        if let ClaimReply::Started(started) = &reply {
            let attempt = started.attempt;
            let held = Held {
                job,
                entry,
                worker,
                attempt: attempt.0,
            };
            let hold = Hold {
                claimed,
                attempt: Attempt(attempt.0),
                worker: self.workers[worker].clone(),
            };
            self.holdings.push(Holding { hold, held });
        }
        (Some(job), Reply::from(&reply), expected)
    }

    async fn forward(&mut self, all: bool, limit: u32) -> (Option<usize>, Reply, Reply) {
        let due = self.key("due");
        for (job, far) in self.model.due.clone() {
            // Far times have come, or are still far however long the case took.
            let time = if all || !far {
                1
            } else {
                9_000_000_000_000_u64
            };
            let moved = (&due, "XX", time, self.ids[job].to_string());
            self.raw::<()>("ZADD", moved).await;
        }
        let expected = self.model.forward(all, limit);
        let reply = self.store.forward(self.shard, limit).await.unwrap();
        let real = Reply::Forwarded {
            moved: reply.moved,
            more: reply.next_due_ms.is_some(),
        };
        (None, real, expected)
    }

    /// What a worker writes for a job it holds, or once held.
    async fn write(
        &mut self,
        operation: &Operation,
        Holding { hold, held }: Holding,
    ) -> (Option<usize>, Reply, Reply) {
        let (store, model) = (&self.store, &mut self.model);
        let delay = |later: bool| if later { LEASE } else { Duration::ZERO };
        let (real, expected) = match operation {
            Operation::Renew { .. } => (
                store.renew_lease(&hold, LEASE).await.unwrap().into(),
                model.renew(held),
            ),
            Operation::Report { text, .. } => {
                let report = Progress {
                    progress: Some(0.5),
                    total: None,
                    message: text.then(|| "half".to_owned()),
                };
                let real = store.report_progress(&hold, &report).await.unwrap();
                (real.into(), model.report(held))
            }
            Operation::Ask { key, .. } => {
                let key = question(*key);
                let real = store.ask_input(&hold, key, "{}").await.unwrap();
                (real.into(), model.ask(held, key))
            }
            Operation::Park { .. } => (store.park(&hold).await.unwrap().into(), model.park(held)),
            Operation::Finish { end, .. } => (
                store.finish(&hold, &outcome(*end)).await.unwrap().into(),
                model.finish(held, *end),
            ),
            Operation::Retry { later, end, .. } => {
                let last = outcome(*end);
                let retry = store.schedule_retry(&hold, delay(*later), "again", &last);
                (retry.await.unwrap().into(), model.retry(held, *later, *end))
            }
            Operation::Release { later, .. } => {
                let real = store.release(&hold, delay(*later), Some("draining"));
                (real.await.unwrap().into(), model.release(held, *later))
            }
            _ => (Reply::Nothing, Reply::Nothing),
        };
        (Some(held.job), real, expected)
    }

    /// What callers do with a task, and what happens to it.
    async fn touch(&mut self, operation: &Operation, job: usize) -> (Option<usize>, Reply, Reply) {
        let id = self.ids[job];
        let caller = |owner: Option<usize>| owner.unwrap_or(self.model.jobs[job].submit.owner);
        let (real, expected) = match operation {
            Operation::Answer { owner, key, .. } => {
                let (owner, key) = (caller(*owner), question(*key));
                let store = self.store.answer_input(id, &self.owners[owner], key, "[1]");
                (
                    store.await.unwrap().into(),
                    self.model.answer(job, owner, key, "[1]"),
                )
            }
            Operation::Cancel { owner, .. } => {
                let owner = caller(*owner);
                let store = self.store.cancel(id, &self.owners[owner], "enough");
                (store.await.unwrap().into(), self.model.cancel(job, owner))
            }
            Operation::Watch { owner, .. } => {
                let owner = caller(*owner);
                let replica: ReplicaId = "r1".parse().unwrap();
                let seen = self
                    .store
                    .watch(id, &self.owners[owner], &replica)
                    .await
                    .unwrap();
                let real = if seen.is_some() {
                    Reply::Found
                } else {
                    Reply::Gone
                };
                (real, self.model.watch(job, owner))
            }
            Operation::Lapse { passes, .. } => {
                self.lapse(job, *passes).await;
                (Reply::Nothing, Reply::Nothing)
            }
            Operation::Expire { .. } => {
                self.expire(job).await;
                (Reply::Nothing, Reply::Nothing)
            }
            Operation::Duplicate { .. } => {
                let (key, id) = (self.stream(), id.to_string());
                self.raw::<String>("XADD", (key, "*", "id", id, "tool", "x"))
                    .await;
                self.model.append(Some(job));
                (Reply::Nothing, Reply::Nothing)
            }
            _ => (Reply::Nothing, Reply::Nothing),
        };
        (Some(job), real, expected)
    }

    /// Lets deadlines of a job pass.
    async fn lapse(&mut self, job: usize, passes: Passes) {
        let of = &mut self.model.jobs[job];
        let (held, entry) = (of.worker.is_some() && !of.gone, of.entry);
        if passes != Passes::Idle {
            if held {
                of.lapsed = true;
                let record = self.store.keys().task(self.ids[job]);
                self.raw::<()>("HSET", (record, "lease_ms", 1)).await;
            }
            if let Some(lapsed) = self.model.slots.get_mut(&job) {
                *lapsed = true;
                let slots = self.key(&format!("running:{}", self.tools[LIMITED].name));
                let lapsed = (slots, "XX", 1, self.ids[job].to_string());
                self.raw::<()>("ZADD", lapsed).await;
            }
        }
        if passes != Passes::Lease
            && let Some(entry) = entry
        {
            self.lapse_entry(entry).await;
        }
    }

    /// Makes an entry look as if nobody had been heard of for a lease.
    async fn lapse_entry(&mut self, number: usize) {
        let entry = self.model.entries.get_mut(&number);
        let Some(pending) = entry.and_then(|entry| entry.pending.as_mut()) else {
            return;
        };
        pending.idle = true;
        let worker = self.workers[pending.worker].as_str().to_owned();
        let entry = self.entries[&number].clone();
        let idle = (
            self.stream(),
            "workers",
            worker,
            0,
            entry,
            "IDLE",
            LONG_MS,
            "JUSTID",
        );
        self.raw::<Vec<String>>("XCLAIM", idle).await;
    }

    async fn lapse_all(&mut self) {
        for job in 0..self.ids.len() {
            self.lapse(job, Passes::Lease).await;
        }
        let entries: Vec<usize> = self.model.entries.keys().copied().collect();
        for entry in entries {
            self.lapse_entry(entry).await;
        }
    }

    /// Lets a record expire, as if its time had come.
    async fn expire(&mut self, job: usize) {
        let of = &mut self.model.jobs[job];
        of.gone = true;
        let (owner, id) = (self.owners[of.submit.owner].clone(), self.ids[job]);
        self.raw::<i64>("DEL", self.store.keys().task(id)).await;
        for index in ["active", "owned"] {
            let index = self.key(&format!("{index}:{owner}"));
            self.raw::<()>("ZADD", (index, "XX", 1, id.to_string()))
                .await;
        }
    }

    /// The record, and what a poll shows, are what the model says; those of a job that has ended never change.
    async fn compare_record(&mut self, job: usize) -> Checked<()> {
        let id = self.ids[job];
        let record: Record = self.raw("HGETALL", self.store.keys().task(id)).await;
        let view = self
            .store
            .view(id)
            .await
            .map_err(|error| error.to_string())?;
        let of = &self.model.jobs[job];
        if of.gone {
            return equal("an expired record", &record.len(), &0);
        }
        equal("status", &view.map(|view| view.status), &Some(of.status))?;
        let field = |name: &str| record.get(name).cloned().unwrap_or_default();
        let worker = of.worker.map(|worker| self.workers[worker].to_string());
        let open = if of.asked.is_empty() {
            String::new()
        } else {
            of.open().to_string()
        };
        let expected = [
            ("status", of.status.to_string()),
            ("attempt", of.attempt.to_string()),
            ("retries", of.retries.to_string()),
            ("crashes", of.crashes.to_string()),
            ("worker", worker.unwrap_or_default()),
            ("open", open),
        ];
        for (name, expected) in &expected {
            equal(name, &field(name), expected)?;
        }
        equal("an entry", &!field("entry").is_empty(), &of.entry.is_some())?;
        if let Some(entry) = of.entry.and_then(|entry| self.entries.get(&entry)) {
            equal("entry", &field("entry"), entry)?;
        }
        if of.status.is_terminal() {
            let first = self.ended.entry(job).or_insert_with(|| record.clone());
            equal("the record of a job that has ended", &record, first)?;
        }
        Ok(())
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.store.keys().base(self.shard))
    }

    fn stream(&self) -> String {
        self.store.keys().queue(self.shard, &self.queue)
    }

    /// Sends a command behind the store's back.
    async fn raw<T: FromRedisValue>(&mut self, name: &str, args: impl ToRedisArgs) -> T {
        let mut command = redis::cmd(name);
        command.arg(args);
        command.query_async(&mut self.redis).await.unwrap()
    }
}

fn tool(number: usize) -> ToolDefinition {
    let schema = serde_json::value::RawValue::from_string("{}".to_owned());
    let name = format!("tool{number}").parse().unwrap();
    let mut tool = ToolDefinition::new(name, schema.unwrap());
    tool.attempts = ATTEMPTS[number];
    tool.crash_limit = CRASH_LIMITS[number];
    tool.concurrency = (number == LIMITED).then_some(1);
    tool
}

fn question(key: u8) -> &'static str {
    ["a", "b", "c"][usize::from(key)]
}

fn outcome(end: End) -> Outcome {
    match end {
        End::Completed => Outcome::Completed {
            result: "{}".to_owned(),
            is_error: false,
            message: None,
        },
        End::Failed => Outcome::Failed {
            error: "{}".to_owned(),
            message: "no".to_owned(),
        },
        End::Cancelled => Outcome::Cancelled {
            message: "no".to_owned(),
        },
    }
}

/// The one of `length` that is meant by `number`; the last one by the greatest number.
fn index(number: usize, length: usize) -> Option<usize> {
    let last = length.checked_sub(1)?;
    Some(if number == usize::MAX {
        last
    } else {
        number % length
    })
}

fn nothing() -> (Option<usize>, Reply, Reply) {
    (None, Reply::Nothing, Reply::Nothing)
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, real: &T, expected: &T) -> Checked<()> {
    if real == expected {
        Ok(())
    } else {
        Err(format!("{what} is {real:?}; the model says {expected:?}"))
    }
}

fn none_broken(broken: &[String]) -> Checked<()> {
    if broken.is_empty() {
        Ok(())
    } else {
        Err(broken.join("; "))
    }
}
