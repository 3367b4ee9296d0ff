//! The changes of the Rust packages, as cargo-mutants lists them.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::mutant::{Kind, Mutant};

/// Those that are shipped.
const PACKAGES: [&str; 5] = [
    "taskferry-contract",
    "taskferry-housekeeping",
    "taskferry-process",
    "taskferry-worker",
    "taskferry",
];

#[derive(Debug, Deserialize)]
struct Listed {
    file: String,
    name: String,
    replacement: String,
    span: Span,
}

#[derive(Debug, Deserialize)]
struct Span {
    start: Place,
    end: Place,
}

/// Counted from 1, in characters.
#[derive(Debug, Deserialize)]
struct Place {
    line: usize,
    column: usize,
}

/// Every change that cargo-mutants knows of, but for those that .cargo/mutants.toml leaves out.
pub(crate) fn mutants(root: &Path) -> anyhow::Result<Vec<Mutant>> {
    let mut command = Command::new("cargo");
    command.args(["mutants", "--list", "--json"]);
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    let output = command
        .current_dir(root)
        .output()
        .context("cargo mutants")?;
    if !output.status.success() {
        bail!(
            "cargo mutants --list failed ({}): {}. It is installed by: cargo install --locked cargo-mutants",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let listed: Vec<Listed> =
        serde_json::from_slice(&output.stdout).context("the list of cargo mutants")?;
    let mut texts: HashMap<String, String> = HashMap::new();
    listed
        .into_iter()
        .map(|listed| mutant(root, listed, &mut texts))
        .collect()
}

fn mutant(
    root: &Path,
    listed: Listed,
    texts: &mut HashMap<String, String>,
) -> anyhow::Result<Mutant> {
    if !texts.contains_key(&listed.file) {
        let text = std::fs::read_to_string(root.join(&listed.file));
        texts.insert(
            listed.file.clone(),
            text.with_context(|| listed.file.clone())?,
        );
    }
    let text = texts.get(&listed.file).map_or("", String::as_str);
    let (start, end) = (
        offset(text, &listed.span.start),
        offset(text, &listed.span.end),
    );
    let (Some(start), Some(end)) = (start, end) else {
        bail!("{} is outside of its file", listed.name);
    };
    // The name begins with the place.
    let place = format!(
        "{}:{}:{}: ",
        listed.file, listed.span.start.line, listed.span.start.column
    );
    let what = listed.name.strip_prefix(&place).unwrap_or(&listed.name);
    Ok(Mutant {
        kind: Kind::Rust,
        line: listed.span.start.line,
        bytes: start..end,
        replacement: listed.replacement,
        what: what.to_owned(),
        context: text
            .lines()
            .nth(listed.span.start.line - 1)
            .unwrap_or_default()
            .to_owned(),
        file: listed.file,
    })
}

/// Where a place is, in bytes.
fn offset(text: &str, place: &Place) -> Option<usize> {
    let mut lines = text.split_inclusive('\n');
    let before: usize = lines.by_ref().take(place.line - 1).map(str::len).sum();
    let line = lines.next()?;
    let mut ends = line.char_indices().map(|(at, _)| at).chain([line.len()]);
    Some(before + ends.nth(place.column - 1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters() {
        let text = "ab\nä = b\n";
        let at = |line, column| offset(text, &Place { line, column });
        assert_eq!(at(1, 1), Some(0));
        assert_eq!(at(2, 3).and_then(|at| text.get(at..)), Some("= b\n"));
        assert_eq!(at(3, 1), None);
    }
}
