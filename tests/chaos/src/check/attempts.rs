//! Attempts: their numbers, and which of them a result is of.
//!
//! The number is given by `claim`, and a handler notes its start some time later: a worker that is frozen in between
//! notes it after a later attempt has begun. So the order of these notes proves nothing, but a number that two of them
//! carry does, and so does a result of an attempt after which another was claimed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Violation;
use crate::history::{History, Line, Outcome, Record, Seen, What};
use crate::plan::Ending;

/// No two attempts of a task have the same number, and none ends that did not begin.
pub(super) fn numbers_are_used_once(history: &History) -> Vec<Violation> {
    let law = "an attempt's number is used once";
    let mut broken = Vec::new();
    let mut starts: BTreeMap<(&str, u64), &Line> = BTreeMap::new();
    for line in &history.lines {
        let key = (line.task.as_str(), line.attempt);
        if line.event == "start" {
            if let Some(first) = starts.insert(key, line) {
                let text = format!(
                    "attempt {} was begun by {} and by {}",
                    line.attempt, first.worker, line.worker
                );
                broken.push(Violation::of(law, &line.task, text));
            }
        } else if !starts.contains_key(&key) {
            let text = format!(
                "attempt {} wrote {} without a start",
                line.attempt, line.event
            );
            broken.push(Violation::of(law, &line.task, text));
        }
    }
    for (task, record) in &history.records {
        let claimed = number(record, "attempt");
        for line in history
            .lines
            .iter()
            .filter(|line| line.task == *task && line.attempt > claimed)
        {
            let text = format!(
                "attempt {} began and the record counts {claimed}",
                line.attempt
            );
            broken.push(Violation::of(law, task, text));
        }
    }
    broken
}

/// A job of a tool that may be run only once was begun once at most, whatever became of its worker.
pub(super) fn begun_at_most_once(history: &History) -> Vec<Violation> {
    let law = "what may run once begins once at most";
    let once = |line: &&Line| {
        let call = history.calls.get(&line.label);
        line.event == "start" && call.is_some_and(|call| call.ending == Ending::Once)
    };
    let mut begun: BTreeMap<&str, u64> = BTreeMap::new();
    let mut broken = Vec::new();
    for line in history.lines.iter().filter(once) {
        if let Some(first) = begun.insert(&line.task, line.attempt) {
            let text = format!("attempt {} began after attempt {first}", line.attempt);
            broken.push(Violation::of(law, &line.task, text));
        }
    }
    broken
}

/// A call that is made again under its idempotency key is answered with the task that it made, and runs as that alone.
/// Redis that loses its data forgets keys.
pub(super) fn a_key_stands_for_one_task(history: &History) -> Vec<Violation> {
    let law = "a key stands for one task";
    let keyed = |label: &str| history.calls.get(label).is_some_and(|call| call.keyed);
    let accepted = history.seen.iter().filter_map(|seen| match seen.what {
        What::Accepted { .. } => Some((seen.label.as_str(), seen.task.as_str())),
        _ => None,
    });
    let begun = history
        .lines
        .iter()
        .map(|line| (line.label.as_str(), line.task.as_str()));
    let mut tasks: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (label, task) in accepted.chain(begun).filter(|(label, _)| keyed(label)) {
        tasks.entry(label).or_default().insert(task);
    }
    let several = |(label, tasks): (&str, BTreeSet<&str>)| {
        let text = format!("{label} made {tasks:?}");
        (history.keeps_data && tasks.len() > 1).then(|| Violation::of(law, "", text))
    };
    tasks.into_iter().filter_map(several).collect()
}

/// A result was written by an attempt that ran to its end, and after which no other was claimed.
pub(super) fn results_are_of_the_last_attempt(history: &History) -> Vec<Violation> {
    let mut broken = Vec::new();
    for (task, record) in &history.records {
        let text = ["result", "error"]
            .into_iter()
            .find_map(|field| record.get(field));
        let stored: Option<Value> = text.and_then(|text| serde_json::from_str(text).ok());
        if let Some(stored) = stored.and_then(|outcome| written(&outcome)) {
            let claimed = number(record, "attempt");
            broken.extend(judge(history, task, &stored, Some(claimed)));
        }
    }
    let answers = history
        .seen
        .iter()
        .filter_map(|seen| Some((seen, written_of(seen)?)));
    for (seen, stored) in answers {
        let task = if seen.task.is_empty() {
            text(&stored, "task")
        } else {
            &seen.task
        };
        broken.extend(judge(history, task, &stored, None));
        if text(&stored, "label") != seen.label {
            let law = "a caller gets its own result";
            broken.push(Violation::of(
                law,
                task,
                format!("{} got {stored}", seen.label),
            ));
        }
    }
    broken
}

