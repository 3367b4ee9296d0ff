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

/// The longest duration that [`parse_duration`] accepts: 365 days.
pub const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// Why a text is no duration or size, with what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnitError(String);

/// Reads a whole number with a unit: `"500ms"`, `"5s"`, `"10m"`, `"2h"`, `"1d"`.
///
/// # Errors
///
/// When the number or the unit is missing, the unit is unknown, or the
/// duration is beyond [`LONGEST`].
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let refuse = || {
        UnitError(format!(
            "`{text}` is not a duration: write a whole number with ms, s, m, h or d, such as \"10m\""
        ))
    };
    let (number, unit) = split_unit(text).ok_or_else(refuse)?;
    let scale = scale_of(&MILLIS_PER, unit).ok_or_else(refuse)?;
    number
        .checked_mul(scale)
        .map(Duration::from_millis)
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| UnitError(format!("`{text}` is too long: the most is 365d")))
}

/// Reads a whole number with a unit: `"1000B"`, `"64KiB"`, `"4MiB"`, `"1GiB"`.
///
/// # Errors
///
/// When the number or the unit is missing, the unit is unknown, or the size
/// does not fit this machine's memory.
pub fn parse_size(text: &str) -> Result<usize, UnitError> {
    let refuse = || {
        UnitError(format!(
            "`{text}` is not a size: write a whole number with B, KiB, MiB or GiB, such as \"4MiB\""
        ))
    };
    let (number, unit) = split_unit(text).ok_or_else(refuse)?;
    let scale = scale_of(&BYTES_PER, unit).ok_or_else(refuse)?;
    usize::try_from(number)
        .ok()
        .and_then(|number| number.checked_mul(scale))
        .ok_or_else(|| UnitError(format!("`{text}` is too large")))
}

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

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit))
}

fn scale_of<T: Copy>(units: &[(&str, T)], unit: &str) -> Option<T> {
    units
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, scale)| *scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_the_same_duration() {
        for text in ["500ms", "5s", "10m", "2h", "1d", "90s", "1500ms", "365d"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(format_duration(parse_duration("60s").unwrap()), "1m");
        assert_eq!(parse_duration("0s").unwrap(), Duration::ZERO);
        assert_eq!(format_duration(Duration::ZERO), "0s");
    }

    #[test]
    fn reads_and_writes_the_same_size() {
        for text in ["1000B", "64KiB", "4MiB", "2GiB"] {
            assert_eq!(format_size(parse_size(text).unwrap()), text);
        }
        assert_eq!(parse_size("4MiB").unwrap(), 4_194_304);
    }

    #[test]
    fn says_what_would_be_right() {
        for text in ["", "10", "m", "1.5s", "-1s", "10 m", "10M", "1h30m"] {
            let error = parse_duration(text).unwrap_err().to_string();
            assert!(error.contains("such as \"10m\""), "{text}: {error}");
        }
        for text in ["", "10", "4MB", "4 MiB", "4mib"] {
            let error = parse_size(text).unwrap_err().to_string();
            assert!(error.contains("such as \"4MiB\""), "{text}: {error}");
        }
    }

    #[test]
    fn refuses_what_overflows() {
        assert!(parse_duration("366d").is_err());
        assert!(parse_duration("18446744073709551615d").is_err());
        assert!(parse_size("18446744073709551615GiB").is_err());
        assert!(parse_size("99999999999999999999B").is_err());
    }
}
