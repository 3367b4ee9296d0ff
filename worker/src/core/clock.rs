//! How long an attempt has left. Its time stands still while its handler waits for an answer, and then for a slot.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// The clock of one attempt.
#[derive(Debug)]
pub(crate) struct Clock(watch::Sender<Times>);

#[derive(Debug, Clone, Copy)]
struct Times {
    deadline: Instant,
    /// How many questions the handler waits for.
    waits: u32,
    /// Since when the clock stands still.
    since: Option<Instant>,
    /// Since when it has its answers and only waits for a slot.
    answered: Option<Instant>,
}

impl Clock {
    /// A clock that runs for `limit` from now.
    pub(crate) fn start(limit: Duration) -> Self {
        let now = Instant::now();
        // A limit that is too long to be added to the present time is no limit.
        let deadline = now.checked_add(limit);
        let deadline = deadline.unwrap_or_else(|| now + Duration::from_secs(u32::MAX.into()));
        Self(watch::Sender::new(Times {
            deadline,
            waits: 0,
            since: None,
            answered: None,
        }))
    }

    /// Begins to wait for an answer; true if the handler did not wait for one yet.
    pub(crate) fn begin_wait(&self) -> bool {
        let mut first = false;
        self.0.send_modify(|times| {
            first = times.waits == 0;
            times.waits += 1;
            times.since.get_or_insert_with(Instant::now);
            times.answered = None;
        });
        first
    }

    /// Ends the wait for an answer; true if the handler waits for none any more. The clock still stands: a slot comes
    /// first.
    pub(crate) fn end_wait(&self) -> bool {
        let mut last = false;
        self.0.send_modify(|times| {
            times.waits = times.waits.saturating_sub(1);
            last = times.waits == 0;
            if last {
                times.answered = Some(Instant::now());
            }
        });
        last
    }

    /// Runs again, now that the handler has a slot. False, and nothing changes, if it waits for an answer again.
    pub(crate) fn go_on(&self) -> bool {
        let mut goes_on = false;
        self.0.send_modify(|times| {
            goes_on = times.waits == 0;
            if goes_on && let Some(since) = times.since.take() {
                times.deadline += since.elapsed();
                times.answered = None;
            }
        });
        goes_on
    }

    /// How much time is left if the clock runs on from now.
    pub(crate) fn left(&self) -> Duration {
        let times = *self.0.borrow();
        let waited = times.since.map_or(Duration::ZERO, |since| since.elapsed());
        (times.deadline + waited).saturating_duration_since(Instant::now())
    }

    /// Waits until the time is up.
    pub(crate) async fn expired(&self) {
        let mut changes = self.0.subscribe();
        loop {
            let times = *changes.borrow_and_update();
            let up = async {
                match times.since {
                    None => sleep_until(times.deadline).await,
                    Some(_) => std::future::pending().await,
                }
            };
            tokio::select! {
                () = up => return,
                _changed = changes.changed() => {}
            }
        }
    }

    /// Waits until the handler has waited for an answer for `bound`, or waits for one at all once `at_once` is
    /// cancelled.
    pub(crate) async fn waited(&self, bound: Duration, at_once: &CancellationToken) {
        let for_an_answer = |times: &Times| times.since.filter(|_| times.waits > 0);
        self.stood(for_an_answer, bound, at_once).await;
    }

    /// Waits until the handler has waited for a slot for `bound`, with its answers, or waits for one at all once
    /// `at_once` is cancelled.
    pub(crate) async fn crowded_out(&self, bound: Duration, at_once: &CancellationToken) {
        self.stood(|times| times.answered, bound, at_once).await;
    }

    async fn stood(
        &self,
        since: impl Fn(&Times) -> Option<Instant>,
        bound: Duration,
        at_once: &CancellationToken,
    ) {
        let mut changes = self.0.subscribe();
        loop {
            let since = since(&changes.borrow_and_update());
            let due = async {
                match since {
                    Some(since) => tokio::select! {
                        () = sleep_until(since + bound) => {}
                        () = at_once.cancelled() => {}
                    },
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => return,
                _changed = changes.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn stands_still_while_an_answer_is_waited_for() {
        let clock = Clock::start(Duration::from_secs(10));
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!(clock.begin_wait());
        assert!(!clock.begin_wait());
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(clock.left(), Duration::from_secs(6));
        assert!(!clock.end_wait());
        assert!(!clock.go_on());
        assert!(clock.end_wait());
        tokio::time::advance(Duration::from_secs(50)).await;
        assert_eq!(clock.left(), Duration::from_secs(6));
        assert!(clock.go_on());
        let start = Instant::now();
        clock.expired().await;
        assert_eq!(start.elapsed(), Duration::from_secs(6));
    }

    #[tokio::test(start_paused = true)]
    async fn tells_when_an_answer_takes_too_long() {
        let clock = Clock::start(Duration::from_secs(10));
        let (bound, stop) = (Duration::from_secs(60), CancellationToken::new());
        clock.begin_wait();
        let start = Instant::now();
        clock.waited(bound, &stop).await;
        assert_eq!(start.elapsed(), bound);
        clock.end_wait();
        clock.crowded_out(bound, &stop).await;
        assert_eq!(start.elapsed(), bound * 2);
        stop.cancel();
        clock.crowded_out(bound, &stop).await;
        clock.go_on();
        assert!(
            tokio::time::timeout(bound, clock.waited(bound, &stop))
                .await
                .is_err()
        );
        clock.begin_wait();
        clock.waited(bound, &stop).await;
    }
}
