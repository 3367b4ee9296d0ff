//! `taskferry status`: how Redis, queues and workers stand, on one screen.

use std::collections::BTreeMap;

use clap::{ArgMatches, Command};
use serde_json::{Value, json};
use taskferry_contract::{CONTRACT_VERSION, ToolName, WorkerId};

use super::arguments;
use super::format::{json_line, moment, plain, span, table};
use super::output::print;
use super::pause::since;
use crate::operator::{Operator, Overview, SeenWorker};

pub(super) fn command() -> Command {
    let command = Command::new("status")
        .about("How it all stands: Redis, queues, workers, dead letters")
        .arg(arguments::json());
    arguments::with_redis(command)
}

/// So many of the workers of a queue are named.
const NAMED: usize = 3;

pub(super) async fn run(operator: &Operator, args: &ArgMatches) -> anyhow::Result<()> {
    let overview = operator.overview().await?;
    if args.get_flag("json") {
        print(&json_line(&as_json(&overview).to_string()));
    } else {
        head(&overview).iter().for_each(|line| print(line));
        misplaced(&overview).iter().for_each(|line| print(line));
        paused(&overview).iter().for_each(|line| print(line));
        print("");
        queues(&overview).iter().for_each(|line| print(line));
        print("");
        workers(&overview).iter().for_each(|line| print(line));
    }
    Ok(())
}

fn head(overview: &Overview) -> Vec<String> {
    let (server, rest) = (&overview.server, &overview.rest);
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
        some => format!(
            "{some}, waiting for a slot of their tool (concurrency), for its rate, or for the end of a pause"
        ),
    };
    vec![
        format!(
            "redis      {}{role}, up {}, {} MiB {limit}, {} connections",
            plain(&server.product),
            span(server.uptime_seconds.saturating_mul(1000)),
            server.used_bytes >> 20,
            server.connections
        ),
        format!(
            "contract   {} (this program: {CONTRACT_VERSION})",
            plain(contract)
        ),
        format!(
            "tools      {}{}{}",
            overview.tools,
            refused(overview),
            differing(overview)
        ),
        format!("due        {due}"),
        format!("at limit   {at_limit}"),
        format!("dead       {}", rest.dead),
        format!("expired    {}", expired(&rest.expired)),
    ]
}

fn refused(overview: &Overview) -> String {
    match overview.refused.len() {
        0 => String::new(),
        some => format!("; {some} that front ends do not list: taskferry doctor says why"),
    }
}

fn differing(overview: &Overview) -> String {
    let names = overview.differing.iter().take(NAMED);
    let mut names: Vec<&str> = names.map(ToolName::as_str).collect();
    if overview.differing.len() > NAMED {
        names.push("…");
    }
    match names.join(", ") {
        none if none.is_empty() => none,
        names => format!(
            "; some workers have another definition than is listed ({names}): taskferry tools list says which"
        ),
    }
}

/// Jobs whose ttl passed while they waited, by tool.
fn expired(counts: &BTreeMap<String, u64>) -> String {
    let all = counts.values().fold(0_u64, |all, n| all.saturating_add(*n));
    if all == 0 {
        return "none".to_owned();
    }
    let tools = counts.iter().take(NAMED);
    let mut tools: Vec<String> = tools
        .map(|(tool, count)| format!("{} {count}", plain(tool)))
        .collect();
    if counts.len() > NAMED {
        tools.push("…".to_owned());
    }
    format!("{all}, while they waited to run ({})", tools.join(", "))
}

fn paused(overview: &Overview) -> Vec<String> {
    let lines = overview.pauses.0.iter();
    let lines = lines.map(|pause| format!("paused     {}, {}", pause.what, since(pause)));
    lines.collect()
}

fn misplaced(overview: &Overview) -> Vec<String> {
    let lines = overview.misplaced.iter().map(|found| {
        let found = plain(&found.to_string());
        format!("misplaced  {found}: see what it is, and remove it with redis-cli DEL")
    });
    lines.collect()
}

