//! What the processes of a run wrote to their logs.

use std::collections::BTreeMap;
use std::path::Path;

/// Writes of attempts that were refused, by reason.
pub(crate) fn refused(folder: &Path) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (_, text) in all(folder) {
        for line in text.lines() {
            if let Some((_, reason)) = line.split_once("refused=") {
                let word = reason.chars().take_while(char::is_ascii_alphabetic);
                *counts.entry(word.collect()).or_default() += 1;
            }
        }
    }
    counts
}

/// Panics, each with the process and what it said.
pub(crate) fn panics(folder: &Path) -> Vec<String> {
    let mut panics = Vec::new();
    for (process, text) in all(folder) {
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if line.contains("panicked at ") {
                // Before the log has started, the text is on the next line.
                let next = lines.peek().copied().unwrap_or_default();
                panics.push(format!("{process}: {line} {next}"));
            }
        }
    }
    panics
}

/// Jobs that were taken from a worker, each with the process that did it and what it said.
pub(crate) fn taken_over(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for (process, text) in all(folder) {
        let lines = text.lines().filter(|line| line.contains(" taken over "));
        found.extend(lines.map(|line| format!("{process}: {line}")));
    }
    found
}

/// The log of every process, by name and number of its start.
fn all(folder: &Path) -> Vec<(String, String)> {
    let processes = std::fs::read_dir(folder.join("processes"));
    let entries = processes.into_iter().flatten().flatten();
    let read = entries.map(|entry| {
        let log = std::fs::read(entry.path().join("stderr")).unwrap_or_default();
        let text = String::from_utf8_lossy(&log).into_owned();
        (entry.file_name().to_string_lossy().into_owned(), text)
    });
    read.collect()
}
