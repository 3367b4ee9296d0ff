//! What ends a process: the harness, or a job that is there to do it. Nothing else.

use std::collections::BTreeSet;

use super::Violation;
use crate::history::{End, History};

/// Signals by which processes end (signal(7)).
const ABORT: i32 = 6;
const KILL: i32 = 9;
const TERMINATE: i32 = 15;

pub(super) fn panics(history: &History) -> Vec<Violation> {
    let said = history.panics.iter();
    said.map(|text| Violation::of("no process panics", "", text))
        .collect()
}

/// A process ends as it was made to end: at once if it was killed, well if it was told to stop, by abort if a job wrote
/// that it is about to do that.
pub(super) fn ends(history: &History) -> Vec<Violation> {
    let crashes = history.lines.iter().filter(|line| line.event == "crash");
    let crashed: BTreeSet<&str> = crashes.map(|line| line.worker.as_str()).collect();
    let mut broken = Vec::new();
    for end in &history.ends {
        if end.overdue {
            let text = format!("{end:?}");
            broken.push(Violation::of("what is told to stop stops", "", text));
        }
        if !is_explained(end, &crashed) {
            broken.push(Violation::of(
                "no process ends by itself",
                "",
                format!("{end:?}"),
            ));
        }
    }
    broken
}

/// No job is taken from a worker that nothing ended or stopped.
pub(super) fn none_that_lives_loses_a_job(history: &History) -> Vec<Violation> {
    let law = "no worker that lives loses a job";
    let taken = history.taken_over.iter();
    taken.map(|text| Violation::of(law, "", text)).collect()
}

fn is_explained(end: &End, crashed: &BTreeSet<&str>) -> bool {
    match (end.code, end.signal) {
        (Some(0), _) => end.told > 0,
        // A second signal does not wait for what still runs.
        (Some(1), _) => end.told > 1,
        (_, Some(KILL)) => end.killed,
        // So early it does not catch the signal yet.
        (_, Some(TERMINATE)) => end.told > 0 && !end.served,
        (_, Some(ABORT)) => crashed.contains(format!("pid {}", end.pid).as_str()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::samples::{a_good_run, broken_laws, line};

    fn end(code: Option<i32>, signal: Option<i32>) -> End {
        End {
            name: "worker-0.1".to_owned(),
            pid: 1,
            code,
            signal,
            served: true,
            told: 0,
            killed: false,
            overdue: false,
        }
    }

    fn laws(end: End) -> Vec<&'static str> {
        let mut history = a_good_run();
        history.ends.push(end);
        broken_laws(&history)
    }

    #[test]
    fn a_panic_is_reported() {
        let mut history = a_good_run();
        history.panics.push("replica-1.1: panicked".to_owned());
        assert_eq!(broken_laws(&history), ["no process panics"]);
    }

    #[test]
    fn a_job_that_is_taken_from_a_worker_that_lives_is_reported() {
        let mut history = a_good_run();
        let line = "replica-1.1: INFO attempt: taken over task=t1 from=host-5c31f0d2";
        history.taken_over.push(line.to_owned());
        assert_eq!(broken_laws(&history), ["no worker that lives loses a job"]);
    }

    #[test]
    fn a_process_that_ends_by_itself_is_reported() {
        // Exits of its own, abort, the kernel's kill for want of memory, a segmentation fault.
        let by_itself = [(0, 0), (1, 0), (0, ABORT), (0, KILL), (0, 11)];
        for (code, signal) in by_itself {
            let signal = (signal > 0).then_some(signal);
            let code = signal.is_none().then_some(code);
            let law = ["no process ends by itself"];
            assert_eq!(laws(end(code, signal)), law, "{code:?} {signal:?}");
        }
    }

    #[test]
    fn an_end_that_was_made_is_not_and_a_bad_one_after_it_is() {
        let told = |code, signal| End {
            told: 1,
            ..end(code, signal)
        };
        assert!(laws(told(Some(0), None)).is_empty());
        assert_eq!(laws(told(Some(1), None)), ["no process ends by itself"]);
        let twice = End {
            told: 2,
            ..end(Some(1), None)
        };
        assert!(laws(twice).is_empty());
        let late = laws(told(None, Some(TERMINATE)));
        assert_eq!(late, ["no process ends by itself"]);
        let early = End {
            served: false,
            ..told(None, Some(TERMINATE))
        };
        assert!(laws(early).is_empty());
        let killed = |signal| End {
            killed: true,
            ..end(None, Some(signal))
        };
        assert!(laws(killed(KILL)).is_empty());
        assert_eq!(laws(killed(11)), ["no process ends by itself"]);
        let stuck = End {
            overdue: true,
            told: 1,
            ..killed(KILL)
        };
        assert_eq!(laws(stuck), ["what is told to stop stops"]);
    }

    #[test]
    fn an_abort_is_explained_by_the_job_that_wrote_it_down() {
        let mut history = a_good_run();
        history.ends.push(end(None, Some(ABORT)));
        history.lines.insert(1, line("crash", 1));
        assert!(broken_laws(&history).is_empty());
        history.ends.push(End {
            pid: 2,
            ..end(None, Some(ABORT))
        });
        assert_eq!(broken_laws(&history), ["no process ends by itself"]);
    }
}
