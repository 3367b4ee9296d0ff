//! What a run prints, and the evidence it leaves.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;

use crate::check::{Violation, lost};
use crate::cli::Options;
use crate::history::{History, Outcome, What};
use crate::logs;
use crate::schedule::keeps_data;

/// How many violations are shown with their lines.
const SHOWN: usize = 20;

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) options: &'a Options,
    pub(crate) history: &'a History,
    pub(crate) violations: &'a [Violation],
    pub(crate) folder: &'a Path,
}

/// A line for whoever runs this.
pub(crate) fn say(line: &str) {
    let _closed_stdout = writeln!(std::io::stdout(), "{line}");
}

/// Every accepted task, with its label.
pub(crate) fn accepted(history: &History) -> Vec<(String, String)> {
    let accepted = history
        .seen
        .iter()
        .filter(|seen| matches!(seen.what, What::Accepted { .. }));
    accepted
        .map(|seen| (seen.label.clone(), seen.task.clone()))
        .collect()
}

/// Prints the counts and every violation.
pub(crate) fn print(report: &Report<'_>) {
    say(&summary(report));
    let mut laws: BTreeMap<&str, usize> = BTreeMap::new();
    for violation in report.violations {
        *laws.entry(violation.law).or_default() += 1;
    }
    for (law, times) in laws {
        say(&format!("broken: {law}: {times} times"));
    }
    for violation in report.violations.iter().take(SHOWN) {
        say(&explained(report.history, violation));
    }
    let hidden = report.violations.len().saturating_sub(SHOWN);
    if hidden > 0 {
        say(&format!("… and {hidden} more"));
    }
    match report.violations.len() {
        0 => say("every law held"),
        broken => say(&format!(
            "{broken} violations; the evidence is in {}",
            report.folder.display()
        )),
    }
}

/// Leaves what Redis held and the report beside the logs.
pub(crate) fn leave(report: &Report<'_>) -> anyhow::Result<()> {
    let all = report
        .violations
        .iter()
        .map(|violation| explained(report.history, violation));
    let text = std::iter::once(summary(report))
        .chain(all)
        .collect::<Vec<String>>()
        .join("\n");
    std::fs::write(report.folder.join("report.txt"), text).context("the report cannot be left")?;
    let records = serde_json::to_string_pretty(&(&report.history.records, &report.history.dead))?;
    std::fs::write(report.folder.join("redis.json"), records).context("the records cannot be left")
}

fn summary(report: &Report<'_>) -> String {
    let (options, history) = (report.options, report.history);
    let kept = if keeps_data(options.seed) {
        "keeps its data"
    } else {
        "loses its data"
    };
    let mut text = format!(
        "seed {}, {} s of faults, Redis {kept}\n",
        options.seed,
        options.length.as_secs()
    );
    let mut faults: BTreeMap<String, usize> = BTreeMap::new();
    for timed in options.schedule() {
        *faults.entry(timed.fault.kind()).or_default() += 1;
    }
    let mut row = |name: &str, counts: &BTreeMap<String, usize>| {
        let all: usize = counts.values().sum();
        let parts: Vec<String> = counts
            .iter()
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        let _infallible = writeln!(text, "{name:<10}{all:>6}  {}", parts.join(", "));
    };
    row("faults", &faults);
    row("tasks", &ends(history));
    row("plain", &answers(history));
    row("no task", &refusals(history));
    row("http", &turned(history));
    row("questions", &history.answered);
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for line in &history.lines {
        *lines.entry(line.event.clone()).or_default() += 1;
    }
    row("attempts", &lines);
    row("refused", &logs::refused(report.folder));
    row(
        "letters",
        &BTreeMap::from([("dead".to_owned(), history.dead.len())]),
    );
    row(
        "looks",
        &BTreeMap::from([("answers".to_owned(), history.seen.len())]),
    );
    row(
        "lost",
        &BTreeMap::from([("with Redis's data".to_owned(), lost(history))]),
    );
    text.trim_end().to_owned()
}

/// Accepted tasks by their end.
fn ends(history: &History) -> BTreeMap<String, usize> {
    let mut last: BTreeMap<&str, &What> = BTreeMap::new();
    for seen in history.seen.iter().filter(|seen| !seen.task.is_empty()) {
        let known = last.entry(&seen.task).or_insert(&seen.what);
        if !matches!(known, What::Ended(_)) {
            *known = &seen.what;
        }
    }
    let mut counts = BTreeMap::new();
    for what in last.values() {
        let name = match what {
            What::Ended(Outcome::Result(_)) => "completed",
            What::Ended(Outcome::Error(_)) => "failed",
            What::Ended(Outcome::Cancelled) => "cancelled",
            What::Missing => "expired or lost",
            _ => "not ended",
        };
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    counts
}

/// Task calls that were answered by an error, by its code.
fn refusals(history: &History) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for seen in &history.seen {
        if let What::Refused(error) = &seen.what {
            let code = error.get("code").map(ToString::to_string);
            *counts.entry(code.unwrap_or_default()).or_default() += 1;
        }
    }
    counts
}

/// Requests that were answered with an HTTP error, by status and code.
fn turned(history: &History) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (turned, times) in &history.turned {
        let name = format!("{} {}", turned.status, turned.code);
        *counts.entry(name).or_default() += times;
    }
    counts
}

/// Plain calls by their answer.
fn answers(history: &History) -> BTreeMap<String, usize> {
    let plain = history.calls.values().filter(|call| call.plain).count();
    let mut counts = BTreeMap::new();
    for seen in &history.seen {
        let name = match seen.what {
            What::Answered(Outcome::Result(_)) => "result",
            What::Answered(_) => "error",
            _ => continue,
        };
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    let answered: usize = counts.values().sum();
    counts.insert(
        "connection broke".to_owned(),
        plain.saturating_sub(answered),
    );
    counts
}

/// A violation with the lines that show it.
fn explained(history: &History, violation: &Violation) -> String {
    let mut text = format!("{}: {} {}", violation.law, violation.task, violation.text);
    if violation.task.is_empty() {
        return text;
    }
    for line in history
        .lines
        .iter()
        .filter(|line| line.task == violation.task)
    {
        let _infallible = write!(
            text,
            "\n    {} of attempt {} by {}",
            line.event, line.attempt, line.worker
        );
    }
    let mut last = None;
    let of_task = history
        .seen
        .iter()
        .filter(|seen| seen.task == violation.task);
    for seen in of_task {
        // Polls that show what the one before showed say nothing.
        if last.replace((seen.era, &seen.what)) == Some((seen.era, &seen.what)) {
            continue;
        }
        let (from, to) = (seen.sent_ms, seen.seen_ms);
        let _infallible = write!(
            text,
            "\n    {from}-{to} ms {:?} {}: {:?}",
            seen.era, seen.label, seen.what
        );
    }
    if let Some(record) = history.records.get(&violation.task) {
        let _infallible = write!(text, "\n    record {record:?}");
    }
    text
}
