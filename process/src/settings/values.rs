//! What values look like: each reader says what it wants.

use std::fmt;
use std::time::Duration;

/// Reads a duration: a whole number and `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
///
/// What it should look like.
pub fn duration(text: &str) -> Result<Duration, String> {
    const UNITS_MS: [(&str, u64); 5] = [
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    amount(text, &UNITS_MS)
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
    const UNITS_BYTES: [(&str, u64); 4] = [
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
    ];
    amount(text, &UNITS_BYTES)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| {
            "must be a whole number and a unit, as in 1000B, 64KiB, 4MiB or 1GiB".to_owned()
        })
}

/// A whole number and one of the units, each with what it counts; nothing if it is not that, or too much.
fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, each) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*each)
}

/// Reads `true` or `false`.
///
/// # Errors
///
/// What it should look like.
pub fn truth(text: &str) -> Result<bool, String> {
    text.parse()
        .map_err(|_neither| "must be true or false".to_owned())
}

/// Gives a reader's value on if it is from `low` to `high`, both included; else says so, as in `must be from 1s to 600s`.
pub fn within<T: PartialOrd + fmt::Debug>(low: T, high: T) -> impl FnOnce(T) -> Result<T, String> {
    move |value| {
        if (&low..=&high).contains(&&value) {
            Ok(value)
        } else {
            Err(format!("must be from {low:?} to {high:?}"))
        }
    }
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
}
