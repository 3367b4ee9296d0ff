//! What operators see of a process: its log.

mod log;
mod tidy;
mod took;

pub use log::{DEFAULT_FILTER, LOG_SETTINGS, LogSettings, take_log, take_log_else};
pub use took::Took;
