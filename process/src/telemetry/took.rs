//! How the log shows a duration.

use std::fmt;
use std::time::Duration;

/// Shows a duration: `45ms`, or from a second on `2.113s`.
#[derive(Debug, Clone, Copy)]
pub struct Took(pub Duration);

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        if ms < 1000 {
            write!(f, "{ms}ms")
        } else {
            write!(f, "{}.{:03}s", ms / 1000, ms % 1000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit_that_people_read() {
        for (ms, shown) in [
            (0, "0ms"),
            (999, "999ms"),
            (1000, "1.000s"),
            (754_021, "754.021s"),
        ] {
            assert_eq!(Took(Duration::from_millis(ms)).to_string(), shown);
        }
    }
}
