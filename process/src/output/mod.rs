//! What a process writes to its standard streams while it serves: never at the cost of its service, whatever becomes of
//! whoever reads it.

mod lines;
mod writer;

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::Duration;

pub use writer::LineWriter;

/// The log's, once logging has started.
static LOG: OnceLock<LineWriter> = OnceLock::new();

/// How long the end of the process waits for lines that are not written yet.
const FLUSH: Duration = Duration::from_secs(1);

/// A line for whoever started the process, on standard error; behind the lines of the log, once there is one.
pub fn say(line: &str) {
    match LOG.get() {
        Some(log) => log.line(format!("{line}\n").as_bytes()),
        None => _ = writeln!(io::stderr(), "{line}"),
    }
}

/// Waits until the log is written, for a second at most: to be called at the end of the process.
pub fn flush_log() {
    if let Some(log) = LOG.get() {
        log.flush(FLUSH);
    }
}

/// Where the log goes from now on.
///
/// # Errors
///
/// If standard error cannot be had, or no thread started.
pub(crate) fn start_log(
    note: impl Fn(u64) -> String + Send + 'static,
) -> io::Result<&'static LineWriter> {
    let log = LineWriter::start(duplicate(io::stderr())?, note)?;
    Ok(LOG.get_or_init(|| log))
}

/// A standard stream as a file, without the lock that a print elsewhere may hold for long.
///
/// # Errors
///
/// If there is no file descriptor left.
pub fn duplicate(stream: impl AsFd) -> io::Result<File> {
    Ok(File::from(stream.as_fd().try_clone_to_owned()?))
}
