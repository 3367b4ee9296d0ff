//! Every accepted task ends once, and as it was meant to.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::history::{History, Outcome, Seen, What};
use crate::plan::{Call, Ending, Era};

/// Redis expires a record on its own clock, whose milliseconds need not begin with ours.
const CLOCKS_MS: u64 = 50;

/// What was seen of each accepted task, in order.
pub(super) fn tasks(history: &History) -> BTreeMap<&str, Vec<&Seen>> {
    let mut tasks: BTreeMap<&str, Vec<&Seen>> = BTreeMap::new();
    for seen in &history.seen {
        if !seen.task.is_empty() {
            tasks.entry(&seen.task).or_default().push(seen);
        }
    }
    tasks
}

/// When a task's record may be gone at the earliest.
fn expires_ms(all: &[&Seen]) -> Option<u64> {
    all.iter().find_map(|seen| match seen.what {
        What::Accepted { ttl_ms } => Some((seen.sent_ms + ttl_ms).saturating_sub(CLOCKS_MS)),
        _ => None,
    })
}

/// Whether a task vanished although it had not expired.
pub(crate) fn is_lost(all: &[&Seen]) -> bool {
    let expires = expires_ms(all).unwrap_or(0);
    let missing = |seen: &&&Seen| seen.what == What::Missing && seen.seen_ms < expires;
    all.iter().any(|seen| missing(&seen))
}

/// Tasks that vanished before their time, if Redis lost its data.
pub(crate) fn lost(history: &History) -> usize {
    tasks(history).values().filter(|all| is_lost(all)).count()
}

/// Every accepted task is over at the end, or has expired; none is lost unless Redis loses its data.
pub(super) fn every_task_ends(history: &History) -> Vec<Violation> {
    let mut broken = Vec::new();
    for (task, all) in tasks(history) {
        let mut report =
            |text: String| broken.push(Violation::of("every accepted task ends", task, text));
        if history.keeps_data && is_lost(&all) {
            report("it vanished before its ttl was over".to_owned());
        }
        for era in [Era::Legacy, Era::Modern] {
            match all
                .iter()
                .rev()
                .find(|seen| seen.era == era)
                .map(|seen| &seen.what)
            {
                Some(What::Ended(_) | What::Missing) => {}
                other => report(format!("at the end it is, in the {era:?} era, {other:?}")),
            }
        }
        let record = history.records.get(task);
        let status = record.and_then(|record| record.get("status"));
        if status
            .is_some_and(|status| !["completed", "failed", "cancelled"].contains(&status.as_str()))
        {
            report(format!("its record is {status:?}"));
        }
    }
    broken
}

/// A task that was over stays as it was: the same outcome at every look in either era, and nothing runs again.
pub(super) fn terminal_is_final(history: &History) -> Vec<Violation> {
    let law = "what is over stays as it is";
    let mut broken = Vec::new();
    for (task, all) in tasks(history) {
        let ended = |seen: &&&Seen| matches!(seen.what, What::Ended(_));
        let Some(first) = all.iter().filter(ended).min_by_key(|seen| seen.seen_ms) else {
            continue;
        };
        for seen in &all {
            let differs = match &seen.what {
                What::Ended(_) => seen.what != first.what,
                What::Runs { .. } => seen.sent_ms > first.seen_ms,
                _ => false,
            };
            if differs {
                let text = format!("{:?} was followed by {:?}", first.what, seen.what);
                broken.push(Violation::of(law, task, text));
            }
        }
    }
    broken
}

/// A record that is gone, by expiry or with Redis's data, is never written again.
pub(super) fn gone_is_gone(history: &History) -> Vec<Violation> {
    let law = "what is gone stays gone";
    let mut broken = Vec::new();
    for (task, all) in tasks(history) {
        let missing = all.iter().filter(|seen| seen.what == What::Missing);
        let Some(first) = missing.map(|seen| seen.seen_ms).min() else {
            continue;
        };
        let back = |seen: &&&Seen| {
            seen.sent_ms > first && matches!(seen.what, What::Runs { .. } | What::Ended(_))
        };
        if let Some(seen) = all.iter().find(back) {
            let text = format!("it was gone at {first} ms, and {:?} later", seen.what);
            broken.push(Violation::of(law, task, text));
        }
    }
    broken
}

/// A task ends as its call was planned: cancelled only if someone cancelled it, failed only if it should. So does a plain
/// call, unless the front end could not reach Redis, or that lost the job.
pub(super) fn as_planned(history: &History) -> Vec<Violation> {
    let law = "a task ends as it was meant to";
    let mut cancelled: BTreeSet<&str> = BTreeSet::new();
    let mut broken: BTreeMap<&str, Violation> = BTreeMap::new();
    for seen in &history.seen {
        let outcome = match &seen.what {
            What::Cancels => {
                cancelled.insert(&seen.label);
                continue;
            }
            What::Ended(outcome) => outcome,
            What::Answered(outcome) if !is_the_front_ends(history, outcome) => outcome,
            _ => continue,
        };
        let Some(call) = history.calls.get(&seen.label) else {
            continue;
        };
        if !fits(call, outcome, cancelled.contains(seen.label.as_str())) {
            let text = format!("{}, {:?}, ended with {outcome:?}", seen.label, call.ending);
            broken
                .entry(&seen.label)
                .or_insert_with(|| Violation::of(law, &seen.task, text));
        }
    }
    broken.into_values().collect()
}

