//! How a task stands, in words. Both eras, the built-in tools and every notification use these.

use std::borrow::Cow;
use std::fmt::Write as _;

use taskferry_contract::{Again, Pause, Served, Status, TaskView, Waits, WaitsFor, cut};

use taskferry_process::settings::format_duration;

use crate::mcp::protocol::amount::{amount, has_figures};
use crate::mcp::protocol::time::timestamp;

/// How much of an attempt's message, or of why it failed, is repeated while the job waits for another attempt, bytes.
const TOLD_BEFORE: usize = 512;

/// The status message of a task: what it waits for, why and since when; else the worker's last message with its progress;
/// else what its status means.
pub(crate) fn message(view: &TaskView) -> Cow<'_, str> {
    match view.status {
        Status::Queued => waiting(view, view.served, view.ahead).into(),
        Status::Working => attempt_message(view).unwrap_or("The task is being worked on.".into()),
        status => match (&view.message, status) {
            (Some(message), _) => message.as_str(),
            (None, Status::InputRequired) => "The task waits for your input.",
            (None, Status::Completed) => "The task is complete.",
            (None, Status::Failed) => "The task failed.",
            (None, _) => "The task was cancelled.",
        }
        .into(),
    }
}

/// The part of a task's message whose change is worth a notification: not the progress alone, nor how many go first, nor that it
/// waits for a worker as every task does at first.
pub(crate) fn news(view: &TaskView) -> Option<String> {
    if view.status != Status::Queued {
        return view.message.clone();
    }
    let unserved = view.served.filter(|served| served.able == 0);
    let is_news = view.waits.is_some() || unserved.is_some() || view.paused.is_some();
    is_news.then(|| waiting(view, unserved, None))
}

/// The message of the attempt that runs, or ran last, with its progress unless the text has all the numbers.
fn attempt_message(view: &TaskView) -> Option<Cow<'_, str>> {
    let figures = amount(view.progress.as_deref(), view.total.as_deref());
    match (&view.message, figures) {
        (Some(text), Some(figures)) if has_figures(text, &figures) => Some(text.into()),
        (Some(text), Some(figures)) => Some(format!("{text} ({figures})").into()),
        (Some(text), None) => Some(text.into()),
        (None, figures) => figures.map(Cow::from),
    }
}

fn waiting(view: &TaskView, served: Option<Served>, ahead: Option<u64>) -> String {
    let waits = view.waits.unwrap_or(Waits {
        what: WaitsFor::Worker,
        since_ms: view.updated_ms,
        again: None,
        due_ms: None,
        turn_ms: None,
    });
    let since = timestamp(waits.since_ms);
    let returned = waits.again == Some(Again::Returned);
    // Its time comes first.
    let paused = view.paused.as_ref();
    let paused = paused.filter(|_| waits.what != WaitsFor::Time);
    if let (true, Some(why), None) = (returned, &view.message, paused) {
        return format!("{} (the task has waited since {since})", sentence(why));
    }
    let mut text = format!("The task waits{} since {since}", for_what(waits, paused));
    if let Some(pause) = paused {
        text.push_str(&who_paused(pause));
    }
    match (waits.what, view.limit, waits.due_ms, served) {
        _ if paused.is_some() => {}
        (WaitsFor::Slot, Some(limit), ..) => {
            let jobs = if limit == 1 { "job" } else { "jobs" };
            // Writing to a string never fails.
            let _infallible = write!(text, "; at most {limit} {jobs} of {} at a time", view.tool);
        }
        (WaitsFor::Rate, ..) => text.push_str(&which_rate(view, waits.turn_ms)),
        (WaitsFor::Turn, ..) => text.push_str(&who_goes_first(view, ahead)),
        (WaitsFor::Time, _, _, Some(served)) if returned && served.able == 0 => {
            text.push_str(&who_serves(view, served));
        }
        (WaitsFor::Time, _, Some(due), _) => {
            let _infallible = write!(text, "; it is due at {}", timestamp(due));
        }
        (WaitsFor::Worker, _, _, Some(served)) => text.push_str(&who_serves(view, served)),
        _ => {}
    }
    text.push('.');
    if let Some(before) = waits.again.and_then(|again| attempt_before(view, again)) {
        text.push(' ');
        text.push_str(&before);
    }
    text
}

