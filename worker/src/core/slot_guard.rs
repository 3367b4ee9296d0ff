//! The slot of a running attempt.

use std::sync::Mutex;

use super::lock::lock;
use super::slots::Permit;

/// The slot of an attempt. The attempt may give it back and take one again, but not after its end.
#[derive(Debug)]
pub(crate) struct SlotGuard(Mutex<Slot>);

#[derive(Debug)]
enum Slot {
    Held(#[expect(dead_code, reason = "it is held, not used")] Permit),
    Left,
    Over,
}

impl SlotGuard {
    pub(crate) fn new(permit: Permit) -> Self {
        Self(Mutex::new(Slot::Held(permit)))
    }

    /// Gives the slot back for a while.
    pub(crate) fn leave(&self) {
        let mut slot = lock(&self.0);
        if matches!(*slot, Slot::Held(_)) {
            *slot = Slot::Left;
        }
    }

    /// Takes a slot again; after the attempt's end it is given back at once.
    pub(crate) fn take(&self, permit: Permit) {
        let mut slot = lock(&self.0);
        if matches!(*slot, Slot::Left) {
            *slot = Slot::Held(permit);
        }
    }

    /// Gives the slot back for good.
    pub(crate) fn give_back(&self) {
        *lock(&self.0) = Slot::Over;
    }
}
