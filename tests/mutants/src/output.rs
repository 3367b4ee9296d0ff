//! Lines for whoever runs it.

use std::io::Write as _;

/// Writes a line for people who wait.
pub(crate) fn say(line: &str) {
    // Nobody may be there to read it.
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// Writes a line of the outcome.
pub(crate) fn print(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}
