//! Durations and sizes as people write them: `"10m"`, `"4MiB"`.

use std::time::Duration;

const MILLIS_PER: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

const BYTES_PER: [(&str, usize); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// The longest duration a manifest may say: 365 days.
pub const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// Writes a duration with the largest unit that needs no fraction; what is
/// below a millisecond is left out.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    MILLIS_PER
        .iter()
        .map(|(unit, scale)| (unit, u128::from(*scale)))
        .find(|(_, scale)| millis > 0 && millis.is_multiple_of(*scale))
        .map_or_else(
            || "0s".to_owned(),
            |(unit, scale)| format!("{}{unit}", millis / scale),
        )
}

/// Writes a size with the largest unit that needs no fraction.
#[must_use]
pub fn format_size(bytes: usize) -> String {
    BYTES_PER
        .iter()
        .find(|(_, scale)| bytes > 0 && bytes.is_multiple_of(*scale))
        .map_or_else(
            || "0B".to_owned(),
            |(unit, scale)| format!("{}{unit}", bytes / scale),
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use taskferry_process::settings::{bytes, duration};

    #[test]
    fn writes_a_duration_as_it_is_read() {
        for text in ["500ms", "5s", "10m", "2h", "1d", "90s", "1500ms", "365d"] {
            assert_eq!(format_duration(duration(text).unwrap()), text);
        }
        assert_eq!(format_duration(duration("60s").unwrap()), "1m");
        assert_eq!(format_duration(Duration::ZERO), "0s");
    }

    #[test]
    fn writes_a_size_as_it_is_read() {
        for text in ["1000B", "64KiB", "4MiB", "2GiB"] {
            assert_eq!(format_size(bytes(text).unwrap()), text);
        }
    }
}
