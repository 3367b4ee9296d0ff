//! Durations and sizes as people write them, such as `10m` and `4MiB`: read and written with the same units.

use std::time::Duration;

/// The units of durations, the largest first, with their milliseconds.
const UNITS_MS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The units of sizes, the largest first, with their bytes.
const UNITS_BYTES: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Reads a duration: a whole number and `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
///
/// What it should look like.
pub fn duration(text: &str) -> Result<Duration, String> {
    read(text, &UNITS_MS)
        .map(Duration::from_millis)
        .ok_or_else(|| {
            "must be a whole number and a unit, as in 500ms, 5s, 10m, 2h or 1d".to_owned()
        })
}

/// Reads a size in bytes: a whole number and `B`, `KiB`, `MiB` or `GiB`.
///
/// # Errors
///
/// What it should look like.
pub fn bytes(text: &str) -> Result<usize, String> {
    read(text, &UNITS_BYTES)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| {
            "must be a whole number and a unit, as in 1000B, 64KiB, 4MiB or 1GiB".to_owned()
        })
}

/// Writes a duration with the largest unit that needs no fraction; what is below a millisecond is left out.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    write(millis, &UNITS_MS).unwrap_or_else(|| "0s".to_owned())
}

/// Writes a size with the largest unit that needs no fraction.
#[must_use]
pub fn format_size(bytes: usize) -> String {
    write(bytes as u64, &UNITS_BYTES).unwrap_or_else(|| "0B".to_owned())
}

/// A whole number and one of the units. `None` if it is not that, or too much.
fn read(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, each) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*each)
}

/// The amount in the largest unit that needs no fraction; nothing for zero, which has none.
fn write(amount: u64, units: &[(&str, u64)]) -> Option<String> {
    let mut units = units.iter();
    let (unit, each) = units.find(|(_, each)| amount > 0 && amount.is_multiple_of(*each))?;
    Some(format!("{}{unit}", amount / each))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_need_their_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert!(
            ["", "5", "s", "1.5s", "-1s", "99999999999999999d"]
                .iter()
                .all(|text| duration(text).is_err())
        );
        assert_eq!(bytes("4MiB"), Ok(4 << 20));
        assert!(["4", "4MB", "MiB"].iter().all(|text| bytes(text).is_err()));
    }

    #[test]
    fn a_duration_is_written_as_it_is_read() {
        for text in ["500ms", "5s", "10m", "2h", "1d", "90s", "1500ms", "365d"] {
            assert_eq!(format_duration(duration(text).unwrap()), text);
        }
        assert_eq!(format_duration(duration("60s").unwrap()), "1m");
        assert_eq!(format_duration(Duration::ZERO), "0s");
    }

    #[test]
    fn a_size_is_written_as_it_is_read() {
        for text in ["1000B", "64KiB", "4MiB", "2GiB"] {
            assert_eq!(format_size(bytes(text).unwrap()), text);
        }
    }
}
