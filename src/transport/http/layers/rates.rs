//! How many requests an address may make in a second (generic cell rate algorithm, as the contract's `take_rate` for callers).
//! One that fails to say who it is, or names what is not there, counts for several: so nobody tries out tokens and ids.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::bridge::FAILURE;
use crate::transport::http::peers::Peer;

/// So many may come at once as in this time.
const BURST: Duration = Duration::from_secs(1);
/// An address that fails again and again waits so long at most.
const DEBT: Duration = Duration::from_secs(10);
/// That an address makes too many requests is logged no more often than this.
const TELL_AGAIN: Duration = Duration::from_secs(60);
/// Addresses that used nothing for long enough are forgotten once there are so many.
const TIDY_AT: usize = 10_000;

/// The requests of each address.
#[derive(Debug, Clone)]
pub(in crate::transport::http) struct Rates(Option<Arc<Limited>>);

#[derive(Debug)]
struct Limited {
    /// Between two requests at the rate.
    space: Duration,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    /// When each address will have used nothing.
    until: HashMap<Peer, Instant>,
    /// How many addresses there may be before they are tidied up.
    tidy_at: usize,
    /// When it was logged last that one makes too many.
    told: Option<Instant>,
}

impl Rates {
    /// So many in a second, and as many at once; no limit if absent.
    pub(in crate::transport::http) fn new(each_second: Option<NonZeroU32>) -> Self {
        Self(each_second.map(|rate| {
            Arc::new(Limited {
                space: Duration::from_secs(1) / rate.get(),
                used: Mutex::default(),
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
        let mut used = limited.used.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        used.tidy(now);
        let until = used.until.entry(peer).or_insert(now);
        let after = (*until).max(now) + limited.space;
        match after.checked_duration_since(now + BURST.max(limited.space)) {
            Some(wait) if !wait.is_zero() => {
                used.tell(peer, now);
                Err(wait)
            }
            _ => {
                *until = after;
                Ok(())
            }
        }
    }

    /// Counts that so many of what a request of a peer named failed.
    pub(in crate::transport::http) fn failed(&self, peer: Peer, times: u32) {
        if let Some(limited) = &self.0 {
            let mut used = limited.used.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let until = used.until.entry(peer).or_insert(now);
            let owed = limited.space * FAILURE.saturating_mul(times.min(100));
            *until = ((*until).max(now) + owed).min(now + DEBT);
        }
    }
}

impl Used {
    /// Says that a peer makes too many requests, as whoever runs this may know that it is a proxy.
    fn tell(&mut self, peer: Peer, now: Instant) {
        if self.told.is_none_or(|told| now - told >= TELL_AGAIN) {
            self.told = Some(now);
            let peer = peer.address();
            tracing::warn!(%peer, "an address makes more requests than one may (address_rate): if it is the address of a proxy, name it in trusted_proxies");
        }
    }

    fn tidy(&mut self, now: Instant) {
        if self.until.len() >= self.tidy_at.max(TIDY_AT) {
            self.until.retain(|_, until| *until > now);
            self.tidy_at = self.until.len() * 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn peer(last: u8) -> Peer {
        Peer::from(IpAddr::from([192, 0, 2, last]))
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_has_its_rate_and_failures_count_more() {
        let rates = Rates::new(NonZeroU32::new(20));
        let (one, two) = (peer(1), peer(2));
        (0..10).for_each(|_| rates.take(one).unwrap());
        rates.failed(one, 1);
        rates.take(one).unwrap();
        assert_eq!(rates.take(one), Err(Duration::from_millis(50)));
        rates.take(two).unwrap();
        tokio::time::advance(Duration::from_millis(50)).await;
        rates.take(one).unwrap();
        let none = Rates::new(None);
        assert!((0..1000).all(|_| none.take(one).is_ok()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_fails_without_end_fails_at_a_tenth_of_the_rate_and_waits_ten_seconds_at_most() {
        let (rates, one) = (Rates::new(NonZeroU32::new(20)), peer(1));
        let mut failed = 0;
        for _ in 0..1000 {
            if rates.take(one).is_ok() {
                rates.failed(one, 1);
                failed += 1;
            }
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        assert!((18..=24).contains(&failed), "{failed}");
        rates.failed(one, u32::MAX);
        assert!(rates.take(one).unwrap_err() <= DEBT);
        tokio::time::advance(DEBT).await;
        rates.take(one).unwrap();
    }
}
