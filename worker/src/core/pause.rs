//! The pause after a call of Redis failed.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// Doubles from 50 ms to 2 s, with jitter, so that a fleet that lost Redis at one moment does not come back at one.
#[derive(Debug)]
pub(crate) struct GrowingPause(Duration);

impl Default for GrowingPause {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl GrowingPause {
    /// The next pause.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST);
        jittered(pause)
    }

    /// Waits for the next pause.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.next()).await;
    }
}

/// A random time from half of `full` to all of it.
pub(crate) fn jittered(full: Duration) -> Duration {
    full.mul_f64(rand::random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn doubles_up_to_two_seconds_and_jitter_halves_at_most() {
        let mut growing = GrowingPause::default();
        for full in [50, 100, 200, 400, 800, 1_600, 2_000, 2_000] {
            let full = Duration::from_millis(full);
            let pause = growing.next();
            assert!(
                pause >= full / 2 && pause <= full,
                "{pause:?} is not half to all of {full:?}"
            );
        }
    }

    #[test]
    fn those_who_failed_at_one_moment_come_back_at_many() {
        let firsts: HashSet<_> = (0..20).map(|_| GrowingPause::default().next()).collect();
        assert!(firsts.len() > 10, "{firsts:?}");
        let full = Duration::from_secs(1000);
        let times: Vec<_> = (0..100).map(|_| jittered(full)).collect();
        assert!(times.iter().all(|time| (full / 2..=full).contains(time)));
        // They use the whole range.
        assert!(times.iter().any(|time| *time < full.mul_f64(0.65)));
        assert!(times.iter().any(|time| *time > full.mul_f64(0.85)));
    }
}
