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
