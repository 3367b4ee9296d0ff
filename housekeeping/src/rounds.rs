//! Loops that work in rounds and sleep between two.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What works in rounds, and lives through all of them.
pub(crate) trait Round: Send {
    /// Does one round; returns how long to sleep after it.
    fn work(&mut self) -> impl Future<Output = Duration> + Send;
}

/// Works in rounds until `stop`. Use `wake.notify_waiters()`: during a sleep it ends it, during a
/// round it skips the next sleep. `stop` ends a sleep, never a round.
pub(crate) async fn repeat(mut round: impl Round, wake: &Notify, stop: &CancellationToken) {
    let mut sleep = Duration::ZERO;
    let mut woken = pin!(wake.notified());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(sleep) => {}
            () = woken.as_mut() => {}
        }
        // `notify_waiters` reaches only those who wait already, so the wait for the next wake begins before the work.
        woken.set(wake.notified());
        woken.as_mut().enable();
        sleep = round.work().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Is woken while its first round is under way, and stops in its second.
    struct WokenAtWork {
        wake: Arc<Notify>,
        stop: CancellationToken,
        is_second: bool,
    }

    impl Round for WokenAtWork {
        async fn work(&mut self) -> Duration {
            if self.is_second {
                self.stop.cancel();
            }
            self.is_second = true;
            self.wake.notify_waiters();
            HOUR
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wake_during_a_round_is_not_lost() {
        let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let round = WokenAtWork {
            wake: Arc::clone(&wake),
            stop: stop.clone(),
            is_second: false,
        };
        let begun = Instant::now();
        repeat(round, &wake, &stop).await;
        assert!(begun.elapsed() < HOUR, "it slept through the wake");
    }
}
