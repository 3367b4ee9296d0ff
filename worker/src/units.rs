//! Durations and sizes as people write them: `"10m"`, `"4MiB"`.

use std::time::Duration;

pub use taskferry_process::settings::{format_duration, format_size};

/// The longest duration a manifest may say: 365 days.
pub const LONGEST: Duration = Duration::from_secs(365 * 86_400);
