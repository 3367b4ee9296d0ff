//! What each holder may have of a budget of memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::budget::{Budget, Bytes};

/// Holders that have nothing are forgotten once so many are known.
const TIDY_AT: usize = 100;

/// A budget, and what each holder, `K`, has of it. Clones are one.
#[derive(Debug, Clone)]
pub struct Parts<K> {
    whole: Budget,
    /// The most that one holder has, bytes; all, if absent.
    most: Option<usize>,
    known: Arc<Mutex<Known<K>>>,
}

#[derive(Debug)]
struct Known<K> {
    parts: HashMap<K, Weak<Bytes>>,
    tidy_at: usize,
}

impl<K: Eq + Hash + Clone> Parts<K> {
    /// The parts of a budget. If `most` is absent, everyone may have all of it.
    #[must_use]
    pub fn new(whole: Budget, most: Option<usize>) -> Self {
        let known = Known {
            parts: HashMap::new(),
            tidy_at: TIDY_AT,
        };
        Self {
            whole,
            most,
            known: Arc::new(Mutex::new(known)),
        }
    }

    /// What a holder takes its charges from.
    #[must_use]
    pub fn of(&self, holder: &K) -> Budget {
        let Some(most) = self.most else {
            return self.whole.clone();
        };
        let mut known = self.lock();
        if let Some(part) = known.parts.get(holder).and_then(Weak::upgrade) {
            return self.whole.part(part);
        }
        let part = Bytes::new(most);
        known.tidy();
        known.parts.insert(holder.clone(), Arc::downgrade(&part));
        self.whole.part(part)
    }

    /// All of it.
    #[must_use]
    pub fn whole(&self) -> &Budget {
        &self.whole
    }

    /// Whether somebody waits for what others hold, or for what it holds itself.
    #[must_use]
    pub fn is_short(&self) -> bool {
        let is_short = |part: &Weak<Bytes>| part.upgrade().is_some_and(|part| part.is_short());
        self.whole.is_short() || self.lock().parts.values().any(is_short)
    }

    fn lock(&self) -> MutexGuard<'_, Known<K>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Known<K> {
    fn tidy(&mut self) {
        if self.parts.len() >= self.tidy_at {
            self.parts.retain(|_, part| part.strong_count() > 0);
            self.tidy_at = TIDY_AT.max(self.parts.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    #[test]
    fn each_holder_has_its_part_and_no_more() {
        let parts = Parts::new(Budget::new(10 * KIB), Some(6 * KIB));
        let (mut one, mut again) = (parts.of(&1).charge(), parts.of(&1).charge());
        assert!(one.grow_to(4 * KIB));
        assert!(!again.grow_to(3 * KIB));
        assert!(again.grow_to(2 * KIB));
        let mut other = parts.of(&2).charge();
        assert!(other.grow_to(4 * KIB));
        drop((one, again));
        assert!(parts.of(&1).charge().grow_to(6 * KIB));
        assert!(!parts.is_short());
    }

    #[test]
    fn without_a_bound_a_holder_may_have_all() {
        let parts = Parts::new(Budget::new(10 * KIB), None);
        assert!(parts.of(&1).charge().grow_to(10 * KIB));
    }

    #[test]
    fn those_who_have_nothing_are_forgotten() {
        let parts = Parts::new(Budget::new(10 * KIB), Some(KIB));
        let held = parts.of(&0);
        (1..1000).for_each(|holder| drop(parts.of(&holder)));
        assert!(parts.lock().parts.len() <= TIDY_AT);
        let mut charge = held.charge();
        assert!(charge.grow_to(KIB));
        assert!(!parts.of(&0).charge().grow_to(1), "it is the same part");
    }
}
