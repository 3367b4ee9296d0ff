//! One sequence of operations, done to the store and to the model, and compared after every step.

mod calls;
mod passing;
mod steps;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, ToRedisArgs};
use taskferry_contract::{
    BlockingConnection, DeliveredEntry, HeldAttempt, Owner, QueueName, QueueStream, Rate,
    RedisSettings, Shard, Shards, Store, TaskId, ToolDefinition, WorkerId,
};
use taskferry_testing::{TestServer, invariants};

use crate::machine::{ATTEMPTS, CRASH_LIMITS, Held, LIMITED, Machine, RATE, RATED};
use crate::operation::{End, Operation, TOOLS, WORKERS};

/// Never runs out by itself within a case.
const LEASE: Duration = Duration::from_secs(3_600);
/// As idle as an entry is made when its lease is to have run out.
const LONG_MS: u64 = 7_200_000;
/// The window of a rate, likewise.
const WINDOW: Duration = Duration::from_secs(7_200);
const TTL: Duration = Duration::from_secs(36_000);
/// How many rounds it may take to bring every job to its end.
const ROUNDS: usize = 240;

type Record = HashMap<String, String>;
type Checked<T> = Result<T, String>;

/// An attempt: as the store knows it and as the model does.
#[derive(Debug, Clone)]
struct Holding {
    hold: HeldAttempt,
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
    /// Plain calls: the job each waits for, its number, and as whom it holds the job.
    calls: Vec<(usize, usize, TaskId)>,
    submits: usize,
    /// What Redis calls the entries that were delivered so far.
    entries: BTreeMap<usize, String>,
    deliveries: Vec<Delivered>,
    holdings: Vec<Holding>,
    /// Records of jobs that have ended, as they were then.
    ended: BTreeMap<usize, Record>,
    /// How often a reply said that it ended the job.
    ends: BTreeMap<usize, u32>,
}

/// An entry as it was delivered: the job, the entry's number, and what it is claimed with.
#[derive(Clone)]
struct Delivered {
    job: usize,
    entry: usize,
    claimed: DeliveredEntry,
}

impl Case {
    pub(crate) async fn new(server: &TestServer, prefix: String) -> Self {
        let mut settings = RedisSettings::new(&server.url());
        settings.prefix.clone_from(&prefix);
        // Beside other tests an answer may be slow, which is no failure here.
        settings.response_timeout = Duration::from_secs(30);
        let store = Store::new(&settings).unwrap();
        let shard = Shards::default().all().next().unwrap();
        let queue = QueueName::default_queue();
        store
            .ensure_group(QueueStream {
                shard,
                queue: &queue,
            })
            .await
            .unwrap();
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
            calls: Vec::new(),
            submits: 0,
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
        for what in self.model.paused.clone() {
            self.step(&Operation::Resume(what)).await?;
        }
        for _ in 0..ROUNDS {
            self.lapse_all().await;
            self.window_passes().await;
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
        let counts: Vec<usize> = self.raw("HVALS", self.key("expired")).await;
        equal("expired", &counts.iter().sum(), &self.model.expired)?;
        let broken = invariants::drained(&mut self.redis, &self.prefix).await;
        none_broken(&broken)
    }

    /// Does one operation to both, and compares what they say and what it left.
    async fn step(&mut self, operation: &Operation) -> Checked<()> {
        let (job, real, expected) = self.perform(operation).await?;
        equal("reply", &real, &expected)?;
        let broken = if self.model.has_foreign_entries() {
            invariants::live_but_for_strays(&mut self.redis, &self.prefix).await
        } else {
            invariants::live(&mut self.redis, &self.prefix).await
        };
        none_broken(&broken)?;
        let Some(job) = job else { return Ok(()) };
        let ends = self.ends.entry(job).or_default();
        *ends += u32::from(real.ends() && !matches!(operation, Operation::Release { .. }));
        if *ends > 1 {
            return Err(format!("job {job} ended twice"));
        }
        self.compare_record(job).await
    }

    /// The record, and what a poll shows, are what the model says; those of a job that has ended never change.
    async fn compare_record(&mut self, job: usize) -> Checked<()> {
        let id = self.ids[job];
        let record: Record = self.raw("HGETALL", self.store.keys().record(id)).await;
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
            ("plain", u8::from(of.submit.plain).to_string()),
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
    tool.rate = (number == RATED).then(|| Rate::new(u32::try_from(RATE).unwrap(), WINDOW));
    tool
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
