//! Ids and progress tokens: strings or integers, kept as their client wrote them.

use std::borrow::Cow;

/// The longest id or progress token that is a string, bytes between its quotes: it is repeated in every answer and event.
pub(crate) const LONGEST_ID: usize = 256;

/// Whether a JSON text is a string or an integer of 64 bits, as ids and progress tokens are. `1.0` is an integer too (JSON
/// Schema 2020-12, validation, type).
pub(crate) fn is_valid_id(json: &str) -> bool {
    json.starts_with('"') || integer(json).is_some()
}

/// Whether an id or a progress token is short enough to be repeated in every answer and event.
pub(crate) fn is_short_id(id: &str) -> bool {
    // With its quotes, if it has any.
    id.len() <= LONGEST_ID + 2
}

/// An id in one way of writing, so that two that are equal compare equal.
pub(crate) fn plain_id(json: &str) -> Cow<'_, str> {
    if let Some(integer) = integer(json) {
        return integer.to_string().into();
    }
    let text = json
        .contains('\\')
        .then(|| serde_json::from_str::<String>(json));
    match text {
        Some(Ok(text)) => serde_json::Value::from(text).to_string().into(),
        _ => json.into(),
    }
}

/// The value of a JSON number that is an integer of 64 bits, however it is written.
fn integer(json: &str) -> Option<i64> {
    if let Ok(integer) = json.parse() {
        return Some(integer);
    }
    let (mantissa, exponent) = match json.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (json, 0),
    };
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let zeros = digits.len() - digits.trim_end_matches('0').len();
    digits.truncate(digits.len() - zeros);
    if digits.is_empty() {
        return Some(0);
    }
    // How many zeros belong after the digits that are left.
    let after =
        i64::from(exponent) - i64::try_from(fraction.len()).ok()? + i64::try_from(zeros).ok()?;
    let after = usize::try_from(after).ok().filter(|after| *after < 20)?;
    format!("{sign}{digits}{}", "0".repeat(after)).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_is_one_however_it_is_written() {
        for (json, value) in [
            ("0", 0),
            ("-0", 0),
            ("0.0", 0),
            ("0e99", 0),
            ("1.0", 1),
            ("-1.50e1", -15),
            ("1e3", 1000),
            ("1E+3", 1000),
            ("1200e-2", 12),
            ("0.001e3", 1),
            ("9223372036854775807.0", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("9.2e18", 9_200_000_000_000_000_000),
        ] {
            assert_eq!(integer(json), Some(value), "{json}");
        }
        for json in [
            "1.5",
            "1e-1",
            "12e-2",
            "0.1",
            "1e19",
            "9223372036854775808",
            "9223372036854775807.5",
            "1e99",
            "1e9999999999",
            "true",
            "null",
            "{}",
            "[1]",
            "",
        ] {
            assert_eq!(integer(json), None, "{json}");
            assert!(!is_valid_id(json), "{json}");
        }
        assert!(is_valid_id("\"\"") && is_valid_id("\"1.5\""));
    }

    #[test]
    fn equal_ids_have_one_plain_text() {
        for (one, other) in [
            ("1", "1.0"),
            ("1000", "1e3"),
            (r#""a""#, r#""\u0061""#),
            (r#""/""#, r#""\/""#),
        ] {
            assert_eq!(plain_id(one), plain_id(other));
        }
        assert_ne!(plain_id("1"), plain_id("\"1\""));
    }
}
