//! `taskferry status`: how it all stands, on one screen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use clap::{ArgMatches, Command};
use serde_json::{Value, json};
use taskferry_contract::{
    CONTRACT_VERSION, Error, Misplaced, QueueName, QueueOverview, ServerOverview, ShardOverview,
    Store, ToolDefinition, WorkerInfo,
};

use super::logging::print;
use super::operator::{self, moment, span};
use crate::config::OperatorConfig;

pub(super) fn command() -> Command {
    let command = Command::new("status")
        .about("How it all stands: Redis, queues, workers, dead letters")
        .arg(operator::json());
    operator::with_redis(command)
}

/// Everything at one moment, or nearly so.
struct Status {
    server: ServerOverview,
    queues: Vec<(QueueName, QueueOverview)>,
    rest: ShardOverview,
    workers: Vec<(WorkerInfo, u64)>,
    tools: usize,
    misplaced: Vec<Misplaced>,
}

/// So many of the workers of a queue are named.
const NAMED: usize = 3;

impl Status {
    async fn read(store: &Store) -> anyhow::Result<Self> {
        let tools = match store.tools().await {
            Err(Error::WrongType { .. }) => Vec::<ToolDefinition>::new(),
            tools => tools?,
        };
        let registered: BTreeSet<&QueueName> = tools.iter().map(|tool| &tool.queue).collect();
        let survey = store.survey().await?;
        let workers = store.workers().await?;
        let names: BTreeSet<&QueueName> =
            registered.iter().copied().chain(&survey.queues).collect();
        let mut queues = Vec::new();
        for name in names {
            let queue = store.queue_overview(name).await?;
            let served = workers.iter().any(|(worker, _)| worker.serves(name));
            // The stream of a queue that nobody uses any more stays, empty.
            if registered.contains(name) || served || queue != QueueOverview::default() {
                queues.push((name.clone(), queue));
            }
        }
        Ok(Self {
            queues,
            rest: store.shard_overview().await?,
            workers,
            tools: tools.len(),
            misplaced: survey.misplaced,
            server: store.server_overview().await?,
        })
    }

    /// The workers that may begin jobs of a queue.
    fn serving(&self, queue: &QueueName) -> Vec<&str> {
        let workers = self.workers.iter();
        let serving = workers.filter(|(worker, beat)| {
            worker.serves(queue) && worker.is_counted_on(self.silent(*beat))
        });
        serving.map(|(worker, _)| worker.id.as_str()).collect()
    }

    /// How long ago a worker was heard of.
    fn silent(&self, beat_ms: u64) -> Duration {
        Duration::from_millis(self.ago(beat_ms))
    }

    fn ago(&self, ms: u64) -> u64 {
        self.server.now_ms.saturating_sub(ms)
    }
}

pub(super) async fn run(config: &OperatorConfig, args: &ArgMatches) -> anyhow::Result<()> {
    let store = Store::new(&config.redis).context("redis_url cannot be used")?;
    let status = Status::read(&store).await?;
    if args.get_flag("json") {
        print(&operator::json_line(&as_json(&status).to_string()));
    } else {
        head(&status).iter().for_each(|line| print(line));
        misplaced(&status).iter().for_each(|line| print(line));
        print("");
        queues(&status).iter().for_each(|line| print(line));
        print("");
        workers(&status).iter().for_each(|line| print(line));
    }
    Ok(())
}

fn head(status: &Status) -> Vec<String> {
    let (server, rest) = (&status.server, &status.rest);
    let role = if server.is_primary { "" } else { ", a replica" };
    let limit = match server.max_bytes {
        0 => "no limit".to_owned(),
        most => format!("of {} MiB", most >> 20),
    };
    let contract = server.contract.as_deref().unwrap_or("not stored yet");
    let due = match rest.next_due_ms {
        None => "none".to_owned(),
        Some(at) => format!(
            "{}, after a backoff or given back, the next at {}",
            rest.due,
            moment(at)
        ),
    };
    let at_limit = match rest.waiting {
        0 => "none".to_owned(),
        some => format!("{some}, waiting for a slot of their tool (concurrency)"),
    };
    vec![
        format!(
            "redis      {}{role}, up {}, {} MiB {limit}, {} connections",
            operator::plain(&server.product),
            span(server.uptime_seconds.saturating_mul(1000)),
            server.used_bytes >> 20,
            server.connections
        ),
        format!(
            "contract   {} (this program: {CONTRACT_VERSION})",
            operator::plain(contract)
        ),
        format!("tools      {}", status.tools),
        format!("due        {due}"),
        format!("at limit   {at_limit}"),
        format!("dead       {}", rest.dead),
        format!("expired    {}", expired(&rest.expired)),
    ]
}

