//! `taskferry tools list`: every tool, who runs it, and which definition of it the workers have.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use taskferry_contract::{LeftOut, Pauses, ToolDefinition, WorkerId};

use crate::cli::format::{json_line, plain, table};
use crate::cli::output::print;
use crate::cli::pause::since;
use crate::operator::{HeldDefinitions, Listing, Standing, Tools};

/// So many workers of one kind are named.
const NAMED: usize = 3;

pub(super) async fn list(tools: &Tools<'_>, as_json: bool) -> anyhow::Result<()> {
    let listing = tools.list().await?;
    let lines = if as_json {
        as_objects(&listing)
    } else {
        as_table(&listing)
    };
    lines.iter().for_each(|line| print(line));
    Ok(())
}

fn as_objects(listing: &Listing) -> Vec<String> {
    let (tools, refused) = (&listing.tools, &listing.refused);
    let mut all: Vec<Value> = Vec::new();
    for (tool, standing) in tools {
        let why = refused.iter().find(|one| one.tool == tool.name.as_str());
        let why = why.map(|one| one.reason.as_str());
        all.push(object((tool, standing), why, &listing.pauses));
    }
    let is_shown = |one: &LeftOut| tools.iter().any(|(tool, _)| tool.name.as_str() == one.tool);
    for one in refused.iter().filter(|one| !is_shown(one)) {
        all.push(json!({ "name": one.tool, "queue": one.queue, "refused": one.reason }));
    }
    all.iter().map(|one| json_line(&one.to_string())).collect()
}

fn object(
    (tool, standing): (&ToolDefinition, &Standing),
    refused: Option<&str>,
    pauses: &Pauses,
) -> Value {
    let held = &standing.held;
    let others = held.others.iter().map(
        |(worker, digest)| json!({ "worker": worker.as_str(), "definition": digest.as_str() }),
    );
    let unsaid = held.unsaid.iter().map(WorkerId::as_str);
    let pause = pauses.holding_up(tool.queue.as_str(), tool.name.as_str());
    json!({
        "paused": pause.is_some(), "name": tool.name, "queue": tool.queue, "workers": held.workers(),
        "definition": held.listed.as_str(), "workers_as_listed": held.as_listed,
        "other_definitions": others.collect::<Vec<_>>(),
        "workers_that_do_not_say": unsaid.collect::<Vec<_>>(),
        "queue_length": standing.on_queue, "title": tool.title, "refused": refused,
    })
}

fn as_table(listing: &Listing) -> Vec<String> {
    let rows = listing.tools.iter().map(|(tool, standing)| {
        let title = tool.title.as_ref().or(tool.description.as_ref());
        vec![
            tool.name.to_string(),
            tool.queue.to_string(),
            standing.held.workers().to_string(),
            as_listed(&standing.held),
            standing.on_queue.to_string(),
            title.cloned().unwrap_or_default(),
        ]
    });
    let head = [
        "TOOL",
        "QUEUE",
        "WORKERS",
        "AS LISTED",
        "ALL ON QUEUE",
        "TITLE",
    ];
    let mut lines = table(&head, rows.collect());
    let standings = listing.tools.iter();
    lines.extend(standings.filter_map(|(tool, standing)| differ(tool, &standing.held)));
    for pause in &listing.pauses.0 {
        lines.push(format!("{} is paused, {}", pause.what, since(pause)));
    }
    for one in &listing.refused {
        let [tool, queue, reason] = [&one.tool, &one.queue, &one.reason].map(|text| plain(text));
        lines.push(format!(
            "front ends do not list {tool} of queue {queue}: {reason}"
        ));
    }
    lines
}

fn as_listed(held: &HeldDefinitions) -> String {
    match held.unsaid.len() {
        0 => held.as_listed.to_string(),
        all if all == held.workers() => "-".to_owned(),
        some => format!("{} ({some} not said)", held.as_listed),
    }
}

/// That some workers have another definition than is listed, and which, if so.
fn differ(tool: &ToolDefinition, held: &HeldDefinitions) -> Option<String> {
    let mut by_digest: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (worker, digest) in &held.others {
        let same = by_digest.entry(digest.as_str()).or_default();
        same.push(worker.as_str());
    }
    if by_digest.is_empty() {
        return None;
    }
    let others = by_digest.iter().map(|(digest, workers)| {
        let named = workers.iter().take(NAMED).copied().collect::<Vec<_>>();
        let more = match workers.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{digest} at {}{more}", named.join(", "))
    });
    Some(format!(
        "{} of {} workers of {} have the definition that is listed, {}; another one: {}",
        held.as_listed,
        held.workers(),
        tool.name,
        held.listed,
        others.collect::<Vec<_>>().join("; ")
    ))
}
