//! By how many jobs of a caller who queued very many another's one job is held up, with a share of ready jobs and without.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Serialize;
use serde_json::value::RawValue;
use taskferry_contract::{
    Owner, QueueStream, Store, Submission, SubmitReply, TaskId, ToolDefinition,
};
use taskferry_testing::{ServerOptions, TestServer};
use taskferry_worker::{JobContext, ToolOutput, Worker};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cli::Fairness;
use crate::print;
use crate::table::print_table;
use crate::work::{self, Kind};

/// How many submits are under way at once.
const AT_ONCE: u32 = 32;
/// The longest that the work may stand still.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one share came to.
#[derive(Debug, Serialize)]
struct Row {
    /// How many jobs of a caller may be ready; 0 for no bound.
    share: u64,
    /// How many the first caller queued before.
    queued: u32,
    /// How many calls of the second are counted: those that found the first one's jobs before them.
    calls: usize,
    /// How many jobs of the first began between such a call and its start.
    p50: u64,
    most: u64,
    /// How many jobs of the first were run in a second.
    per_second: f64,
}

/// What began, in its order.
#[derive(Debug, Default)]
struct Begun {
    /// How many jobs of the first caller.
    of_first: u64,
    /// The last job of the second, and how many of the first had begun before.
    of_second: Option<(TaskId, u64)>,
}

#[derive(Debug, Default)]
struct Seen {
    begun: Mutex<Begun>,
    changed: Notify,
}

impl Seen {
    fn note(&self, id: TaskId, is_first: bool) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if is_first {
            begun.of_first += 1;
        } else {
            begun.of_second = Some((id, begun.of_first));
        }
        drop(begun);
        self.changed.notify_one();
    }

    fn of_first(&self) -> u64 {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.of_first
    }

    /// How many jobs of the first caller had begun when this one of the second did.
    async fn start_of(&self, id: TaskId) -> u64 {
        loop {
            let last = {
                let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
                begun.of_second
            };
            match last {
                Some((other, before)) if other == id => return before,
                _ => self.changed.notified().await,
            }
        }
    }
}

/// Measures with the share and without, and reports.
pub(crate) async fn run(options: &Fairness) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for share in [options.share, 0] {
        print::say(&format!("{} jobs, share {share}", options.jobs));
        rows.push(measure(options, share).await?);
    }
    show(&rows, options);
    print::write_json(options.json.as_deref(), &rows)
}

/// Where jobs are queued, and with which share.
#[derive(Debug, Clone)]
struct Calls {
    store: Store,
    tool: ToolDefinition,
    share: u64,
}

async fn measure(options: &Fairness, share: u64) -> anyhow::Result<Row> {
    let redis = TestServer::start_with(ServerOptions::default()).await;
    let calls = Calls {
        store: work::store(&redis.url())?,
        tool: Kind::Noop.definition()?,
        share,
    };
    let shard = work::shard(&calls.store)?;
    let queue = &calls.tool.queue;
    let stream = QueueStream { shard, queue };
    calls.store.ensure_group(stream).await?;
    let (first, second) = (Owner::named("first")?, Owner::named("second")?);
    calls.queue_many(&first, options.jobs).await?;

    let seen = Arc::new(Seen::default());
    let (noted, many) = (Arc::clone(&seen), first.clone());
    let result = RawValue::from_string(work::result(20))?;
    let answer = move |job: JobContext| {
        noted.note(job.task_id(), *job.owner() == many);
        let output = ToolOutput::result(&result);
        async { output }
    };
    let worker = Worker::builder(calls.store.clone())
        .slots(options.slots)
        .tool(calls.tool.clone(), answer)
        .build()?;
    let stop = CancellationToken::new();
    let work = worker.run(stop.clone());
    tokio::pin!(work);
    let began = Instant::now();
    let mut held_up = tokio::select! {
        ended = &mut work => bail!("the worker ended by itself: {:?}", ended?),
        counted = calls.count(&second, &seen, options.jobs) => counted?,
    };
    let took = began.elapsed().as_secs_f64();
    let ran = seen.of_first();
    stop.cancel();
    work.await?;
    held_up.sort_unstable();
    let middle = held_up.len().div_ceil(2).saturating_sub(1);
    Ok(Row {
        share,
        queued: options.jobs,
        calls: held_up.len(),
        p50: held_up.get(middle).copied().unwrap_or(0),
        most: held_up.last().copied().unwrap_or(0),
        per_second: ran as f64 / took,
    })
}

impl Calls {
    /// This caller calls again and again, one at a time, until so many jobs of the first have begun. By how many of those each
    /// call was held up.
    async fn count(&self, owner: &Owner, seen: &Seen, jobs: u32) -> anyhow::Result<Vec<u64>> {
        let mut held_up = Vec::new();
        loop {
            let before = seen.of_first();
            if before >= u64::from(jobs) {
                return Ok(held_up);
            }
            let id = self.submit(owner).await?;
            let start = tokio::time::timeout(PATIENCE, seen.start_of(id)).await;
            let at = start.context("a job of the second caller never began")?;
            if before > 0 {
                held_up.push(at - before);
            }
        }
    }

    /// Queues so many jobs, several at a time.
    async fn queue_many(&self, owner: &Owner, jobs: u32) -> anyhow::Result<()> {
        let mut tasks = JoinSet::new();
        for of in 0..AT_ONCE {
            let (calls, owner) = (self.clone(), owner.clone());
            tasks.spawn(async move {
                for _ in (of..jobs).step_by(AT_ONCE as usize) {
                    calls.submit(&owner).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(())
    }

    async fn submit(&self, owner: &Owner) -> anyhow::Result<TaskId> {
        let id = TaskId::random(self.store.shards().of(owner));
        let submission = Submission {
            keep: Duration::from_secs(1),
            owner_share: self.share,
            ..Submission::new(&self.tool, id, owner, work::arguments(20))
        };
        match self.store.submit(&submission).await? {
            SubmitReply::Queued { .. } => Ok(id),
            refused => bail!("a job was not queued: {refused:?}"),
        }
    }
}

fn show(rows: &[Row], options: &Fairness) {
    print::print(&format!(
        "one caller queued {} jobs; of those, how many began between a call of another and its start ({} slots)",
        options.jobs, options.slots
    ));
    let header = ["owner_share", "calls", "p50", "most", "jobs a second"];
    let mut table = vec![header.map(ToOwned::to_owned).to_vec()];
    table.extend(rows.iter().map(|row| {
        vec![
            row.share.to_string(),
            row.calls.to_string(),
            row.p50.to_string(),
            row.most.to_string(),
            format!("{:.0}", row.per_second),
        ]
    }));
    print_table(&table, 0);
}