/// Jobs whose ttl passed while they waited, by tool.
fn expired(counts: &BTreeMap<String, u64>) -> String {
    let all = counts.values().fold(0_u64, |all, n| all.saturating_add(*n));
    if all == 0 {
        return "none".to_owned();
    }
    let tools = counts.iter().take(NAMED);
    let mut tools: Vec<String> = tools
        .map(|(tool, count)| format!("{} {count}", operator::plain(tool)))
        .collect();
    if counts.len() > NAMED {
        tools.push("…".to_owned());
    }
    format!("{all}, while they waited to run ({})", tools.join(", "))
}

fn misplaced(status: &Status) -> Vec<String> {
    let lines = status.misplaced.iter().map(|found| {
        let found = operator::plain(&found.to_string());
        format!("misplaced  {found}: see what it is, and remove it with redis-cli DEL")
    });
    lines.collect()
}

fn queues(status: &Status) -> Vec<String> {
    let rows = status.queues.iter().map(|(name, queue)| {
        let oldest = queue.oldest_ms.map(|at| span(status.ago(at)));
        let serving = status.serving(name);
        let served_by = match serving.len() {
            0 => "nobody".to_owned(),
            count => {
                let named: Vec<&str> = serving.into_iter().take(NAMED).collect();
                let named = named.join(", ");
                match count.saturating_sub(NAMED) {
                    0 => named,
                    more => format!("{named} and {more} more"),
                }
            }
        };
        vec![
            name.to_string(),
            queue.length.saturating_sub(queue.pending).to_string(),
            queue.pending.to_string(),
            oldest.unwrap_or_else(|| "-".to_owned()),
            served_by,
        ]
    });
    let head = ["QUEUE", "WAITING", "GIVEN OUT", "OLDEST", "SERVED BY"];
    operator::table(&head, rows.collect())
}

fn workers(status: &Status) -> Vec<String> {
    let rows = status.workers.iter().map(|(worker, beat)| {
        vec![
            worker.id.to_string(),
            worker.host.clone(),
            worker.pid.to_string(),
            worker.version.clone(),
            format!("{}/{}", worker.busy, worker.slots),
            format!("{} ago", span(status.ago(*beat))),
            worker.tools.clone(),
            doing(worker, status.silent(*beat)),
        ]
    });
    let head = [
        "WORKER",
        "HOST",
        "PID",
        "VERSION",
        "BUSY",
        "LAST BEAT",
        "TOOLS",
        "DOES",
    ];
    operator::table(&head, rows.collect())
}

/// What a worker does, or did when it was heard of last.
fn doing(worker: &WorkerInfo, silent: Duration) -> String {
    if WorkerInfo::is_silent(silent) {
        return format!("silent; was {}", worker.doing);
    }
    worker.doing.clone()
}

fn as_json(status: &Status) -> Value {
    let server = &status.server;
    let queues = status.queues.iter().map(|(name, queue)| {
        json!({
            "queue": name, "length": queue.length, "given_out": queue.pending,
            "oldest_ms": queue.oldest_ms, "served_by": status.serving(name),
        })
    });
    let workers = status.workers.iter().map(|(worker, beat)| {
        json!({
            "id": worker.id.as_str(), "host": worker.host, "pid": worker.pid,
            "version": worker.version, "busy": worker.busy, "slots": worker.slots,
            "beat_ms": beat, "tools": worker.tools.split(',').collect::<Vec<_>>(),
            "queues": worker.queues.split(',').filter(|name| !name.is_empty()).collect::<Vec<_>>(),
            "doing": worker.doing, "silent": WorkerInfo::is_silent(status.silent(*beat)),
        })
    });
    json!({
        "now_ms": server.now_ms, "product": server.product, "primary": server.is_primary,
        "uptime_seconds": server.uptime_seconds, "used_bytes": server.used_bytes,
        "max_bytes": server.max_bytes, "connections": server.connections,
        "contract": server.contract, "tools": status.tools, "due": status.rest.due,
        "next_due_ms": status.rest.next_due_ms, "waiting": status.rest.waiting, "dead": status.rest.dead,
        "expired": status.rest.expired,
        "misplaced": status.misplaced.iter().map(|found| json!({
            "key": found.key, "holds": found.holds, "belongs": found.belongs,
        })).collect::<Vec<_>>(),
        "queues": queues.collect::<Vec<_>>(), "workers": workers.collect::<Vec<_>>(),
    })
}
