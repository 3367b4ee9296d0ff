//! What must hold of the beginnings that are counted for the rates of tools.

use super::{Keyspace, Record, field, is_terminal, part_of};

/// How many may begin in how many ms.
fn rate_of(record: &Record) -> Option<(usize, i64)> {
    let rate = field(record, "rate");
    let (count, window) = rate.split(' ').next()?.split_once('/')?;
    Some((count.parse().ok()?, window.parse().ok()?))
}

/// In no window more attempts began than the rate says, where all jobs of a tool have the same; no attempt began that a record
/// does not know; what is booked is queued, and never began.
pub(super) fn broken(keys: &Keyspace) -> Vec<String> {
    let mut broken = Vec::new();
    for (set, members) in &keys.sets {
        let (part, Some((base, _))) = (part_of(set), set.split_once("}:")) else {
            continue;
        };
        let record_of = |id: &str| keys.records.get(&format!("{base}}}:task:{id}"));
        match part {
            "begun" => {
                for (member, _) in members {
                    let named = member.rsplit_once(':');
                    let attempt = |record: &Record| field(record, "attempt").parse().ok();
                    let began = named.and_then(|(_, attempt)| attempt.parse::<u64>().ok());
                    let known = named.and_then(|(id, _)| record_of(id)).map(attempt);
                    if known.is_some_and(|known: Option<u64>| known < began) {
                        broken.push(format!("{set} has {member}, which never began"));
                    }
                }
                broken.extend(beyond(keys, set, members));
            }
            "booked" => {
                let begun = |record: &Record| field(record, "attempt") != "0";
                let ended = |record: &Record| is_terminal(field(record, "status"));
                for (id, _) in members {
                    if record_of(id).is_some_and(|record| begun(record) || ended(record)) {
                        broken.push(format!("{set} has {id}, which began or has ended"));
                    }
                }
            }
            _ => {}
        }
    }
    broken
}

fn beyond(keys: &Keyspace, set: &str, members: &[(String, i64)]) -> Option<String> {
    let of_tool = |key: &str, record: &Record| {
        let (queue, tool) = (field(record, "queue"), field(record, "tool"));
        let base = super::base_of(key);
        format!("{base}begun:{queue}:{tool}") == set
    };
    let of_tool = keys
        .records
        .iter()
        .filter(|(key, record)| of_tool(key, record));
    let mut rates: Vec<_> = of_tool.filter_map(|(_, record)| rate_of(record)).collect();
    rates.dedup();
    let [(count, window)] = rates.as_slice() else {
        return None;
    };
    let mut times: Vec<i64> = members.iter().map(|(_, at)| *at).collect();
    times.sort_unstable();
    let mut pairs = times.iter().zip(times.iter().skip(*count));
    pairs
        .any(|(first, last)| last - first <= *window)
        .then(|| format!("{set} has more than {count} in {window} ms: {members:?}"))
}
