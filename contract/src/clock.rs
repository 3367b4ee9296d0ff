//! This machine's clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, ms since the epoch, by this machine's clock: for what Redis's own time is not asked for. 0 before 1970.
#[must_use]
pub fn local_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
}
