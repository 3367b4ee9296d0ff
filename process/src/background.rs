//! Loops that must not end before their process does.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

/// How long is waited until a loop that ended is begun again, at first and at most.
const PAUSE: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];
/// One that ran for so long ran well: the next pause is short again.
const RAN_WELL: Duration = Duration::from_secs(60);

/// Runs a loop until `stop`. If it panics, or ends before, that is logged as an error, `ended` is called, and after a pause
/// it is begun again: what is left undone is seen, and not for long.
///
/// `begin` may be called often and must make the loop start from what others left. `name` is for the log.
pub async fn keep_running<F: Future<Output = ()>>(
    name: &str,
    stop: &CancellationToken,
    mut begin: impl FnMut() -> F,
    ended: impl Fn(),
) {
    let [shortest, longest] = PAUSE;
    let mut pause = shortest;
    loop {
        let begun = Instant::now();
        let outcome = AssertUnwindSafe(async { begin().await })
            .catch_unwind()
            .await;
        match outcome {
            Ok(()) if stop.is_cancelled() => return,
            Ok(()) => tracing::error!(name, "a loop ended; it is begun again"),
            Err(panic) => {
                let reason = text_of(panic.as_ref());
                tracing::error!(name, reason, "a loop panicked; it is begun again");
            }
        }
        ended();
        if begun.elapsed() > RAN_WELL {
            pause = shortest;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(longest),
        }
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a value that is no text")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_panics_or_ends_is_begun_again_until_it_is_stopped() {
        let (stop, rounds, told) = (
            CancellationToken::new(),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        let begin = || {
            let round = rounds.fetch_add(1, Ordering::Relaxed);
            let stop = stop.clone();
            async move {
                match round {
                    0 => panic!("a text"),
                    1 => {}
                    2 => std::panic::panic_any(7),
                    _ => {
                        stop.cancel();
                        stop.cancelled().await;
                    }
                }
            }
        };
        let ended = || {
            told.fetch_add(1, Ordering::Relaxed);
        };
        keep_running("test", &stop, begin, ended).await;
        assert_eq!(rounds.load(Ordering::Relaxed), 4);
        assert_eq!(told.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_always_panics_is_begun_at_most_every_few_seconds_and_can_be_stopped() {
        let (stop, rounds) = (CancellationToken::new(), AtomicUsize::new(0));
        let begin = || {
            rounds.fetch_add(1, Ordering::Relaxed);
            async { panic!("again") }
        };
        let kept = keep_running("test", &stop, begin, || {});
        let stopped = async {
            tokio::time::sleep(Duration::from_secs(100)).await;
            stop.cancel();
        };
        tokio::join!(kept, stopped);
        let begun = rounds.load(Ordering::Relaxed);
        assert!((20..30).contains(&begun), "it was begun {begun} times");
    }

    #[test]
    fn the_text_of_a_panic_is_found() {
        assert_eq!(text_of(&"a text"), "a text");
        assert_eq!(text_of(&"a text".to_owned()), "a text");
        assert_eq!(text_of(&7), "a value that is no text");
    }
}
