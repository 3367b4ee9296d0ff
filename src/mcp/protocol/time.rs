//! How both eras write a time.

use chrono::{DateTime, SecondsFormat};

/// A time as ISO 8601 with milliseconds, UTC.
pub(crate) fn timestamp(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_iso_8601_with_milliseconds() {
        assert_eq!(timestamp(1_764_068_645_007), "2025-11-25T11:04:05.007Z");
        assert_eq!(timestamp(i64::MAX), "1970-01-01T00:00:00.000Z");
    }
}
