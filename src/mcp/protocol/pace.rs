//! How often a client is asked to poll: the older a task, the less often, so that a result is noticed late by a small part
//! of the time it took.

use taskferry_contract::{Status, TaskView, local_ms};

/// The interval is the age divided by this, within the tool's bounds: a result is noticed at most 5 % of its time late.
const PART: u64 = 20;
/// Intervals are whole multiples of this, ms; from a second on, of [`COARSE`].
const FINE: u64 = 100;
const COARSE: u64 = 500;

/// The interval, ms, at this moment. The age is by this machine's clock: reading Redis's would cost every poll a command,
/// and a clock that is a second off moves the interval by 50 ms.
pub(crate) fn interval(view: &TaskView) -> u64 {
    interval_at(view, local_ms())
}

fn interval_at(view: &TaskView, now_ms: i64) -> u64 {
    let runs = matches!(view.status, Status::Queued | Status::Working);
    if !runs {
        // A person's answer may come at any moment, and a task that has ended is not polled any more.
        return view.poll_ms;
    }
    let age = u64::try_from(now_ms.saturating_sub(view.created_ms)).unwrap_or(0);
    let part = age / PART;
    let step = if part < 1_000 { FINE } else { COARSE };
    (part - part % step).min(view.poll_max_ms).max(view.poll_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::protocol::sample;

    fn view(status: Status, poll_ms: u64, poll_max_ms: u64) -> TaskView {
        TaskView {
            created_ms: 1_000_000,
            poll_ms,
            poll_max_ms,
            ..sample::view(status)
        }
    }

    fn after(seconds: i64, view: &TaskView) -> u64 {
        interval_at(view, view.created_ms + seconds * 1_000)
    }

    #[test]
    fn the_interval_grows_with_the_age_within_the_bounds() {
        let default = view(Status::Working, 1_000, 5_000);
        let ages = [-5, 0, 19, 29, 30, 67, 100, 100_000];
        let intervals = ages.map(|age| after(age, &default));
        assert_eq!(
            intervals,
            [1_000, 1_000, 1_000, 1_000, 1_500, 3_000, 5_000, 5_000]
        );
        let quick = view(Status::Queued, 50, 600);
        let intervals = [0, 1, 2, 5, 11, 60].map(|age| after(age, &quick));
        assert_eq!(intervals, [50, 50, 100, 200, 500, 600]);
    }

    #[test]
    fn it_is_never_more_than_a_twentieth_of_the_age_nor_below_the_minimum() {
        let task = view(Status::Working, 250, 60_000);
        let mut last = 0;
        for seconds in 0..2_000 {
            let interval = after(seconds, &task);
            assert!(interval >= 250 && interval >= last);
            let allowed = u64::try_from(seconds).unwrap() * 50;
            assert!(interval <= allowed.max(250), "{interval} after {seconds} s");
            last = interval;
        }
    }

    #[test]
    fn a_maximum_below_the_minimum_means_nothing() {
        assert_eq!(after(1_000, &view(Status::Working, 2_000, 0)), 2_000);
    }

    #[test]
    fn a_question_and_an_end_are_not_waited_for_longer_and_longer() {
        for status in [Status::InputRequired, Status::Completed, Status::Failed] {
            assert_eq!(after(1_000, &view(status, 200, 5_000)), 200);
        }
    }
}
