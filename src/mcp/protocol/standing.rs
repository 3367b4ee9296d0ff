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
mod tests;
