//! How many attempts of a tool's jobs may begin in a time.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// At most `count` attempts of a tool's jobs begin in any window of `window_ms`, on all workers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// How many, 1 to 100,000.
    pub count: u32,
    /// In how long, 1,000 to 86,400,000 ms.
    pub window_ms: u64,
    /// What becomes of a call beyond it.
    #[serde(default, skip_serializing_if = "RateExcess::is_default")]
    pub excess: RateExcess,
}

/// What becomes of a call that finds the rate of its tool used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RateExcess {
    /// Its job waits, in the order in which the jobs were first queued. The default.
    #[default]
    Wait,
    /// It is refused. A job that was queued, and is to be attempted again, waits all the same.
    Refuse,
}

impl RateExcess {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Rate {
    /// What it may count. Redis keeps so many beginnings of the tool.
    pub const COUNTS: RangeInclusive<u32> = 1..=100_000;
    /// How long its window may be: a second to a day.
    pub const WINDOWS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);

    /// So many in any window of this length, in whole ms. Calls beyond it wait.
    #[must_use]
    pub fn new(count: u32, window: Duration) -> Self {
        Self {
            count,
            window_ms: u64::try_from(window.as_millis()).unwrap_or(u64::MAX),
            excess: RateExcess::default(),
        }
    }

    /// Its window.
    #[must_use]
    pub fn window(self) -> Duration {
        Duration::from_millis(self.window_ms)
    }

    pub(super) fn check(self) -> Result<(), String> {
        let (least, most) = Self::COUNTS.into_inner();
        if !(least..=most).contains(&self.count) {
            let count = self.count;
            return Err(format!(
                "rate.count: it must be {least} to {most}, not {count}"
            ));
        }
        let (least, most) = Self::WINDOWS.into_inner();
        if !(least..=most).contains(&self.window()) {
            let (least, most, window) = (least.as_millis(), most.as_millis(), self.window_ms);
            return Err(format!(
                "rate.window_ms: it must be {least} to {most}, not {window}"
            ));
        }
        Ok(())
    }

    /// As a record has it: `<count>/<window_ms>`, and what becomes of calls beyond it, if they are refused.
    pub(crate) fn to_stored(self) -> String {
        let excess = match self.excess {
            RateExcess::Wait => "",
            RateExcess::Refuse => " refuse",
        };
        format!("{}/{}{excess}", self.count, self.window_ms)
    }

    /// Reads what a record has. `None` if it is no rate.
    pub(crate) fn stored(text: &str) -> Option<Self> {
        let (rate, excess) = text.split_once(' ').unwrap_or((text, ""));
        let (count, window_ms) = rate.split_once('/')?;
        Some(Self {
            count: count.parse().ok()?,
            window_ms: window_ms.parse().ok()?,
            excess: match excess {
                "refuse" => RateExcess::Refuse,
                _ => RateExcess::Wait,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_what_a_definition_says() {
        let waits = Rate::new(5, Duration::from_mins(1));
        let refuses = Rate {
            excess: RateExcess::Refuse,
            ..waits
        };
        for (rate, stored, json) in [
            (waits, "5/60000", r#"{"count":5,"window_ms":60000}"#),
            (
                refuses,
                "5/60000 refuse",
                r#"{"count":5,"window_ms":60000,"excess":"refuse"}"#,
            ),
        ] {
            assert_eq!(rate.to_stored(), stored);
            assert_eq!(Rate::stored(stored), Some(rate));
            assert_eq!(serde_json::to_string(&rate).unwrap(), json);
            assert_eq!(serde_json::from_str::<Rate>(json).unwrap(), rate);
        }
        for wrong in ["", "5", "5/", "/5", "-1/5", "5/1m"] {
            assert_eq!(Rate::stored(wrong), None, "{wrong}");
        }
        let wrong = r#"{"count":5,"window_ms":60000,"excess":"drop"}"#;
        assert!(serde_json::from_str::<Rate>(wrong).is_err());
    }
}
