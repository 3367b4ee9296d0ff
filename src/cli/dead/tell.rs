//! How dead letters are shown.

use serde_json::{Map, Value, json};
use taskferry_contract::{DeadLetter, TaskView};

use crate::cli::format::{json_line, moment, plain, table};
use crate::cli::output::print;
use crate::operator::LetterDetail;

/// Without arguments: they are nobody's business until someone asks for one letter.
pub(super) fn list(letters: &[DeadLetter], as_json: bool) {
    if as_json {
        for letter in letters {
            print(&json_line(&Value::Object(line(letter)).to_string()));
        }
        return;
    }
    let rows = letters.iter().map(|letter| {
        vec![
            letter.id.to_string(),
            raw_or_dash(&letter.id_text),
            raw_or_dash(&letter.tool),
            raw_or_dash(letter.queue.as_deref().unwrap_or_default()),
            letter.attempts.to_string(),
            moment(letter.buried_ms()),
            (if letter.record_exists { "yes" } else { "no" }).to_owned(),
            letter.reason.clone(),
        ]
    });
    let head = [
        "LETTER", "TASK", "TOOL", "QUEUE", "ATTEMPTS", "BURIED", "RECORD", "REASON",
    ];
    for row in table(&head, rows.collect()) {
        print(&row);
    }
}

/// For a cell, which the table makes plain.
fn raw_or_dash(text: &str) -> String {
    match text {
        "" => "-".to_owned(),
        text => text.to_owned(),
    }
}

fn or_dash(text: &str) -> String {
    match text {
        "" => "-".to_owned(),
        text => plain(text),
    }
}

/// What a list says of a letter.
fn line(letter: &DeadLetter) -> Map<String, Value> {
    let said = [
        ("letter", json!(letter.id.to_string())),
        ("task", json!(letter.id_text)),
        ("tool", json!(letter.tool)),
        ("queue", json!(letter.queue)),
        ("reason", json!(letter.reason)),
        ("attempts", json!(letter.attempts)),
        ("max_attempts", json!(letter.max_attempts)),
        ("origin_task", json!(origin(letter))),
        ("worker", json!(letter.worker)),
        ("started_ms", json!(letter.started_ms)),
        ("buried_ms", json!(letter.buried_ms())),
        ("record_exists", json!(letter.record_exists)),
    ];
    said.into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The task for which the work was first asked. `None` for an entry that was no job.
fn origin(letter: &DeadLetter) -> Option<String> {
    Some(letter.origin.or(letter.task)?.to_string())
}

/// Who ran the last attempt, and since when.
fn last_run(letter: &DeadLetter) -> String {
    match (&letter.worker, letter.started_ms) {
        (Some(worker), Some(at)) => format!("by {worker}, begun at {}", moment(at)),
        (Some(worker), None) => format!("by {worker}"),
        (None, _) => String::new(),
    }
}

/// All of a letter, and how the job's record stands.
pub(super) fn show(letter: &DeadLetter, detail: &LetterDetail, as_json: bool) {
    let LetterDetail { record, revivable } = detail;
    let arguments = revivable
        .as_ref()
        .map(|revivable| revivable.arguments.as_str());
    let owner = revivable.as_ref().map(|revivable| revivable.owner.as_str());
    let most = revivable.as_ref().and_then(|it| it.max_attempts);
    let most = most.or(letter.max_attempts);
    let first = revivable.as_ref().map(|it| it.origin.to_string());
    let first = first.or_else(|| origin(letter));
    if as_json {
        let more = [
            ("owner", json!(owner)),
            ("max_attempts", json!(most)),
            ("origin_task", json!(first)),
            ("arguments", json!(arguments)),
            ("record", record.as_ref().map_or(Value::Null, record_json)),
        ];
        let mut all = line(letter);
        all.extend(more.map(|(name, value)| (name.to_owned(), value)));
        print(&json_line(&Value::Object(all).to_string()));
        return;
    }
    let kept = record.as_ref().map_or_else(
        || "expired".to_owned(),
        |view| format!("{}: {}", view.status, view.message.as_deref().unwrap_or("")),
    );
    let lines = [
        ("letter", letter.id.to_string()),
        ("task", letter.id_text.clone()),
        ("tool", letter.tool.clone()),
        ("queue", letter.queue.clone().unwrap_or_default()),
        ("owner", owner.unwrap_or_default().to_owned()),
        (
            "attempts",
            match most {
                Some(most) => format!("{} begun (attempts = {most} of its tool)", letter.attempts),
                None => format!("{} begun", letter.attempts),
            },
        ),
        ("origin", first.unwrap_or_default()),
        ("last run", last_run(letter)),
        ("buried", moment(letter.buried_ms())),
        ("reason", letter.reason.clone()),
        ("record", kept),
        ("arguments", arguments.unwrap_or("not kept").to_owned()),
    ];
    for (name, value) in lines {
        print(&format!("{name:<10} {}", or_dash(&value)));
    }
}

fn record_json(view: &TaskView) -> Value {
    json!({
        "status": view.status.to_string(), "message": view.message, "error": view.error.as_deref(),
        "result": view.result.as_deref(), "created_ms": view.created_ms, "updated_ms": view.updated_ms,
        "ttl_ms": view.ttl_ms,
    })
}
