//! The settings of the log, and its start: the same for both binaries.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::panic::PanicHookInfo;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use super::tidy;
use crate::output::{self, LineWriter};
use crate::settings::{Setting, Settings};

/// Under which target panics are logged, whatever the filter says.
const PANIC: &str = "panic";

/// The settings of the log.
pub const LOG_SETTINGS: [Setting; 2] = [
    Setting {
        name: "log",
        value: "FILTER",
        help: "What is logged: error, warn, info, debug, trace, off, or level,target=level,… as in info,tool=debug [default: info]",
    },
    Setting {
        name: "log_format",
        value: "FORMAT",
        help: "text or json [default: text]",
    },
];

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    filter: String,
    format: Format,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// For people.
    Text,
    /// For machines, one object a line.
    Json,
}

/// What is logged if nothing is set.
pub const DEFAULT_FILTER: &str = "info";

/// Takes the settings of the log.
pub fn take_log(settings: &mut Settings) -> LogSettings {
    take_log_else(settings, DEFAULT_FILTER)
}

/// Takes the settings of the log, which is filtered by `filter` if none is set.
pub fn take_log_else(settings: &mut Settings, filter: &str) -> LogSettings {
    LogSettings {
        filter: settings.take("log", filter.to_owned(), |text| {
            let filter = EnvFilter::try_new(text);
            filter
                .map(|_valid| text.to_owned())
                .map_err(|error| format!("is no log filter: {error}"))
        }),
        format: settings.take("log_format", Format::Text, |text| match text {
            "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            _ => Err("must be text or json".to_owned()),
        }),
    }
}

impl LogSettings {
    /// Starts logging to standard error, panics included. Logging never holds the process up: see [`LineWriter`].
    ///
    /// # Errors
    ///
    /// In words, if the process logs already.
    pub fn start(&self) -> Result<(), String> {
        let refused = |error: &dyn std::fmt::Display| format!("logging cannot be started: {error}");
        let filter = EnvFilter::try_new(&self.filter).map_err(|error| error.to_string())?;
        let panics = format!("{PANIC}=error").parse();
        let filter = filter.add_directive(panics.map_err(|error| refused(&error))?);
        let format = self.format;
        let log = output::start_log(move |lost| format.note(lost));
        let log = log.map_err(|error| refused(&error))?;
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(move || Line(log, format));
        let started = match format {
            Format::Text => lines.with_ansi(false).try_init(),
            Format::Json => lines.json().try_init(),
        };
        started.map_err(|error| refused(&error))?;
        std::panic::set_hook(Box::new(log_panic));
        Ok(())
    }
}

/// What the formatter writes a line to, in one piece.
struct Line(&'static LineWriter, Format);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.line(&match self.1 {
            Format::Text => tidy::text(line),
            Format::Json => tidy::json(line),
        });
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Format {
    /// The line that says how many others are missing: it cannot go the way that they could not go.
    fn note(self, lost: u64) -> String {
        let mut time = String::new();
        // A clock that cannot be shown is left out.
        let _no_time = SystemTime.format_time(&mut Writer::new(&mut time));
        let text = "log lines were lost: they came faster than they could be written";
        match self {
            Self::Text => format!("{time}  WARN log: {text} lost={lost}\n"),
            Self::Json => {
                let fields = serde_json::json!({ "message": text, "lost": lost });
                let line = serde_json::json!({
                    "timestamp": time, "level": "WARN", "fields": fields, "target": "log",
                });
                format!("{line}\n")
            }
        }
    }
}

/// Logs a panic where the standard hook would print, and wait until somebody reads.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let text = panic.payload_as_str().unwrap_or("a value that is no text");
    let place = panic.location().map(ToString::to_string);
    let place = place.as_deref().unwrap_or("a place unknown");
    let thread = std::thread::current();
    let backtrace = Backtrace::capture();
    let backtrace =
        (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(
        target: PANIC, thread = thread.name(), backtrace, "panicked at {place}: {text}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_of_lost_lines_has_the_format_of_the_log() {
        let text = Format::Text.note(7);
        assert!(
            text.contains("Z  WARN log: ") && text.ends_with(" lost=7\n"),
            "{text}"
        );
        let json = Format::Json.note(7);
        let json: serde_json::Value =
            serde_json::from_str(json.strip_suffix('\n').unwrap()).unwrap();
        assert_eq!(
            (&json["level"], &json["fields"]["lost"]),
            (&"WARN".into(), &7.into())
        );
        assert!(json["timestamp"].as_str().unwrap().ends_with('Z'));
    }
}