fn queues(overview: &Overview) -> Vec<String> {
    let rows = overview.queues.iter().map(|queue| {
        let (on, serving) = (&queue.overview, &queue.served_by);
        let oldest = on.oldest_ms.map(|at| span(overview.ago(at)));
        let served_by = match serving.len() {
            0 => "nobody".to_owned(),
            count => {
                let named = serving.iter().take(NAMED).map(WorkerId::as_str);
                let named: Vec<&str> = named.collect();
                let named = named.join(", ");
                match count.saturating_sub(NAMED) {
                    0 => named,
                    more => format!("{named} and {more} more"),
                }
            }
        };
        vec![
            queue.name.to_string(),
            on.length.saturating_sub(on.pending).to_string(),
            on.in_lines.to_string(),
            on.pending.to_string(),
            oldest.unwrap_or_else(|| "-".to_owned()),
            served_by,
        ]
    });
    let head = [
        "QUEUE",
        "WAITING",
        "IN LINES",
        "GIVEN OUT",
        "OLDEST",
        "SERVED BY",
    ];
    table(&head, rows.collect())
}

fn workers(overview: &Overview) -> Vec<String> {
    let rows = overview.workers.iter().map(|seen| {
        let worker = &seen.info;
        vec![
            worker.id.to_string(),
            worker.host.clone(),
            worker.pid.to_string(),
            worker.version.clone(),
            format!("{}/{}", worker.busy, worker.slots),
            format!("{} ago", span(overview.ago(seen.beat_ms))),
            worker.tools.clone(),
            doing(seen),
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
    table(&head, rows.collect())
}

/// What a worker does, or did when it last reported.
fn doing(seen: &SeenWorker) -> String {
    if seen.is_silent() {
        return format!("silent; was {}", seen.info.doing);
    }
    seen.info.doing.clone()
}

fn as_json(overview: &Overview) -> Value {
    let server = &overview.server;
    let queues = overview.queues.iter().map(|queue| {
        let on = &queue.overview;
        let served_by = queue.served_by.iter().map(WorkerId::as_str);
        json!({
            "queue": queue.name, "length": on.length, "in_lines": on.in_lines, "given_out": on.pending,
            "oldest_ms": on.oldest_ms, "served_by": served_by.collect::<Vec<_>>(),
        })
    });
    let workers = overview.workers.iter().map(|seen| {
        let worker = &seen.info;
        json!({
            "id": worker.id.as_str(), "host": worker.host, "pid": worker.pid,
            "version": worker.version, "busy": worker.busy, "slots": worker.slots,
            "beat_ms": seen.beat_ms, "tools": worker.tools.split(',').collect::<Vec<_>>(),
            "queues": worker.queues.split(',').filter(|name| !name.is_empty()).collect::<Vec<_>>(),
            "doing": worker.doing, "silent": seen.is_silent(),
        })
    });
    json!({
        "now_ms": server.now_ms, "product": server.product, "primary": server.is_primary,
        "uptime_seconds": server.uptime_seconds, "used_bytes": server.used_bytes,
        "max_bytes": server.max_bytes, "connections": server.connections,
        "contract": server.contract, "tools": overview.tools, "differing_tools": overview.differing,
        "refused_tools": overview.refused.iter().map(|refused| json!({
            "name": refused.tool, "queue": refused.queue, "reason": refused.reason,
        })).collect::<Vec<_>>(),
        "due": overview.rest.due,
        "next_due_ms": overview.rest.next_due_ms, "waiting": overview.rest.waiting, "dead": overview.rest.dead,
        "expired": overview.rest.expired,
        "paused": overview.pauses.0.iter().map(|pause| json!({
            "kind": pause.what.kind(), "name": pause.what.name(), "since_ms": pause.since_ms,
            "by": pause.by, "reason": pause.reason,
        })).collect::<Vec<_>>(),
        "misplaced": overview.misplaced.iter().map(|found| json!({
            "key": found.key, "holds": found.holds, "belongs": found.belongs,
        })).collect::<Vec<_>>(),
        "queues": queues.collect::<Vec<_>>(), "workers": workers.collect::<Vec<_>>(),
    })
}
