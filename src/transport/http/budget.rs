//! A budget of memory that many share.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a charge is counted in, bytes.
const UNIT: usize = 1024;

/// So many bytes, from which charges are taken. Clones are one budget.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Semaphore>);

impl Budget {
    /// A budget of `bytes`, rounded down to whole KiB.
    pub(super) fn new(bytes: usize) -> Self {
        let units = (bytes / UNIT).min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(units)))
    }

    /// A charge of nothing yet.
    pub(super) fn charge(&self) -> Charge {
        Charge {
            budget: self.clone(),
            held: None,
        }
    }
}

/// What one holder took of a budget; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Budget,
    held: Option<OwnedSemaphorePermit>,
}

impl Charge {
    /// Gives all of it back.
    pub(super) fn give_back(&mut self) {
        self.held = None;
    }

    /// Takes as much more as makes the charge at least `bytes`. False if the budget has not enough left; then nothing
    /// changes.
    pub(super) fn grow_to(&mut self, bytes: usize) -> bool {
        let held = self
            .held
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(UNIT).saturating_sub(held);
        if more == 0 {
            return true;
        }
        let taken = u32::try_from(more)
            .ok()
            .and_then(|more| Arc::clone(&self.budget.0).try_acquire_many_owned(more).ok());
        let Some(taken) = taken else { return false };
        match &mut self.held {
            Some(held) => held.merge(taken),
            None => self.held = Some(taken),
        }
        true
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
}