fn for_what(waits: Waits, paused: Option<&Pause>) -> &'static str {
    match (waits.what, waits.again) {
        (_, Some(Again::LostForGood)) => " to be failed, as it may not be attempted again,",
        (WaitsFor::Other, _) => "",
        (_, None) if paused.is_some() => "",
        (WaitsFor::Slot, _) if paused.is_none() => " for a slot of its tool",
        (WaitsFor::Rate, _) if paused.is_none() => " for the rate of its tool",
        (WaitsFor::Turn, _) if paused.is_none() => " for its turn",
        (WaitsFor::Paused, None) => " for its turn",
        (_, Some(Again::Lost | Again::Released | Again::Failed)) => " for another attempt",
        (_, Some(Again::Returned)) => " for another worker",
        (WaitsFor::Time, None) => " for its time",
        (WaitsFor::Worker | WaitsFor::Slot | WaitsFor::Rate | WaitsFor::Turn, None) => {
            " for a worker"
        }
    }
}

fn who_paused(pause: &Pause) -> String {
    let since = timestamp(i64::try_from(pause.since_ms).unwrap_or(i64::MAX));
    let reason = match sentence(&pause.reason) {
        reason if reason.is_empty() => String::new(),
        reason => format!(": {reason}"),
    };
    format!("; its {} is paused since {since}{reason}", pause.what)
}

fn which_rate(view: &TaskView, turn_ms: Option<i64>) -> String {
    let bound = view.rate.map_or_else(String::new, |rate| {
        let (count, window) = (rate.count, format_duration(rate.window()));
        let jobs = if count == 1 { "job" } else { "jobs" };
        let begin = if count == 1 { "begins" } else { "begin" };
        format!(
            "; at most {count} {jobs} of {} {begin} in {window}",
            view.tool
        )
    });
    let turn = turn_ms.map_or_else(String::new, |turn| {
        format!("; its turn comes at about {}", timestamp(turn))
    });
    format!("{bound}{turn}")
}

fn who_goes_first(view: &TaskView, ahead: Option<u64>) -> String {
    let tool = &view.tool;
    match ahead {
        Some(1) => format!("; 1 of your own calls of {tool} goes first"),
        Some(some) if some > 0 => format!("; {some} of your own calls of {tool} go first"),
        _ => format!("; others of your own calls of {tool} go first"),
    }
}

fn who_serves(view: &TaskView, served: Served) -> String {
    let (queue, tool) = (&view.queue, &view.tool);
    let busy = if served.free == 0 { ", all busy" } else { "" };
    let for_long = if served.long_unserved {
        since_long(view)
    } else {
        String::new()
    };
    match (served.reading, served.able) {
        (0, _) => format!("; no worker serves its queue ({queue}){for_long}"),
        (1, 0) => format!("; the one worker of its queue ({queue}) does not have {tool}{for_long}"),
        (several, 0) => {
            format!("; none of the {several} workers of its queue ({queue}) has {tool}{for_long}")
        }
        (_, 1) if served.free == 0 => {
            format!("; 1 live worker serves it (queue {queue}), and is busy")
        }
        (_, 1) => format!("; 1 live worker serves it (queue {queue})"),
        (_, able) => format!("; {able} live workers serve it (queue {queue}){busy}"),
    }
}

/// That there has been no worker for a while, and what that means. It says no time that would be another at each front end.
fn since_long(view: &TaskView) -> String {
    let again = view.waits.and_then(|waits| waits.again);
    let means = match again {
        Some(Again::LostForGood) => String::new(),
        _ => format!(
            ": it begins once one that has {} comes, unless it expires before",
            view.tool
        ),
    };
    format!(", for 15 s or more by now{means}")
}

fn attempt_before(view: &TaskView, again: Again) -> Option<String> {
    let attempt = view.attempt;
    let how = match again {
        Again::Lost | Again::LostForGood => "lost its worker",
        Again::Released => "was stopped with its worker",
        Again::Failed => {
            let why = view.message.as_deref().map(sentence);
            return Some(match why.filter(|why| !why.is_empty()) {
                Some(why) => format!("Attempt {attempt} failed: {why}."),
                None => format!("Attempt {attempt} failed."),
            });
        }
        Again::Returned => return None,
    };
    Some(match attempt_message(view) {
        Some(told) => format!(
            "Attempt {attempt} {how} at \"{}\".",
            cut(&told, TOLD_BEFORE)
        ),
        None => format!("Attempt {attempt} {how}."),
    })
}

