//! What the process says, in plain words, to whoever started it.

use std::io::Write as _;

/// A line for whoever started the process, on stderr.
pub(super) fn say(line: &str) {
    let _closed_stderr = writeln!(std::io::stderr(), "{line}");
}

/// A line of the result, on stdout.
pub(super) fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    let _closed_stdout = writeln!(out, "{line}").and_then(|()| out.flush());
}
