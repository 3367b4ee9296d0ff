//! What the process says, in plain words, to whoever started it.

use std::io::{self, ErrorKind, Write as _};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use taskferry_process::output::{self, LineWriter};

/// How the first line that could not be printed failed.
static UNPRINTED: Mutex<Option<io::Error>> = Mutex::new(None);

/// How long lines that nobody reads are waited for at the end.
const FLUSH: Duration = Duration::from_secs(1);

/// A line for whoever started the process, on stderr.
pub(super) fn say(line: &str) {
    output::say(line);
}

/// A line of the result, on stdout. If it cannot be printed, [`printed`] says so.
pub(super) fn print(line: &str) {
    let mut unprinted = UNPRINTED.lock().unwrap_or_else(PoisonError::into_inner);
    if unprinted.is_none() {
        let mut out = io::stdout().lock();
        *unprinted = writeln!(out, "{line}").and_then(|()| out.flush()).err();
    }
}

/// Whether all of the result was printed, or whoever reads it had enough of it.
///
/// # Errors
///
/// The one of the first line that could not be printed.
pub(super) fn printed() -> io::Result<()> {
    let mut unprinted = UNPRINTED.lock().unwrap_or_else(PoisonError::into_inner);
    match unprinted.take() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Lines on stdout beside a server that runs, which is not held up by whoever reads them.
pub(super) struct Announcer(LineWriter);

impl Announcer {
    pub(super) fn start() -> io::Result<Self> {
        let note = |lost| format!("({lost} lines are missing here)\n");
        LineWriter::start(output::duplicate(io::stdout())?, note).map(Self)
    }

    pub(super) fn print(&self, line: &str) {
        self.0.line(format!("{line}\n").as_bytes());
    }

    /// Waits until the lines are written, or for a second.
    pub(super) fn end(self) {
        self.0.flush(FLUSH);
    }
}
