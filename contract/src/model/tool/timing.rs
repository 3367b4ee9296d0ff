//! How long the tasks of a tool live, and how long its retries wait.

use serde::{Deserialize, Serialize};

/// Between which bounds a task's ttl is chosen, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TtlBounds {
    /// When the caller asks for none. One hour.
    pub default_ms: u64,
    /// A shorter wish is raised to this. One second.
    pub min_ms: u64,
    /// A longer wish is cut to this. A day.
    pub max_ms: u64,
}

impl TtlBounds {
    /// The ttl for a wish.
    #[must_use]
    pub fn choose(self, wish_ms: Option<u64>) -> u64 {
        let wish = wish_ms.unwrap_or(self.default_ms);
        wish.min(self.max_ms).max(self.min_ms)
    }
}

impl Default for TtlBounds {
    fn default() -> Self {
        Self {
            default_ms: 3_600_000,
            min_ms: 1_000,
            max_ms: 86_400_000,
        }
    }
}

/// How long a retry waits: doubling from `initial_ms` to `max_ms`, with jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// Before the first retry. One second.
    pub initial_ms: u64,
    /// The longest wait. One minute.
    pub max_ms: u64,
}

impl Backoff {
    /// The delay before retry number `retry` (from 0), ms. `jitter` is a random number of 0 to 1: it takes away up to
    /// half, so that jobs which failed together do not come back together.
    #[must_use]
    pub fn delay_ms(self, retry: u64, jitter: f64) -> u64 {
        let doublings = u32::try_from(retry.min(32)).unwrap_or(32);
        let full = self
            .initial_ms
            .saturating_mul(1_u64 << doublings)
            .min(self.max_ms);
        let per_mille = (jitter.clamp(0.0, 1.0) * 500.0).round();
        let per_mille = (0..=500_u32)
            .find(|n| f64::from(*n) >= per_mille)
            .unwrap_or(0);
        let taken = u128::from(full) * u128::from(per_mille) / 1000;
        full - u64::try_from(taken).unwrap_or(0)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial_ms: 1_000,
            max_ms: 60_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_chosen_within_the_bounds() {
        let bounds = TtlBounds {
            default_ms: 500,
            min_ms: 100,
            max_ms: 1_000,
        };
        let chosen: Vec<u64> = [None, Some(1), Some(700), Some(5_000)]
            .into_iter()
            .map(|wish| bounds.choose(wish))
            .collect();
        assert_eq!(chosen, [500, 100, 700, 1_000]);
    }

    #[test]
    fn backoff_doubles_up_to_its_maximum_and_jitter_halves_at_most() {
        let backoff = Backoff {
            initial_ms: 1_000,
            max_ms: 6_000,
        };
        let full: Vec<u64> = (0..5).map(|retry| backoff.delay_ms(retry, 0.0)).collect();
        assert_eq!(full, [1_000, 2_000, 4_000, 6_000, 6_000]);
        assert_eq!(backoff.delay_ms(1, 1.0), 1_000);
        assert_eq!(backoff.delay_ms(u64::MAX, 0.0), 6_000);
        for initial_ms in [1, 10, 500, 1_999, u64::MAX] {
            let backoff = Backoff {
                initial_ms,
                max_ms: u64::MAX,
            };
            assert_eq!(backoff.delay_ms(0, 1.0), initial_ms - initial_ms / 2);
            assert_eq!(backoff.delay_ms(0, f64::NAN), initial_ms);
        }
    }
}
