//! A budget of memory that many share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// What a charge is counted in, bytes.
const UNIT: usize = 1024;

/// So many bytes, from which charges are taken. Clones are one budget.
#[derive(Debug, Clone)]
pub struct Budget {
    pub(crate) own: Arc<Bytes>,
    /// What it is a part of, if it is one: whatever is taken of the part is taken of that, too.
    whole: Option<Arc<Bytes>>,
}

#[derive(Debug)]
pub(crate) struct Bytes {
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
        Self {
            own: Bytes::new(bytes),
            whole: None,
        }
    }

    /// The part of this one that has these bytes.
    pub(crate) fn part(&self, made: Arc<Bytes>) -> Self {
        Self {
            own: made,
            whole: Some(Arc::clone(&self.own)),
        }
    }

    /// A charge of nothing yet.
    #[must_use]
    pub fn charge(&self) -> Charge {
        Charge {
            own: Taken::nothing(&self.own),
            whole: self.whole.as_ref().map(Taken::nothing),
        }
    }

    /// Whether somebody waits for what others hold; of a part, for what its own charges hold.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.own.is_short()
    }
}

impl Bytes {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        let all = (bytes / UNIT).min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            left: Arc::new(Semaphore::new(all)),
            all,
            waiting: AtomicUsize::new(0),
        })
    }

    pub(crate) fn is_short(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }

    /// The units of `bytes`, or of all there is if that is less.
    fn units_at_most(&self, bytes: usize) -> usize {
        bytes.div_ceil(UNIT).min(self.all)
    }
}

/// What one holder took of a budget; given back when it is dropped.
#[derive(Debug)]
pub struct Charge {
    own: Taken,
    whole: Option<Taken>,
}

impl Charge {
    /// Whether nothing was taken, or all of it was given back.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.own.units() == 0
    }

    /// Gives all of it back.
    pub fn give_back(&mut self) {
        self.shrink_to(0);
    }

    /// Gives back what it has beyond `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        for taken in self.whole.iter_mut().chain([&mut self.own]) {
            taken.shrink_to(bytes.div_ceil(UNIT));
        }
    }

    /// Takes as much more as makes the charge at least `bytes`. False if the budget has not enough left; then nothing
    /// changes. What is more than a whole part takes that part whole, and the rest of what it is a part of.
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let Some(whole) = &mut self.whole else {
            return self.own.grow_to(bytes.div_ceil(UNIT));
        };
        let before = self.own.units();
        if !self.own.grow_to(self.own.of.units_at_most(bytes)) {
            return false;
        }
        let has_grown = whole.grow_to(bytes.div_ceil(UNIT));
        if !has_grown {
            self.own.shrink_to(before);
        }
        has_grown
    }

    /// As [`Self::grow_to`], but waits for it up to `limit`, in the order in which all ask: first of the part, then of what it
    /// is a part of. What is more than the whole budget takes the whole budget.
    pub async fn wait_for(&mut self, bytes: usize, limit: Duration) -> bool {
        let (before, begun) = (self.own.units(), Instant::now());
        if !self.own.wait_for(bytes, limit).await {
            return false;
        }
        let Some(whole) = &mut self.whole else {
            return true;
        };
        let left = limit.saturating_sub(begun.elapsed());
        let has_grown = whole.wait_for(bytes, left).await;
        if !has_grown {
            self.own.shrink_to(before);
        }
        has_grown
    }
}

/// What was taken of a budget, or of what it is a part of.
#[derive(Debug)]
struct Taken {
    of: Arc<Bytes>,
    held: Option<OwnedSemaphorePermit>,
}

impl Taken {
    fn nothing(of: &Arc<Bytes>) -> Self {
        Self {
            of: Arc::clone(of),
            held: None,
        }
    }

    fn units(&self) -> usize {
        let held = self.held.as_ref();
        held.map_or(0, OwnedSemaphorePermit::num_permits)
    }

    fn shrink_to(&mut self, units: usize) {
        let beyond = self.units().saturating_sub(units);
        if let Some(held) = &mut self.held {
            drop(held.split(beyond));
        }
    }

    fn grow_to(&mut self, units: usize) -> bool {
        let more = units.saturating_sub(self.units());
        if more == 0 {
            return true;
        }
        let left = Arc::clone(&self.of.left);
        let taken = u32::try_from(more)
            .ok()
            .and_then(|more| left.try_acquire_many_owned(more).ok());
        taken.map(|taken| self.add(taken)).is_some()
    }

    async fn wait_for(&mut self, bytes: usize, limit: Duration) -> bool {
        let units = self.of.units_at_most(bytes);
        if self.grow_to(units) {
            return true;
        }
        let Ok(more) = u32::try_from(units.saturating_sub(self.units())) else {
            return false;
        };
        let _counted = Waiting::begin(&self.of);
        let left = Arc::clone(&self.of.left);
        let taken = tokio::time::timeout(limit, left.acquire_many_owned(more)).await;
        let taken = taken.ok().and_then(Result::ok);
        taken.map(|taken| self.add(taken)).is_some()
    }

    fn add(&mut self, taken: OwnedSemaphorePermit) {
        match &mut self.held {
            Some(held) => held.merge(taken),
            None => self.held = Some(taken),
        }
    }
}

/// One who waits for a charge, until this is dropped.
struct Waiting(Arc<Bytes>);

impl Waiting {
    fn begin(of: &Arc<Bytes>) -> Self {
        of.waiting.fetch_add(1, Relaxed);
        Self(Arc::clone(of))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
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

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_of_a_part_is_taken_of_the_whole() {
        let whole = Budget::new(10 * UNIT);
        let part = whole.part(Bytes::new(6 * UNIT));
        let (mut first, mut second, mut other) = (part.charge(), part.charge(), whole.charge());
        assert!(first.grow_to(4 * UNIT));
        assert!(!second.grow_to(3 * UNIT), "the part has too little");
        assert!(!other.grow_to(7 * UNIT), "the whole has too little");
        assert!(other.grow_to(6 * UNIT));
        assert!(!second.grow_to(2 * UNIT), "the whole has nothing left");
        other.shrink_to(4 * UNIT);
        assert!(second.grow_to(2 * UNIT), "the failure took nothing");

        // Who waits for a part waits for that alone.
        {
            let mut third = part.charge();
            let mut waits = std::pin::pin!(third.wait_for(3 * UNIT, Duration::from_secs(60)));
            assert!(futures_util::poll!(waits.as_mut()).is_pending());
            assert_eq!((part.is_short(), whole.is_short()), (true, false));
            first.give_back();
            assert!(waits.await);
        }
        drop(second);

        // More than a part is all of it, and as much of the whole as it takes.
        assert!(!first.wait_for(9 * UNIT, Duration::ZERO).await);
        other.give_back();
        assert!(first.grow_to(9 * UNIT));
        assert!(!part.charge().grow_to(UNIT) && !other.grow_to(2 * UNIT));
        assert!(other.grow_to(UNIT));
    }
}