fn judge(history: &History, task: &str, stored: &Value, claimed: Option<u64>) -> Option<Violation> {
    let law = "a result is of the last attempt";
    let attempt = stored
        .get("attempt")
        .and_then(Value::as_u64)
        .unwrap_or_default();
    let of_task = || history.lines.iter().filter(|line| line.task == task);
    let text = if text(stored, "task") != task {
        format!("it has the result of {stored}")
    } else if claimed.is_some_and(|claimed| claimed != attempt) {
        format!(
            "its result is of attempt {attempt}; {} was claimed after it",
            claimed.unwrap_or_default()
        )
    } else if let Some(later) = of_task().find(|line| line.attempt > attempt) {
        format!(
            "its result is of attempt {attempt}; {} began, too",
            later.attempt
        )
    } else if !of_task().any(|line| line.event == "end" && line.attempt == attempt) {
        format!("its result is of attempt {attempt}, which did not run to its end")
    } else {
        return None;
    };
    Some(Violation::of(law, task, text))
}

/// What a handler wrote into an answer that a producer got.
fn written_of(seen: &Seen) -> Option<Value> {
    match &seen.what {
        What::Ended(Outcome::Result(value) | Outcome::Error(value))
        | What::Answered(Outcome::Result(value) | Outcome::Error(value)) => written(value),
        _ => None,
    }
}

/// What a handler wrote into a result or an error: an object that names task and attempt.
fn written(outcome: &Value) -> Option<Value> {
    let structured = outcome.get("structuredContent").cloned();
    structured.or_else(|| {
        let text = outcome
            .pointer("/content/0/text")
            .or_else(|| outcome.get("message"))?;
        serde_json::from_str::<Value>(text.as_str()?)
            .ok()
            .filter(Value::is_object)
    })
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(record: &Record, name: &str) -> u64 {
    record
        .get(name)
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::samples::{a_good_run, broken_laws, ended, line, result};

    #[test]
    fn a_number_that_two_attempts_have_is_reported() {
        let mut history = a_good_run();
        history.lines.insert(1, line("start", 1));
        assert_eq!(broken_laws(&history), ["an attempt's number is used once"]);
        let mut history = a_good_run();
        history.lines.retain(|line| line.attempt != 1);
        history.lines.push(line("retry", 1));
        assert_eq!(broken_laws(&history), ["an attempt's number is used once"]);
    }

    #[test]
    fn a_job_that_may_run_once_and_begins_again_is_reported() {
        let mut history = a_good_run();
        for call in history.calls.values_mut() {
            call.ending = Ending::Once;
        }
        let law = "what may run once begins once at most";
        assert_eq!(broken_laws(&history), [law]);
        // One that was claimed and given back before it began is begun by a later attempt.
        history.lines.retain(|line| line.attempt == 2);
        assert!(broken_laws(&history).is_empty());
    }

    #[test]
    fn a_key_that_made_two_tasks_is_reported() {
        let law = "a key stands for one task";
        let keyed = |keyed| {
            let mut history = a_good_run();
            for call in history.calls.values_mut() {
                call.keyed = keyed;
            }
            history.lines.push(Line {
                task: "t2".to_owned(),
                ..line("start", 1)
            });
            history
        };
        assert!(broken_laws(&keyed(false)).is_empty());
        assert_eq!(broken_laws(&keyed(true)), [law]);
        let mut history = keyed(true);
        history.keeps_data = false;
        assert!(broken_laws(&history).is_empty());
    }

    #[test]
    fn the_result_of_an_attempt_that_was_overtaken_is_reported() {
        let mut history = a_good_run();
        history.lines.push(line("start", 3));
        assert!(broken_laws(&history).contains(&"a result is of the last attempt"));
        // Claimed by a worker that died before its handler began.
        let mut history = a_good_run();
        if let Some(record) = history.records.get_mut("t1") {
            record.insert("attempt".to_owned(), "3".to_owned());
        }
        assert_eq!(broken_laws(&history), ["a result is of the last attempt"]);
    }

    #[test]
    fn a_result_that_no_attempt_wrote_is_reported() {
        let mut history = a_good_run();
        history.lines.retain(|line| line.event != "end");
        assert_eq!(broken_laws(&history), ["a result is of the last attempt"]);
    }

    #[test]
    fn the_answer_of_a_plain_call_is_held_to_the_same() {
        let mut history = a_good_run();
        let plain = Seen {
            task: String::new(),
            what: What::Answered(result(1)),
            ..ended(45, result(1))
        };
        history.seen.push(plain.clone());
        assert_eq!(broken_laws(&history), ["a result is of the last attempt"]);
        let mut history = a_good_run();
        history.seen.push(Seen {
            label: "p0-2".to_owned(),
            what: What::Answered(result(2)),
            ..plain
        });
        assert_eq!(broken_laws(&history), ["a caller gets its own result"]);
    }
}
