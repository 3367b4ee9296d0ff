//! How many requests an address may make in a second. One that fails to say who it is, or names what is not there, counts
//! for several: so nobody tries out tokens and ids.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::transport::http::peers::Peer;

/// For so many requests a failed one counts, beside itself.
pub(in crate::transport::http) const FAILURE: NonZeroU32 = NonZeroU32::new(9).unwrap();
/// What is known of addresses that were quiet for long enough is forgotten once in so many requests.
const TIDY_EVERY: u32 = 10_000;

/// The requests of each address.
#[derive(Debug, Clone)]
pub(in crate::transport::http) struct Rates(Option<Arc<Limited>>);

#[derive(Debug)]
struct Limited {
    limiter: DefaultKeyedRateLimiter<Peer>,
    clock: DefaultClock,
    taken: AtomicU32,
}

impl Rates {
    /// So many in a second, and as many at once; no limit if absent.
    pub(in crate::transport::http) fn new(each_second: Option<NonZeroU32>) -> Self {
        Self(each_second.map(|rate| {
            // A failure must fit in at all.
            let burst = rate.max(FAILURE.saturating_add(1));
            let quota = Quota::per_second(rate).allow_burst(burst);
            Arc::new(Limited {
                limiter: RateLimiter::keyed(quota),
                clock: DefaultClock::default(),
                taken: AtomicU32::new(0),
            })
        }))
    }

    /// Takes a request of a peer.
    ///
    /// # Errors
    ///
    /// When it may make the next one.
    pub(in crate::transport::http) fn take(&self, peer: Peer) -> Result<(), Duration> {
        let Some(limited) = &self.0 else {
            return Ok(());
        };
        if limited.taken.fetch_add(1, Ordering::Relaxed) % TIDY_EVERY == TIDY_EVERY - 1 {
            limited.limiter.retain_recent();
        }
        limited
            .limiter
            .check_key(&peer)
            .map_err(|not_until| not_until.wait_time_from(limited.clock.now()))
    }

    /// Counts that a request of a peer failed.
    pub(in crate::transport::http) fn failed(&self, peer: Peer) {
        if let Some(limited) = &self.0 {
            // If there is no room for that, it waits already.
            let _counted = limited.limiter.check_key_n(&peer, FAILURE);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn a_peer_has_its_rate_and_failures_count_more() {
        let rates = Rates::new(NonZeroU32::new(20));
        let [one, two] = [1, 2].map(|last| Peer::from(IpAddr::from([192, 0, 2, last])));
        for _ in 0..10 {
            rates.take(one).unwrap();
        }
        rates.failed(one);
        rates.take(one).unwrap();
        let wait = rates.take(one).unwrap_err();
        assert!(wait <= Duration::from_millis(60), "{wait:?}");
        rates.take(two).unwrap();
        let none = Rates::new(None);
        assert!((0..1000).all(|_| none.take(one).is_ok()));
    }
}
