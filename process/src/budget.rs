//! A budget of memory that many share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a charge is counted in, bytes.
const UNIT: usize = 1024;

/// So many bytes, from which charges are taken. Clones are one budget.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    left: Arc<Semaphore>,
    /// All there is, units.
    all: usize,
    /// How many wait for a charge.
    waiting: AtomicUsize,
}

impl Budget {
    /// A budget of `bytes`, rounded down to whole KiB.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let all = (bytes / UNIT).min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Inner {
            left: Arc::new(Semaphore::new(all)),
            all,
            waiting: AtomicUsize::new(0),
        }))
    }

    /// A charge of nothing yet.
    #[must_use]
    pub fn charge(&self) -> Charge {
        Charge {
            budget: self.clone(),
            held: None,
        }
    }

    /// Whether somebody waits for what others hold.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.0.waiting.load(Relaxed) > 0
    }
}

/// What one holder took of a budget; given back when it is dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    held: Option<OwnedSemaphorePermit>,
}

impl Charge {
    /// Whether nothing was taken, or all of it was given back.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.units() == 0
    }

    /// Gives all of it back.
    pub fn give_back(&mut self) {
        self.held = None;
    }

    /// Gives back what it has beyond `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let beyond = self.units().saturating_sub(bytes.div_ceil(UNIT));
        if let Some(held) = &mut self.held {
            drop(held.split(beyond));
        }
    }

    /// Takes as much more as makes the charge at least `bytes`. False if the budget has not enough left; then nothing
    /// changes.
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let more = self.missing(bytes);
        if more == 0 {
            return true;
        }
        let left = Arc::clone(&self.budget.0.left);
        let taken = u32::try_from(more)
            .ok()
            .and_then(|more| left.try_acquire_many_owned(more).ok());
        taken.map(|taken| self.add(taken)).is_some()
    }

    /// As [`Self::grow_to`], but waits for it up to `limit`, in the order in which all ask. What is more than the whole budget
    /// takes the whole budget.
    pub async fn wait_for(&mut self, bytes: usize, limit: Duration) -> bool {
        let most = self.budget.0.all.saturating_mul(UNIT);
        let bytes = bytes.min(most);
        if self.grow_to(bytes) {
            return true;
        }
        let Ok(more) = u32::try_from(self.missing(bytes)) else {
            return false;
        };
        let _counted = Waiting::begin(&self.budget);
        let left = Arc::clone(&self.budget.0.left);
        let taken = tokio::time::timeout(limit, left.acquire_many_owned(more)).await;
        let taken = taken.ok().and_then(Result::ok);
        taken.map(|taken| self.add(taken)).is_some()
    }

    /// How many units more make it at least `bytes`.
    fn missing(&self, bytes: usize) -> usize {
        bytes.div_ceil(UNIT).saturating_sub(self.units())
    }

    fn units(&self) -> usize {
        let held = self.held.as_ref();
        held.map_or(0, OwnedSemaphorePermit::num_permits)
    }

    fn add(&mut self, taken: OwnedSemaphorePermit) {
        match &mut self.held {
            Some(held) => held.merge(taken),
            None => self.held = Some(taken),
        }
    }
}

/// One who waits for a charge, until this is dropped.
struct Waiting(Budget);

impl Waiting {
    fn begin(budget: &Budget) -> Self {
        budget.0.waiting.fetch_add(1, Relaxed);
        Self(budget.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.waiting.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_missing_until_it_is_given_back() {
        let budget = Budget::new(10 * UNIT);
        let (mut first, mut second) = (budget.charge(), budget.charge());
        assert!(first.grow_to(6 * UNIT));
        assert!(first.grow_to(UNIT), "it has more than that");
        assert!(second.grow_to(4 * UNIT));
        assert!(!second.grow_to(4 * UNIT + 1));
        first.shrink_to(3 * UNIT);
        assert!(second.grow_to(7 * UNIT));
        drop(first);
        assert!(second.grow_to(10 * UNIT));
    }

    #[test]
    fn a_charge_that_was_refused_keeps_what_it_had() {
        let budget = Budget::new(10 * UNIT);
        let (mut first, mut second) = (budget.charge(), budget.charge());
        assert!(first.grow_to(8 * UNIT));
        assert!(!first.grow_to(usize::MAX));
        assert!(!second.grow_to(3 * UNIT));
        assert!(second.grow_to(2 * UNIT));
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_are_served_in_order_or_give_up() {
        let budget = Budget::new(10 * UNIT);
        let long = Duration::from_secs(60);
        let mut first = budget.charge();
        assert!(first.wait_for(usize::MAX, long).await, "it takes all");
        let (mut second, mut third) = (budget.charge(), budget.charge());
        assert!(!second.wait_for(UNIT, Duration::from_secs(1)).await);
        assert!(!budget.is_short(), "nobody waits any more");
        let both = async {
            tokio::join!(
                second.wait_for(8 * UNIT, long),
                third.wait_for(2 * UNIT, long)
            )
        };
        let mut both = std::pin::pin!(both);
        assert!(futures_util::poll!(both.as_mut()).is_pending());
        assert!(budget.is_short());
        first.shrink_to(8 * UNIT);
        assert!(
            futures_util::poll!(both.as_mut()).is_pending(),
            "the third waits behind the second"
        );
        first.give_back();
        assert_eq!(both.await, (true, true));
    }
}
