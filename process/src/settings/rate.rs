//! Rates as people write them, such as `5/1m`: how many, and in how long.

use taskferry_contract::Rate;

use super::units::{duration, format_duration};

/// Reads a rate: a whole number, a stroke and a duration. Calls beyond it wait.
///
/// # Errors
///
/// What it should look like, or between what it must be.
pub fn rate(text: &str) -> Result<Rate, String> {
    let read = text
        .split_once('/')
        .and_then(|(count, window)| Some((whole(count)?, duration(window).ok()?)));
    let Some((count, window)) = read else {
        return Err("must be a whole number and a time, as in 5/1m or 100/1s".to_owned());
    };
    let (least, most) = Rate::COUNTS.into_inner();
    let Some(count) = u32::try_from(count)
        .ok()
        .filter(|count| (least..=most).contains(count))
    else {
        return Err(format!("is out of range: write {least}/… to {most}/…"));
    };
    let (least, most) = Rate::WINDOWS.into_inner();
    if !(least..=most).contains(&window) {
        let [least, most] = [least, most].map(format_duration);
        return Err(format!(
            "is out of range: write a time of {least} to {most} after the stroke"
        ));
    }
    Ok(Rate::new(count, window))
}

/// Writes a rate as it is read.
#[must_use]
pub fn format_rate(rate: Rate) -> String {
    format!("{}/{}", rate.count, format_duration(rate.window()))
}

/// A number of digits alone; the largest there is, if it is larger.
fn whole(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_rate_is_written_as_it_is_read() {
        assert_eq!(rate("5/1m"), Ok(Rate::new(5, Duration::from_mins(1))));
        for text in ["5/1m", "1/1s", "100000/1d", "3/1500ms"] {
            assert_eq!(format_rate(rate(text).unwrap()), text);
        }
        assert_eq!(format_rate(rate("007/60s").unwrap()), "7/1m");
    }

    #[test]
    fn what_is_no_rate_is_told_what_would_be_one() {
        for text in [
            "", "5", "5/", "/1m", "5 / 1m", "5/m", "-1/1m", "+5/1m", "5/1m/2", "1.5/1s",
        ] {
            let told = rate(text).unwrap_err();
            assert!(told.contains("as in 5/1m"), "{text}: {told}");
        }
        for text in ["0/1m", "100001/1m", "99999999999999999999/1m"] {
            let told = rate(text).unwrap_err();
            assert!(told.contains("write 1/… to 100000/…"), "{text}: {told}");
        }
        for text in ["5/999ms", "5/2d"] {
            let told = rate(text).unwrap_err();
            assert!(told.contains("a time of 1s to 1d"), "{text}: {told}");
        }
    }
}
