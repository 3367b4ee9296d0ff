//! The only places that write: figures go to stdout, the rest to stderr.

use std::io::Write as _;

/// A line of the result.
pub(crate) fn print(line: &str) {
    let _closed_stdout = writeln!(std::io::stdout(), "{line}");
}

/// A line for whoever waits.
pub(crate) fn say(line: &str) {
    let _closed_stderr = writeln!(std::io::stderr(), "{line}");
}
