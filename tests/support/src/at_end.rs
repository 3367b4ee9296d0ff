//! What must hold of a server's keys when its test ends.

use std::time::{Duration, Instant};

use crate::connect::connect;
use crate::eventually::STEP;
use crate::invariants;

/// Below which all keys of the tests are.
pub(crate) const PREFIX: &str = "tf";

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum AtEnd {
    /// Nothing.
    #[default]
    Nothing,
    /// No law is broken that holds at any moment.
    Sound,
    /// Moreover no job is left, within this time.
    Drained(Duration),
}

/// The laws that are broken at the server behind `url`. A test's end is no async function, so this blocks; and it has
/// threads and connections of its own, since those of the test may be gone.
pub(crate) fn broken_laws(url: &str, at_end: AtEnd) -> Vec<String> {
    if at_end == AtEnd::Nothing {
        return Vec::new();
    }
    let check = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be made");
        runtime.block_on(look(url, at_end))
    };
    let looked = std::thread::scope(|scope| scope.spawn(check).join());
    looked.unwrap_or_else(|_panicked| vec!["the check itself failed, see above".to_owned()])
}

async fn look(url: &str, at_end: AtEnd) -> Vec<String> {
    let mut redis = match connect(url).await {
        Ok(redis) => redis,
        Err(error) => return vec![format!("the server cannot be looked at: {error}")],
    };
    let AtEnd::Drained(patience) = at_end else {
        return invariants::live(&mut redis, PREFIX).await;
    };
    let start = Instant::now();
    loop {
        let broken = invariants::drained(&mut redis, PREFIX).await;
        if broken.is_empty() || start.elapsed() > patience {
            return broken;
        }
        tokio::time::sleep(STEP).await;
    }
}