/// A text without the full stop at its end, so that more can be added.
fn sentence(text: &str) -> Cow<'_, str> {
    cut(text.trim_end().trim_end_matches('.'), TOLD_BEFORE)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use taskferry_contract::{Pausable, Rate};

    use super::*;
    use crate::mcp::protocol::sample;

    const SINCE: &str = "1970-01-01T00:00:07.000Z";

    fn view(status: Status) -> TaskView {
        TaskView {
            updated_ms: 7_000,
            ..sample::view(status)
        }
    }

    fn with_message(status: Status, message: Option<&str>, progress: Option<&str>) -> TaskView {
        TaskView {
            message: message.map(ToOwned::to_owned),
            progress: progress.map(ToOwned::to_owned),
            total: progress.map(|_| "20".to_owned()),
            ..view(status)
        }
    }

    fn waits(what: WaitsFor, again: Option<Again>, view: TaskView) -> TaskView {
        let waits = Waits {
            what,
            since_ms: 7_000,
            again,
            due_ms: (what == WaitsFor::Time).then_some(9_000),
            turn_ms: None,
        };
        TaskView {
            waits: Some(waits),
            ..view
        }
    }

    #[test]
    fn a_task_that_runs_tells_the_text_of_its_tool_and_the_figures() {
        for (text, progress, message_is) in [
            (None, None, "The task is being worked on."),
            (None, Some("7"), "7 of 20"),
            (Some("part 18"), None, "part 18"),
            (Some("part 18"), Some("7"), "part 18 (7 of 20)"),
            (Some("part 7 of 20"), Some("7"), "part 7 of 20"),
            (Some("part 7"), Some("7"), "part 7 (7 of 20)"),
            (Some("loading"), Some("NaN"), "loading"),
        ] {
            let view = with_message(Status::Working, text, progress);
            assert_eq!(message(&view), message_is);
            assert_eq!(news(&view).as_deref(), text, "figures alone are no news");
        }
    }

    #[test]
    fn an_end_and_a_question_tell_the_text_alone() {
        for (status, default) in [
            (Status::InputRequired, "The task waits for your input."),
            (Status::Completed, "The task is complete."),
            (Status::Failed, "The task failed."),
            (Status::Cancelled, "The task was cancelled."),
        ] {
            assert_eq!(message(&with_message(status, None, Some("7"))), default);
            assert_eq!(
                message(&with_message(status, Some("bye"), Some("7"))),
                "bye"
            );
        }
    }

    #[test]
    fn a_first_wait_tells_who_could_end_it_and_is_news_only_if_nobody_could() {
        for (served, end) in [
            (None, "."),
            (Some((3, 3, 1)), "; 3 live workers serve it (queue slow)."),
            (
                Some((3, 2, 0)),
                "; 2 live workers serve it (queue slow), all busy.",
            ),
            (Some((2, 1, 1)), "; 1 live worker serves it (queue slow)."),
            (
                Some((2, 1, 0)),
                "; 1 live worker serves it (queue slow), and is busy.",
            ),
            (Some((0, 0, 0)), "; no worker serves its queue (slow)."),
            (
                Some((1, 0, 0)),
                "; the one worker of its queue (slow) does not have report.",
            ),
            (
                Some((2, 0, 0)),
                "; none of the 2 workers of its queue (slow) has report.",
            ),
        ] {
            let served = served.map(|(reading, able, free)| Served {
                reading,
                able,
                free,
                long_unserved: false,
            });
            let view = TaskView {
                served,
                ..view(Status::Queued)
            };
            let text = format!("The task waits for a worker since {SINCE}{end}");
            assert_eq!(message(&view), text);
            let nobody = served.is_some_and(|served| served.able == 0);
            assert_eq!(news(&view), nobody.then_some(text));
        }
    }

    #[test]
    fn what_no_worker_has_for_a_while_says_so_once() {
        let long = |reading| TaskView {
            served: Some(Served {
                reading,
                long_unserved: true,
                ..Served::default()
            }),
            ..view(Status::Queued)
        };
        for (reading, who) in [
            (0, "no worker serves its queue (slow)"),
            (1, "the one worker of its queue (slow) does not have report"),
            (2, "none of the 2 workers of its queue (slow) has report"),
        ] {
            let text = format!(
                "The task waits for a worker since T; {who}, for 15 s or more by now: it begins once one that has report comes, unless it expires before."
            );
            says(&long(reading), &text);
        }
        says(
            &waits(WaitsFor::Worker, Some(Again::LostForGood), long(0)),
            "The task waits to be failed, as it may not be attempted again, since T; no worker serves its queue (slow), for 15 s or more by now. Attempt 1 lost its worker.",
        );
        let served = TaskView {
            served: Some(Served {
                reading: 1,
                able: 1,
                free: 1,
                long_unserved: false,
            }),
            ..view(Status::Queued)
        };
        assert_eq!(news(&served), None);
    }

    /// The message, in which T stands for the time.
    fn says(view: &TaskView, text: &str) {
        let text = text.replace("since T", &format!("since {SINCE}"));
        assert_eq!(message(view), text);
        assert_eq!(news(view), Some(text));
    }

    #[test]
    fn what_waits_for_the_rate_tells_it_and_until_when() {
        let rated = |count, turn_ms, again| {
            let view = TaskView {
                rate: Some(Rate::new(count, Duration::from_mins(1))),
                ..view(Status::Queued)
            };
            let mut view = waits(WaitsFor::Rate, again, view);
            if let Some(waits) = &mut view.waits {
                waits.turn_ms = turn_ms;
            }
            view
        };
        says(
            &rated(5, Some(9_000), None),
            "The task waits for the rate of its tool since T; at most 5 jobs of report begin in 1m; its turn comes at about 1970-01-01T00:00:09.000Z.",
        );
        says(
            &rated(1, None, None),
            "The task waits for the rate of its tool since T; at most 1 job of report begins in 1m.",
        );
        says(
            &rated(2, Some(9_000), Some(Again::Lost)),
            "The task waits for the rate of its tool since T; at most 2 jobs of report begin in 1m; its turn comes at about 1970-01-01T00:00:09.000Z. Attempt 1 lost its worker.",
        );
        // A record of which the rate cannot be read.
        let unknown = waits(WaitsFor::Rate, None, view(Status::Queued));
        says(&unknown, "The task waits for the rate of its tool since T.");
    }

    #[test]
    fn what_waits_for_a_slot_tells_the_limit() {
        let slot = |limit, again, before| {
            let view = TaskView {
                limit: Some(limit),
                ..before
            };
            waits(WaitsFor::Slot, again, view)
        };
        says(
            &slot(2, None, view(Status::Queued)),
            "The task waits for a slot of its tool since T; at most 2 jobs of report at a time.",
        );
        let lost = with_message(Status::Queued, Some("part 18"), Some("7"));
        says(
            &slot(1, Some(Again::Lost), lost),
            "The task waits for a slot of its tool since T; at most 1 job of report at a time. Attempt 1 lost its worker at \"part 18 (7 of 20)\".",
        );
    }

    #[test]
    fn what_is_paused_is_told_with_its_reason_whatever_else_it_waits_for() {
        let pause = |what, reason: &str| Pause {
            what,
            since_ms: 8_000,
            by: "alice".to_owned(),
            reason: reason.to_owned(),
        };
        let queue = Pausable::Queue("slow".parse().unwrap());
        let tool = Pausable::Tool("report".parse().unwrap());
        let paused = |what: WaitsFor, again, pause: &Pause| {
            let view = TaskView {
                paused: Some(pause.clone()),
                limit: Some(2),
                served: Some(Served::default()),
                ..view(Status::Queued)
            };
            waits(what, again, view)
        };
        let close = pause(tool, "month-end close.");
        let text = "The task waits since T; its tool report is paused since 1970-01-01T00:00:08.000Z: month-end close.";
        for what in [
            WaitsFor::Paused,
            WaitsFor::Worker,
            WaitsFor::Slot,
            WaitsFor::Rate,
        ] {
            says(&paused(what, None, &close), text);
        }
        let first = TaskView {
            waits: None,
            ..paused(WaitsFor::Worker, None, &close)
        };
        says(&first, text);
        let whole = pause(queue, "");
        says(
            &paused(WaitsFor::Slot, Some(Again::Lost), &whole),
            "The task waits for another attempt since T; its queue slow is paused since 1970-01-01T00:00:08.000Z. Attempt 1 lost its worker.",
        );
        // Its time comes first.
        says(
            &paused(WaitsFor::Time, None, &whole),
            "The task waits for its time since T; it is due at 1970-01-01T00:00:09.000Z.",
        );
        let after = TaskView {
            paused: None,
            ..paused(WaitsFor::Paused, None, &whole)
        };
        says(&after, "The task waits for its turn since T.");
    }

    #[test]
    fn what_waits_for_its_turn_tells_how_many_go_first() {
        let others =
            "The task waits for its turn since T; others of your own calls of report go first.";
        for (ahead, text) in [
            (
                Some(17),
                "The task waits for its turn since T; 17 of your own calls of report go first.",
            ),
            (
                Some(1),
                "The task waits for its turn since T; 1 of your own calls of report goes first.",
            ),
            (None, others),
            (Some(0), others),
        ] {
            let first = waits(WaitsFor::Turn, None, view(Status::Queued));
            let known = TaskView { ahead, ..first };
            let since = format!("since {SINCE}");
            assert_eq!(message(&known), text.replace("since T", &since));
            // That one less goes first is no news.
            assert_eq!(news(&known), Some(others.replace("since T", &since)));
        }
        let lost = waits(WaitsFor::Turn, Some(Again::Lost), view(Status::Queued));
        says(
            &lost,
            "The task waits for its turn since T; others of your own calls of report go first. Attempt 1 lost its worker.",
        );
    }

    #[test]
    fn what_waits_again_tells_what_became_of_the_attempt_before() {
        let why = || with_message(Status::Queued, Some("no paper."), None);
        let none = || view(Status::Queued);
        let served_by_none = || TaskView {
            served: Some(Served::default()),
            ..none()
        };
        for (what, again, view, text) in [
            (
                WaitsFor::Worker,
                Some(Again::Released),
                none(),
                "The task waits for another attempt since T. Attempt 1 was stopped with its worker.",
            ),
            (
                WaitsFor::Time,
                Some(Again::Failed),
                why(),
                "The task waits for another attempt since T; it is due at 1970-01-01T00:00:09.000Z. Attempt 1 failed: no paper.",
            ),
            (
                WaitsFor::Time,
                Some(Again::Returned),
                why(),
                "no paper (the task has waited since T)",
            ),
            (
                WaitsFor::Time,
                Some(Again::Returned),
                none(),
                "The task waits for another worker since T; it is due at 1970-01-01T00:00:09.000Z.",
            ),
            (WaitsFor::Other, None, none(), "The task waits since T."),
            (
                WaitsFor::Time,
                None,
                none(),
                "The task waits for its time since T; it is due at 1970-01-01T00:00:09.000Z.",
            ),
            (
                WaitsFor::Worker,
                Some(Again::LostForGood),
                none(),
                "The task waits to be failed, as it may not be attempted again, since T. Attempt 1 lost its worker.",
            ),
            (
                WaitsFor::Worker,
                Some(Again::LostForGood),
                served_by_none(),
                "The task waits to be failed, as it may not be attempted again, since T; no worker serves its queue (slow). Attempt 1 lost its worker.",
            ),
            (
                WaitsFor::Time,
                Some(Again::Returned),
                served_by_none(),
                "The task waits for another worker since T; no worker serves its queue (slow).",
            ),
        ] {
            says(&waits(what, again, view), text);
        }
    }

    #[test]
    fn long_texts_of_an_attempt_before_are_cut() {
        let long = "x".repeat(10_000);
        for again in [Again::Lost, Again::Failed, Again::Returned] {
            let view = with_message(Status::Queued, Some(&long), Some("7"));
            let text = message(&waits(WaitsFor::Worker, Some(again), view)).into_owned();
            assert!(text.len() < 800 && text.contains('…'), "{text}");
        }
    }
}
