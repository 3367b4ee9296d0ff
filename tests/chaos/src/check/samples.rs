//! Hand-made histories.

use serde_json::json;

use super::check;
use crate::history::{History, Line, Outcome, Record, Seen, What};
use crate::plan::{Call, Ending, Era};

/// The outcome that attempt `attempt` of the one task writes.
pub(super) fn result(attempt: u64) -> Outcome {
    let content = json!({ "task": "t1", "attempt": attempt, "label": "p0-1" });
    Outcome::Result(json!({
        "content": [{ "type": "text", "text": content.to_string() }], "structuredContent": content,
    }))
}

pub(super) fn line(event: &str, attempt: u64) -> Line {
    Line {
        event: event.to_owned(),
        task: "t1".to_owned(),
        attempt,
        label: "p0-1".to_owned(),
        worker: "pid 1".to_owned(),
    }
}

fn seen(at_ms: u64, what: What) -> Seen {
    Seen {
        sent_ms: at_ms,
        seen_ms: at_ms + 1,
        label: "p0-1".to_owned(),
        task: "t1".to_owned(),
        era: Era::Legacy,
        what,
    }
}

pub(super) fn ended(at_ms: u64, outcome: Outcome) -> Seen {
    seen(at_ms, What::Ended(outcome))
}

pub(super) fn runs(at_ms: u64, message: &str) -> Seen {
    let what = What::Runs {
        status: "working".to_owned(),
        message: message.to_owned(),
    };
    seen(at_ms, what)
}

/// One task whose first worker died, and whose second attempt completed it.
pub(super) fn a_good_run() -> History {
    let call = Call {
        label: "p0-1".to_owned(),
        era: Era::Legacy,
        plain: false,
        tool: "work",
        arguments: json!({ "label": "p0-1" }),
        ttl_ms: Some(60_000),
        cancel_after_ms: None,
        keyed: false,
        pause_ms: 0,
        ending: Ending::Result,
    };
    let fields = [("status", "completed"), ("attempt", "2"), ("tool", "work")];
    let mut record: Record = fields
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    if let Outcome::Result(result) = result(2) {
        record.insert("result".to_owned(), result.to_string());
    }
    History {
        keeps_data: true,
        calls: [("p0-1".to_owned(), call)].into(),
        seen: vec![
            seen(10, What::Accepted { ttl_ms: 60_000 }),
            runs(20, "attempt 1 step 1"),
            runs(30, "attempt 2 step 0"),
            ended(40, result(2)),
            Seen {
                era: Era::Modern,
                ..ended(60, result(2))
            },
        ],
        lines: vec![line("start", 1), line("start", 2), line("end", 2)],
        records: [("t1".to_owned(), record)].into(),
        ..History::default()
    }
}

/// The laws that a history breaks, each once.
pub(super) fn broken_laws(history: &History) -> Vec<&'static str> {
    let violations = check(history);
    let mut laws: Vec<&str> = violations.iter().map(|violation| violation.law).collect();
    laws.sort_unstable();
    laws.dedup();
    laws
}
