//! What an attempt tells is not shown after what a later one told.

use std::collections::BTreeMap;

use super::Violation;
use super::ends::tasks;
use crate::history::{History, Seen, What};

/// The attempt that wrote a message, if one of ours did.
fn attempt(seen: &Seen) -> Option<u64> {
    let What::Runs { message, .. } = &seen.what else {
        return None;
    };
    message
        .strip_prefix("attempt ")?
        .split(' ')
        .next()?
        .parse()
        .ok()
}

/// Once a look showed a message of an attempt, no look that began afterwards shows one of an earlier attempt.
pub(super) fn messages_never_go_back(history: &History) -> Vec<Violation> {
    let law = "a stale attempt tells nothing";
    let mut broken = Vec::new();
    for (task, all) in tasks(history) {
        // By the time at which they were known: the highest attempt so far.
        let mut known: BTreeMap<u64, u64> = BTreeMap::new();
        let mut highest = 0;
        let mut by_end: Vec<(&Seen, u64)> = all
            .iter()
            .filter_map(|seen| Some((*seen, attempt(seen)?)))
            .collect();
        by_end.sort_by_key(|(seen, _)| seen.seen_ms);
        for (seen, attempt) in &by_end {
            highest = highest.max(*attempt);
            known.insert(seen.seen_ms, highest);
        }
        for (seen, attempt) in by_end {
            let before = known.range(..seen.sent_ms).next_back();
            if before.is_some_and(|(_, highest)| *highest > attempt) {
                let text = format!(
                    "{:?} at {} ms after a later attempt was heard",
                    seen.what, seen.sent_ms
                );
                broken.push(Violation::of(law, task, text));
            }
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::samples::{a_good_run, broken_laws, runs};

    #[test]
    fn a_message_of_an_earlier_attempt_is_reported() {
        let mut history = a_good_run();
        history.seen.insert(3, runs(35, "attempt 1 step 2"));
        assert_eq!(broken_laws(&history), ["a stale attempt tells nothing"]);
    }

    #[test]
    fn two_looks_at_the_same_time_prove_nothing() {
        let mut history = a_good_run();
        let slow = Seen {
            sent_ms: 25,
            seen_ms: 36,
            ..runs(35, "attempt 1 step 2")
        };
        history.seen.insert(3, slow);
        assert!(broken_laws(&history).is_empty());
    }
}