/// Whether the answer of a plain call is the front end's own.
fn is_the_front_ends(history: &History, outcome: &Outcome) -> bool {
    let Outcome::Error(error) = outcome else {
        return false;
    };
    let text = error.get("message").and_then(|text| text.as_str());
    let says = |words: &str| text.is_some_and(|text| text.contains(words));
    match error.get("code").and_then(serde_json::Value::as_i64) {
        Some(-32603) => {
            says("the task store cannot be reached")
                || says("this server stops")
                || says("the task store is full")
                || (says("nothing is left of the call") && !history.keeps_data)
        }
        _ => false,
    }
}

fn fits(call: &Call, outcome: &Outcome, cancels: bool) -> bool {
    let says = |error: &serde_json::Value, words: &str| {
        let message = error.get("message").and_then(|message| message.as_str());
        message.is_some_and(|text| text.contains(words))
    };
    match (outcome, call.ending) {
        (Outcome::Cancelled, _) => cancels,
        (Outcome::Error(_), _) if call.plain && cancels => true,
        (Outcome::Result(result), Ending::Result | Ending::MayPoison | Ending::Once) => {
            result.get("isError").is_none()
        }
        (Outcome::Result(result), Ending::ToolError) => result.get("isError").is_some(),
        (Outcome::Error(error), Ending::RpcError) => {
            error.get("code") == Some(&serde_json::json!(-32050))
        }
        (Outcome::Error(error), Ending::Poison | Ending::MayPoison) => {
            says(error, "the crash limit of 3 is reached")
        }
        (Outcome::Error(error), Ending::Once) => says(error, "not run again"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::check;
    use crate::check::samples::{a_good_run, broken_laws, ended, result};

    #[test]
    fn a_good_run_breaks_nothing() {
        assert_eq!(check(&a_good_run()), []);
    }

    #[test]
    fn a_task_that_does_not_end_is_reported() {
        let mut history = a_good_run();
        history
            .seen
            .retain(|seen| !(seen.era == Era::Modern && matches!(seen.what, What::Ended(_))));
        assert_eq!(broken_laws(&history), ["every accepted task ends"]);
        let mut history = a_good_run();
        if let Some(record) = history.records.get_mut("t1") {
            record.insert("status".to_owned(), "working".to_owned());
        }
        assert!(broken_laws(&history).contains(&"every accepted task ends"));
    }

    #[test]
    fn a_task_that_vanishes_early_is_reported_unless_redis_lost_it() {
        let mut history = a_good_run();
        history.records.clear();
        for seen in &mut history.seen {
            if matches!(seen.what, What::Ended(_)) {
                seen.what = What::Missing;
            }
        }
        assert_eq!(broken_laws(&history), ["every accepted task ends"]);
        assert_eq!(lost(&history), 1);
        history.keeps_data = false;
        assert_eq!(check(&history), []);
        // After its ttl a task may be gone.
        history.keeps_data = true;
        for seen in &mut history.seen {
            if seen.what == What::Missing {
                seen.seen_ms = 70_000;
            }
        }
        assert_eq!(check(&history), []);
    }

    #[test]
    fn a_second_end_is_reported() {
        let mut history = a_good_run();
        history.seen.push(ended(50, Outcome::Cancelled));
        assert!(broken_laws(&history).contains(&"what is over stays as it is"));
        let mut history = a_good_run();
        history.seen.push(ended(50, result(1)));
        assert!(broken_laws(&history).contains(&"what is over stays as it is"));
    }

    #[test]
    fn what_runs_again_after_its_end_is_reported() {
        let mut history = a_good_run();
        let runs = What::Runs {
            status: "working".to_owned(),
            message: String::new(),
        };
        history.seen.insert(
            3,
            Seen {
                what: runs,
                ..ended(45, result(2))
            },
        );
        assert_eq!(broken_laws(&history), ["what is over stays as it is"]);
    }

    #[test]
    fn a_task_that_comes_back_is_reported() {
        let mut history = a_good_run();
        history.keeps_data = false;
        let gone = Seen {
            what: What::Missing,
            ..ended(35, result(2))
        };
        history.seen.insert(3, gone);
        assert_eq!(broken_laws(&history), ["what is gone stays gone"]);
    }

    #[test]
    fn an_end_that_nobody_meant_is_reported() {
        let mut history = a_good_run();
        for seen in &mut history.seen {
            if matches!(seen.what, What::Ended(_)) {
                seen.what = What::Ended(Outcome::Cancelled);
            }
        }
        assert_eq!(broken_laws(&history), ["a task ends as it was meant to"]);
    }
}
