//! How many of something each holder has, up to a bound.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What each holder, `K`, has taken. Clones are one count.
#[derive(Debug, Clone)]
pub struct Shares<K>(Arc<Mutex<HashMap<K, usize>>>);

impl<K> Default for Shares<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash + Clone> Shares<K> {
    /// Takes one more for a holder. `None` if it has `most` or more.
    #[must_use]
    pub fn take(&self, holder: K, most: usize) -> Option<Share<K>> {
        let mut taken = lock(&self.0);
        let count = taken.get(&holder).copied().unwrap_or(0);
        if count >= most {
            return None;
        }
        taken.insert(holder.clone(), count + 1);
        drop(taken);
        Some(Share {
            taken: Arc::clone(&self.0),
            holder,
        })
    }

    /// How many a holder has.
    #[must_use]
    pub fn of(&self, holder: &K) -> usize {
        lock(&self.0).get(holder).copied().unwrap_or(0)
    }
}

/// One that a holder took, given back when it is dropped.
#[derive(Debug)]
pub struct Share<K: Eq + Hash> {
    taken: Arc<Mutex<HashMap<K, usize>>>,
    holder: K,
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(count) = taken.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.holder);
            }
        }
    }
}

fn lock<K>(taken: &Mutex<HashMap<K, usize>>) -> MutexGuard<'_, HashMap<K, usize>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_has_its_share_and_gives_it_back() {
        let shares = Shares::default();
        let first = shares.take("one", 2);
        let second = shares.take("one", 2);
        assert!(first.is_some() && second.is_some());
        assert!(shares.take("one", 2).is_none());
        assert!(shares.take("other", 2).is_some());
        assert_eq!((shares.of(&"one"), shares.of(&"other")), (2, 0));
        drop(first);
        assert!(shares.take("one", 2).is_some());
        drop(second);
        assert!(lock(&shares.0).is_empty());
        assert!(shares.take("none", 0).is_none());
        assert!(lock(&shares.0).is_empty(), "what was refused holds nothing");
    }
}
