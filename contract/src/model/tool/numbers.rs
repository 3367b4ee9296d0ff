//! Which numbers of a tool's definition go together.

use crate::model::tool::definition::ToolDefinition;

impl ToolDefinition {
    /// Checks that its numbers can hold together: with others no job of it could run, or be found.
    ///
    /// # Errors
    ///
    /// The first that cannot, by the name of the field, and what would be right.
    pub(crate) fn check_numbers(&self) -> Result<(), String> {
        let at_least_one = [
            ("timeout_ms", self.timeout_ms),
            ("ttl.min_ms", self.ttl.min_ms),
            ("poll_interval_ms", self.poll_interval_ms),
            ("attempts", self.attempts.into()),
            ("crash_limit", self.crash_limit.into()),
            ("concurrency", self.concurrency.unwrap_or(1).into()),
        ];
        if let Some((name, _)) = at_least_one.iter().find(|(_, number)| *number == 0) {
            return Err(format!("{name}: it must be 1 or more"));
        }
        if let Some(rate) = self.rate {
            rate.check()?;
        }
        let ordered = [
            (
                "ttl.min_ms",
                self.ttl.min_ms,
                "ttl.default_ms",
                self.ttl.default_ms,
            ),
            (
                "ttl.default_ms",
                self.ttl.default_ms,
                "ttl.max_ms",
                self.ttl.max_ms,
            ),
            (
                "backoff.initial_ms",
                self.backoff.initial_ms,
                "backoff.max_ms",
                self.backoff.max_ms,
            ),
        ];
        match ordered.iter().find(|(_, low, _, high)| low > high) {
            Some((low_name, low, high_name, high)) => Err(format!(
                "{low_name}: it must be at most {high_name}, but {low} is more than {high}"
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::tool::Rate;

    type Change = fn(&mut ToolDefinition);

    fn checked(change: impl Fn(&mut ToolDefinition)) -> Result<(), String> {
        let text = r#"{"name":"t","input_schema":{"type":"object"}}"#;
        let mut tool: ToolDefinition = serde_json::from_str(text).unwrap();
        change(&mut tool);
        tool.check_numbers()
    }

    fn rate(count: u32, window_ms: u64) -> Option<Rate> {
        Some(Rate::new(count, Duration::from_millis(window_ms)))
    }

    #[test]
    fn numbers_with_which_nothing_could_run_are_refused_by_name() {
        assert_eq!(checked(|_| {}), Ok(()));
        for (count, window_ms) in [(1, 1_000), (100_000, 86_400_000)] {
            assert_eq!(checked(|tool| tool.rate = rate(count, window_ms)), Ok(()));
        }
        let changes: [(&str, Change); 12] = [
            ("timeout_ms", |tool| tool.timeout_ms = 0),
            ("poll_interval_ms", |tool| tool.poll_interval_ms = 0),
            ("attempts", |tool| tool.attempts = 0),
            ("crash_limit", |tool| tool.crash_limit = 0),
            ("concurrency", |tool| tool.concurrency = Some(0)),
            ("rate.count", |tool| tool.rate = rate(0, 1_000)),
            ("rate.count", |tool| tool.rate = rate(100_001, 1_000)),
            ("rate.window_ms", |tool| tool.rate = rate(1, 999)),
            ("rate.window_ms", |tool| tool.rate = rate(1, 86_400_001)),
            ("ttl.min_ms", |tool| {
                tool.ttl.min_ms = tool.ttl.default_ms + 1
            }),
            ("ttl.default_ms", |tool| {
                tool.ttl.default_ms = tool.ttl.max_ms + 1
            }),
            ("backoff.initial_ms", |tool| {
                tool.backoff.initial_ms = tool.backoff.max_ms + 1
            }),
        ];
        for (name, change) in changes {
            let refused = checked(change).unwrap_err();
            assert!(refused.starts_with(&format!("{name}: ")), "{refused}");
        }
    }
}
