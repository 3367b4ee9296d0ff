//! Waiting for a condition, the only waiting a test does.

use std::time::{Duration, Instant};

/// How often the condition is looked at.
pub(crate) const STEP: Duration = Duration::from_millis(5);

/// Waits until `predicate` holds, at most for `deadline`.
///
/// # Panics
///
/// With `what`, if it never held.
pub async fn eventually(deadline: Duration, what: &str, mut predicate: impl AsyncFnMut() -> bool) {
    eventually_some(deadline, what, async || predicate().await.then_some(())).await;
}

/// Waits until `find` finds something, at most for `deadline`, and gives it.
///
/// # Panics
///
/// With `what`, if nothing was found.
pub async fn eventually_some<T>(
    deadline: Duration,
    what: &str,
    mut find: impl AsyncFnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = find().await {
            return found;
        }
        if start.elapsed() > deadline {
            panic!("not within {deadline:?}: {what}");
        }
        tokio::time::sleep(STEP).await;
    }
}

/// Looks for so long that `predicate` holds each time: for what must not happen.
///
/// # Panics
///
/// With `what`, as soon as it does not hold.
pub async fn stays(length: Duration, what: &str, mut predicate: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < length {
        if !predicate().await {
            panic!("no longer so after {:?}: {what}", start.elapsed());
        }
        tokio::time::sleep(STEP).await;
    }
}

/// Gives what was begun some time to come under way, where nothing shows from outside that it has. The test must hold also
/// if the time was too short.
pub async fn let_begin(length: Duration) {
    tokio::time::sleep(length).await;
}

/// Three rounds, each of which tells how long something took: one of them must be within `bound`. What always comes late
/// fails them all, a stall of the machine one.
///
/// # Panics
///
/// With `what`, if every round took longer.
pub async fn promptly(bound: Duration, what: &str, mut round: impl AsyncFnMut() -> Duration) {
    let mut all = Vec::new();
    for _ in 0..3 {
        let took = round().await;
        if took < bound {
            return;
        }
        all.push(took);
    }
    panic!("never within {bound:?}, but {all:?}: {what}");
}
