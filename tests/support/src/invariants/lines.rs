//! What must hold of the lines in which the jobs of an owner wait for their turn.

use super::{Keyspace, Record, base_of, field, id_of, is_terminal, part_of};

/// What the keys of a job's line end in. `None` if nobody counts the ready jobs of its owner.
fn line_of(record: &Record) -> Option<String> {
    let share: f64 = field(record, "share").parse().ok()?;
    let owner = field(record, "owner");
    let (queue, tool) = (field(record, "queue"), field(record, "tool"));
    (share >= 1.0 && !owner.is_empty()).then(|| format!("{queue}:{tool}:{owner}"))
}

/// Whether a job waits in its owner's line.
pub(super) fn has(keys: &Keyspace, key: &str, record: &Record) -> bool {
    let line = line_of(record).map(|line| format!("{}line:{line}", base_of(key)));
    line.is_some_and(|line| keys.holds(&line, id_of(key)))
}

/// A queued job of an owner with a share is ready, or in the line, or due, and nothing of it twice; others are in neither.
pub(super) fn broken(keys: &Keyspace) -> Vec<String> {
    let mut broken = Vec::new();
    for (key, record) in &keys.records {
        let Some(line) = line_of(record) else {
            continue;
        };
        let (base, id, status) = (base_of(key), id_of(key), field(record, "status"));
        let in_line = keys.holds(&format!("{base}line:{line}"), id);
        let is_ready = keys.holds(&format!("{base}ready:{line}"), id);
        let for_slot = {
            let (queue, tool) = (field(record, "queue"), field(record, "tool"));
            keys.holds(&format!("{base}waiting:{queue}:{tool}"), id)
        };
        let comes = status == "queued" && (!field(record, "entry").is_empty() || for_slot);
        if comes != is_ready {
            broken.push(format!(
                "{key} is {status}, on the stream or waits for a slot: {comes}, in ready: {is_ready}"
            ));
        }
        if in_line && (comes || is_terminal(status) || status != "queued") {
            broken.push(format!("{key} is {status}, ready: {comes}, and in a line"));
        }
    }
    broken
}

/// What is in a line is in the queue's backlog, and the line is known, so that somebody looks after it.
pub(super) fn strays(keys: &Keyspace) -> Vec<String> {
    let mut broken = Vec::new();
    for (set, members) in keys.sets.iter().filter(|(set, _)| part_of(set) == "line") {
        let Some((base, line)) = set.split_once("line:") else {
            continue;
        };
        let Some((queue, name)) = line.split_once(':') else {
            continue;
        };
        let backlog = format!("{base}backlog:{queue}");
        for (id, _) in members.iter().filter(|(id, _)| !keys.holds(&backlog, id)) {
            broken.push(format!("{set} has {id}, and {backlog} does not"));
        }
        if !keys.holds(&format!("{base}lines:{queue}"), name) {
            broken.push(format!(
                "{set} holds {members:?}, and nobody looks after it"
            ));
        }
    }
    for (set, members) in keys
        .sets
        .iter()
        .filter(|(set, _)| part_of(set) == "backlog")
    {
        let of = set.replacen("}:backlog:", "}:line:", 1) + ":";
        let lines = keys.sets.iter().filter(|(line, _)| line.starts_with(&of));
        let held: usize = lines.map(|(_, members)| members.len()).sum();
        if held != members.len() {
            broken.push(format!(
                "{set} has {} jobs, the lines {held}",
                members.len()
            ));
        }
    }
    broken
}
