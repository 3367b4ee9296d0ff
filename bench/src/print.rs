//! The only places that write: figures go to stdout, and to a file if one is named; the rest to stderr.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

/// A line of the result.
pub(crate) fn print(line: &str) {
    let _closed_stdout = writeln!(std::io::stdout(), "{line}");
}

/// A line for whoever waits.
pub(crate) fn say(line: &str) {
    let _closed_stderr = writeln!(std::io::stderr(), "{line}");
}

/// The figures for machines, if they are wanted.
pub(crate) fn write_json(path: Option<&Path>, figures: &impl Serialize) -> anyhow::Result<()> {
    let Some(path) = path else {
        return Ok(());
    };
    let text = serde_json::to_string_pretty(figures)?;
    std::fs::write(path, text + "\n")
        .with_context(|| format!("{} cannot be written", path.display()))
}
