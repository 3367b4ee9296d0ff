//! How a worker's slots are shared out among its queues: what manifest and program say of them, held against what there is.

use std::collections::BTreeMap;

use taskferry_contract::QueueName;

use crate::core::queue_slots::QueueSlots;
use crate::manifest::near::hint;
use crate::manifest::{MOST_WEIGHT, QUEUE_SLOTS, QueueShare};

/// What is said of queues, by their names.
#[derive(Debug, Default)]
pub(super) struct QueueTable(BTreeMap<String, QueueShare>);

impl QueueTable {
    /// Sets what a queue has, over what was said of it before.
    pub(super) fn set(&mut self, queue: &str, share: QueueShare) {
        self.0.insert(queue.to_owned(), share);
    }

    /// What can never be, for a worker with these queues.
    pub(super) fn refused(&self, queues: &[QueueName]) -> Vec<String> {
        let names: Vec<&str> = queues.iter().map(QueueName::as_str).collect();
        let of = |(name, share): (&String, &QueueShare)| {
            let QueueShare { weight, slots } = *share;
            let weighs = (1..=MOST_WEIGHT).contains(&weight);
            let fits = slots.is_none_or(|slots| QUEUE_SLOTS.contains(&slots));
            let most = QUEUE_SLOTS.end();
            let is_one = names.contains(&name.as_str());
            let stranger = || {
                let hint = hint(name, names.iter().copied());
                format!("[queues] {name}: no tool of this worker is on that queue{hint}")
            };
            [
                (!weighs)
                    .then(|| format!("[queues] {name}: weight must be from 1 to {MOST_WEIGHT}")),
                (!fits).then(|| format!("[queues] {name}: slots must be from 1 to {most}")),
                (!is_one).then(stranger),
            ]
        };
        self.0.iter().flat_map(of).flatten().collect()
    }

    /// What may not be as its author thinks, for a worker with these queues and so many slots.
    pub(super) fn warnings(&self, queues: &[QueueName], slots: usize) -> Vec<String> {
        let bound = |queue: &QueueName| self.bound(queue.as_str());
        let vain: Vec<&str> = queues
            .iter()
            .filter(|queue| bound(queue).is_some_and(|bound| bound > slots))
            .map(QueueName::as_str)
            .collect();
        let vain = (!vain.is_empty()).then(|| {
            format!(
                "slots is {slots}, and [queues] bounds {} to more than that, which bounds nothing here: lower it, or raise slots",
                vain.join(", ")
            )
        });
        let all: Option<usize> = queues.iter().map(bound).sum();
        let idle = all.filter(|all| *all < slots).map(|all| {
            format!(
                "slots is {slots}, and [queues] bounds every queue of this worker, to {all} slots together: {} are never used. Raise a bound, take one away, or lower slots",
                slots - all
            )
        });
        [vain, idle].into_iter().flatten().collect()
    }

    /// In words, for whoever checks a worker with these queues and so many slots. `None` if nothing is said of any.
    pub(super) fn sentence(&self, queues: &[QueueName], slots: usize) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let all: u32 = queues.iter().map(|queue| self.weight(queue)).sum();
        let mut each: Vec<String> = queues
            .iter()
            .map(|queue| {
                let bound = self.bound(queue.as_str()).filter(|bound| *bound < slots);
                let bound = bound.map(|bound| format!(" and at most {bound} of {slots} slots"));
                let bound = bound.unwrap_or_default();
                format!("{queue} has {} of {all} turns{bound}", self.weight(queue))
            })
            .collect();
        each.sort_unstable();
        Some(each.join(", "))
    }

    pub(super) fn weights(&self, queues: &[QueueName]) -> BTreeMap<QueueName, u32> {
        let weights = queues
            .iter()
            .map(|queue| (queue.clone(), self.weight(queue)));
        weights.collect()
    }

    pub(super) fn bounds(&self, queues: &[QueueName]) -> QueueSlots {
        QueueSlots::new(queues.iter().filter_map(|queue| {
            let bound = self.bound(queue.as_str())?;
            Some((queue.clone(), bound))
        }))
    }

    fn weight(&self, queue: &QueueName) -> u32 {
        let share = self.0.get(queue.as_str()).copied();
        share.unwrap_or_default().weight
    }

    fn bound(&self, queue: &str) -> Option<usize> {
        let bound = self.0.get(queue)?.slots?;
        usize::try_from(bound).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::MOST_SLOTS;

    fn table(queues: &[(&str, u32, Option<u32>)]) -> QueueTable {
        let mut table = QueueTable::default();
        for (queue, weight, slots) in queues {
            let (weight, slots) = (*weight, *slots);
            table.set(queue, QueueShare { weight, slots });
        }
        table
    }

    fn queues(names: &[&str]) -> Vec<QueueName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn a_queue_may_have_as_many_slots_as_a_worker() {
        assert_eq!(usize::try_from(*QUEUE_SLOTS.end()).unwrap(), MOST_SLOTS);
    }

    #[test]
    fn what_cannot_be_is_refused_and_a_slip_is_named() {
        let known = queues(&["default", "urgent"]);
        assert_eq!(
            table(&[("urgent", 100, Some(1024))]).refused(&known),
            [""; 0]
        );
        let wrong = table(&[
            ("urgnt", 1, None),
            ("default", 0, Some(0)),
            ("far", 101, None),
        ]);
        assert_eq!(
            wrong.refused(&known),
            [
                "[queues] default: weight must be from 1 to 100",
                "[queues] default: slots must be from 1 to 1024",
                "[queues] far: weight must be from 1 to 100",
                "[queues] far: no tool of this worker is on that queue",
                "[queues] urgnt: no tool of this worker is on that queue; did you mean `urgent`?",
            ]
        );
    }

    #[test]
    fn bounds_that_bound_nothing_or_leave_slots_unused_are_warned_of() {
        let all = queues(&["a", "b"]);
        for (bounds, slots, told) in [
            (&[("a", 1, Some(2))][..], 2, None),
            (&[("a", 1, Some(3))], 2, Some("bounds a to more than that")),
            (&[("a", 1, Some(1)), ("b", 1, Some(3))], 4, None),
            (
                &[("a", 1, Some(1)), ("b", 1, Some(3))],
                6,
                Some("to 4 slots together: 2 are never used"),
            ),
            (&[("b", 1, Some(3))], 6, None),
        ] {
            let warnings = table(bounds).warnings(&all, slots);
            assert_eq!(warnings.len(), usize::from(told.is_some()), "{warnings:?}");
            let told = told.unwrap_or_default();
            assert!(
                warnings.iter().all(|line| line.contains(told)),
                "{warnings:?}"
            );
        }
    }

    #[test]
    fn what_each_queue_has_is_told_in_words() {
        let all = queues(&["urgent", "heavy"]);
        assert_eq!(table(&[]).sentence(&all, 8), None);
        let told = table(&[("urgent", 8, Some(9)), ("heavy", 1, Some(2))]).sentence(&all, 8);
        assert_eq!(
            told.unwrap(),
            "heavy has 1 of 9 turns and at most 2 of 8 slots, urgent has 8 of 9 turns"
        );
    }
}
