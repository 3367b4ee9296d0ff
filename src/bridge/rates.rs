//! How many requests a caller may make in a second, on all front ends together.

use std::num::NonZeroU32;
use std::time::Duration;

use taskferry_contract::{Owner, RateCost, RateReply, Store};

/// For so many requests one counts, beside itself, that named what is not there or was not let in.
pub(crate) const FAILURE: u32 = 9;

/// The rates of all callers that have names.
#[derive(Debug)]
pub(crate) struct Rates {
    store: Store,
    each_second: Option<NonZeroU32>,
}

impl Rates {
    pub(super) fn new(store: Store, each_second: Option<NonZeroU32>) -> Self {
        Self { store, each_second }
    }

    /// Counts a request.
    ///
    /// # Errors
    ///
    /// When the caller may make the next one. If the store cannot be asked, the request goes on: it will find that out.
    pub(crate) async fn take(&self, owner: &Owner) -> Result<(), Duration> {
        let Some(each_second) = self.of(owner) else {
            return Ok(());
        };
        // Boxed: most requests do not need the room for it.
        let counted = Box::pin(self.count(
            owner,
            RateCost {
                each_second,
                cost: NonZeroU32::MIN,
                owed: false,
            },
        ));
        match counted.await {
            Some(RateReply::After(wait)) => Err(wait),
            Some(RateReply::Now) | None => Ok(()),
        }
    }

    /// Counts that a request named so many things that are not there.
    pub(crate) async fn failed(&self, owner: &Owner, times: u32) {
        self.owe(owner, times.saturating_mul(FAILURE)).await;
    }

    /// Counts so many requests that were made already.
    pub(crate) async fn owe(&self, owner: &Owner, requests: u32) {
        if let (Some(each_second), Some(cost)) = (self.of(owner), NonZeroU32::new(requests)) {
            let owed = RateCost {
                each_second,
                cost,
                owed: true,
            };
            Box::pin(self.count(owner, owed)).await;
        }
    }

    /// The rate of a caller, if it has one.
    fn of(&self, owner: &Owner) -> Option<NonZeroU32> {
        self.each_second.filter(|_| !owner.is_anonymous())
    }

    async fn count(&self, owner: &Owner, request: RateCost) -> Option<RateReply> {
        let counted = self.store.take_rate(owner, request).await;
        if let Err(error) = &counted {
            tracing::debug!(error = error.sentence(), "a request could not be counted");
        }
        counted.ok()
    }
}
