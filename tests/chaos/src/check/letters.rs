//! Dead letters: each bad entry and each poisonous job exactly once, and nothing else.

use std::collections::BTreeSet;

use super::Violation;
use crate::history::{DeadLetter, History};

const LAW: &str = "a dead letter for each that deserves one";

/// Redis that loses its data loses dead letters too; then none may be there twice.
pub(super) fn dead_letters(history: &History) -> Vec<Violation> {
    let mut broken = Vec::new();
    for entry in &history.injected {
        let found = history
            .dead
            .iter()
            .filter(|letter| letter.tool == entry.tool)
            .count();
        let most = usize::from(entry.buried);
        let least = usize::from(entry.buried && entry.certain && history.keeps_data);
        if !(least..=most).contains(&found) {
            let text = format!("{entry:?} has {found} dead letters, not {least} to {most}");
            broken.push(Violation::of(LAW, "", text));
        }
    }
    broken.extend(without_a_record(history));
    for (task, record) in &history.records {
        let letters: Vec<&DeadLetter> = history
            .dead
            .iter()
            .filter(|letter| letter.id == *task)
            .collect();
        let poisoned = record.get("error").is_some_and(|error| {
            error.contains("the crash limit") || error.contains("not run again")
        });
        let expected = usize::from(poisoned);
        if letters.len() != expected {
            let text = format!("it should have {expected} dead letters and has {letters:?}");
            broken.push(Violation::of(LAW, task, text));
        }
    }
    broken
}

/// Letters of jobs whose record is gone, as that of a plain call is soon: such a job was one that may end so, and has one
/// letter.
fn without_a_record(history: &History) -> Vec<Violation> {
    let mut met = BTreeSet::new();
    let mut broken = Vec::new();
    for letter in &history.dead {
        let ours = history
            .injected
            .iter()
            .any(|entry| entry.tool == letter.tool);
        if ours || history.records.contains_key(&letter.id) {
            continue;
        }
        let may = ["crasher", "once"].contains(&letter.tool.as_str())
            && ["crash limit", "not run again"]
                .iter()
                .any(|reason| letter.reason.contains(reason));
        if !may || !met.insert(&letter.id) {
            let text = format!("nothing explains {letter:?}");
            broken.push(Violation::of(LAW, &letter.id, text));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::samples::{a_good_run, broken_laws};
    use crate::history::Injected;

    fn letter(id: &str, tool: &str) -> DeadLetter {
        DeadLetter {
            id: id.to_owned(),
            tool: tool.to_owned(),
            reason: "unreadable".to_owned(),
            attempts: "0".to_owned(),
        }
    }

    #[test]
    fn a_bad_entry_that_is_not_buried_exactly_once_is_reported() {
        let mut history = a_good_run();
        history.injected.push(Injected {
            tool: "bad-1".to_owned(),
            buried: true,
            certain: true,
        });
        assert_eq!(broken_laws(&history), [LAW]);
        history.dead.push(letter("", "bad-1"));
        assert!(broken_laws(&history).is_empty());
        history.dead.push(letter("", "bad-1"));
        assert_eq!(broken_laws(&history), [LAW]);
    }

    #[test]
    fn the_letter_of_a_job_that_is_gone_is_reported_unless_it_may_be_there() {
        let gone = |tool: &str, reason: &str| DeadLetter {
            reason: reason.to_owned(),
            ..letter("t9", tool)
        };
        let with = |letters: Vec<DeadLetter>| {
            let mut history = a_good_run();
            history.dead = letters;
            broken_laws(&history)
        };
        assert!(with(vec![gone("crasher", "crash limit")]).is_empty());
        let twice = vec![gone("crasher", "crash limit"); 2];
        assert_eq!(with(twice), [LAW]);
        assert_eq!(with(vec![gone("work", "crash limit")]), [LAW]);
        assert_eq!(with(vec![gone("crasher", "unreadable")]), [LAW]);
    }

    #[test]
    fn a_job_that_is_buried_without_reason_or_not_at_all_is_reported() {
        let mut history = a_good_run();
        history.dead.push(letter("t1", "work"));
        assert_eq!(broken_laws(&history), [LAW]);
        let mut history = a_good_run();
        if let Some(record) = history.records.get_mut("t1") {
            record.remove("result");
            record.insert(
                "error".to_owned(),
                "the crash limit of 3 is reached".to_owned(),
            );
        }
        assert!(broken_laws(&history).contains(&LAW));
    }
}
