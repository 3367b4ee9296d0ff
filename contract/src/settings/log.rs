//! The settings of the log, and its start: the same for both binaries.

use tracing_subscriber::EnvFilter;

use super::{Setting, Settings};

/// The settings of the log.
pub const LOG_SETTINGS: [Setting; 2] = [
    Setting {
        name: "log",
        value: "FILTER",
        help: "What is logged: error, warn, info, debug, trace, or module=level,… [default: info]",
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

/// Takes the settings of the log.
pub fn take_log(settings: &mut Settings) -> LogSettings {
    LogSettings {
        filter: settings.take("log", "info".to_owned(), |text| {
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
    /// Starts logging to standard error.
    ///
    /// # Errors
    ///
    /// In words, if the process logs already.
    pub fn start(&self) -> Result<(), String> {
        let filter = EnvFilter::try_new(&self.filter).map_err(|error| error.to_string())?;
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr);
        let started = match self.format {
            Format::Text => lines.with_ansi(false).try_init(),
            Format::Json => lines.json().try_init(),
        };
        started.map_err(|error| format!("logging cannot be started: {error}"))
    }
}
