//! What the process says: log lines on stderr, and plain words to whoever started it.

use std::io::Write as _;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Starts logging to stderr.
pub(super) fn start(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot be started: {error}"))
}

/// A line for whoever started the process, on stderr.
pub(super) fn say(line: &str) {
    let _closed_stderr = writeln!(std::io::stderr(), "{line}");
}

/// A line of the result, on stdout.
pub(super) fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    let _closed_stdout = writeln!(out, "{line}").and_then(|()| out.flush());
}
