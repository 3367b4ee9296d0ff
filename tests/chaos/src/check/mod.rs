//! The checker: laws over what was seen, what the handlers noted, and what Redis holds at the end.

mod attempts;
mod ends;
mod letters;
mod order;
mod processes;
mod refusals;
#[cfg(test)]
mod samples;

use crate::history::{History, What};

pub(crate) use ends::lost;

/// A broken law.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) law: &'static str,
    /// The task, or nothing.
    pub(crate) task: String,
    pub(crate) text: String,
}

impl Violation {
    fn of(law: &'static str, task: &str, text: impl Into<String>) -> Self {
        Self {
            law,
            task: task.to_owned(),
            text: text.into(),
        }
    }
}

/// Every broken law.
pub(crate) fn check(history: &History) -> Vec<Violation> {
    let laws: [fn(&History) -> Vec<Violation>; 18] = [
        sense,
        ends::every_task_ends,
        ends::terminal_is_final,
        ends::gone_is_gone,
        ends::as_planned,
        attempts::numbers_are_used_once,
        attempts::results_are_of_the_last_attempt,
        order::messages_never_go_back,
        letters::dead_letters,
        keys,
        attempts::begun_at_most_once,
        attempts::a_key_stands_for_one_task,
        refusals::refusals_are_explained,
        refusals::something_is_served,
        refusals::every_replica_serves_again,
        processes::panics,
        processes::ends,
        processes::none_that_lives_loses_a_job,
    ];
    laws.iter().flat_map(|law| law(history)).collect()
}

fn sense(history: &History) -> Vec<Violation> {
    let absurd = history.seen.iter().filter_map(|seen| match &seen.what {
        What::Absurd(text) => Some(Violation::of("answers make sense", &seen.task, text)),
        _ => None,
    });
    absurd.collect()
}

fn keys(history: &History) -> Vec<Violation> {
    let broken = history.invariants.iter();
    broken
        .map(|text| Violation::of("keys, streams and indexes", "", text))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::samples::{a_good_run, broken_laws};
    use super::*;

    #[test]
    fn answers_without_sense_and_broken_keys_are_reported() {
        let mut history = a_good_run();
        if let Some(first) = history.seen.get(1).cloned() {
            let what = What::Absurd("neither a task nor an error".to_owned());
            history
                .seen
                .insert(2, crate::history::Seen { what, ..first });
        }
        assert_eq!(broken_laws(&history), ["answers make sense"]);
        let mut history = a_good_run();
        history.invariants.push("tf:{0}:x never expires".to_owned());
        assert_eq!(broken_laws(&history), ["keys, streams and indexes"]);
    }
}
