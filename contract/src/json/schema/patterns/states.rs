//! At how many combinations of the places of a pattern a search may be (its states, as a deterministic automaton). A search
//! remembers some thousands, and takes a nanosecond for a byte then; if there are more, it works them out again and again.

use std::collections::HashSet;

use super::read::{Node, Set};

/// The most states that are not too many.
const MOST: usize = 1_000;
/// As many places at most are looked at, and as many steps between them.
const MOST_PLACES: usize = 2_000;
const MOST_STEPS: usize = 300_000;
/// What is repeated more often than this has too many states if it has them when it is repeated so often, and else not.
const OFTEN: u64 = 40;
/// The most different sets of characters.
const MOST_SETS: usize = 64;

/// Whether a pattern has too many states. One that is not anchored may begin at each character.
pub(super) fn are_too_many(pattern: &Node, is_anchored: bool) -> bool {
    let mut places = Places::default();
    let Some(all) = places.add(pattern) else {
        return true;
    };
    let Some(kinds) = places.kinds() else {
        return true;
    };
    places.has_more_states_than(MOST, &all.first, (is_anchored, &kinds))
}

/// The places of a pattern, in the order in which they stand there.
#[derive(Debug, Default)]
struct Places {
    /// What each takes.
    sets: Vec<Set>,
    /// Those that may come after it.
    next: Vec<Vec<usize>>,
}

/// A part, by its places.
#[derive(Debug, Clone)]
struct Part {
    may_be_nothing: bool,
    first: Vec<usize>,
    last: Vec<usize>,
}

impl Part {
    const NOTHING: Self = Self {
        may_be_nothing: true,
        first: Vec::new(),
        last: Vec::new(),
    };
}

impl Places {
    /// Adds a part; `None` if that makes too many places.
    fn add(&mut self, node: &Node) -> Option<Part> {
        match node {
            Node::Nothing => Some(Part::NOTHING),
            Node::Set(set) => {
                let place = self.sets.len();
                if place == MOST_PLACES {
                    return None;
                }
                self.sets.push(*set);
                self.next.push(Vec::new());
                Some(Part {
                    may_be_nothing: false,
                    first: vec![place],
                    last: vec![place],
                })
            }
            Node::Row(parts) => parts.iter().try_fold(Part::NOTHING, |before, part| {
                let part = self.add(part)?;
                Some(self.joined(before, part))
            }),
            Node::OneOf(parts) => {
                let mut all = Part {
                    may_be_nothing: false,
                    ..Part::NOTHING
                };
                for part in parts {
                    let part = self.add(part)?;
                    all.may_be_nothing |= part.may_be_nothing;
                    all.first.extend(part.first);
                    all.last.extend(part.last);
                }
                Some(all)
            }
            Node::Repeated(part, least, most) => self.add_repeated(part, *least, *most),
        }
    }

    fn add_repeated(&mut self, node: &Node, least: u64, most: Option<u64>) -> Option<Part> {
        let times = most.unwrap_or(least).clamp(1, OFTEN);
        let mut all = Part::NOTHING;
        // Those after which it may be over.
        let mut ends = Vec::new();
        for time in 1..=times {
            let part = self.add(node)?;
            let last = part.last.clone();
            if most.is_none() && time == times {
                self.lead(&last, &part.first);
            }
            all = self.joined(all, part);
            if time >= least.min(times) {
                ends.extend(last);
            }
        }
        all.may_be_nothing |= least == 0 || most == Some(0);
        all.last.extend(ends);
        all.last.sort_unstable();
        all.last.dedup();
        Some(all)
    }

    /// A part with another one behind it.
    fn joined(&mut self, before: Part, part: Part) -> Part {
        self.lead(&before.last, &part.first);
        let mut all = before;
        if all.may_be_nothing {
            all.first.extend(&part.first);
        }
        if !part.may_be_nothing {
            all.last.clear();
        }
        all.last.extend(part.last);
        all.may_be_nothing &= part.may_be_nothing;
        all
    }

    fn lead(&mut self, from: &[usize], to: &[usize]) {
        for place in from {
            if let Some(next) = self.next.get_mut(*place) {
                next.extend(to);
            }
        }
    }

    /// The kinds of characters that it tells apart: which of its sets have them, by place, a bit for each kind.
    fn kinds(&self) -> Option<Vec<u64>> {
        let mut sets: Vec<Set> = Vec::new();
        for set in &self.sets {
            if !sets.contains(set) {
                sets.push(*set);
            }
        }
        if sets.len() > MOST_SETS {
            return None;
        }
        let mut kinds: Vec<u64> = Vec::new();
        for character in 0..=128_u32 {
            let has = |set: &Set| match 1_u128.checked_shl(character) {
                Some(bit) => set.ascii & bit != 0,
                None => set.others,
            };
            let having = sets.iter().enumerate().filter(|(_, set)| has(set));
            let kind = having.fold(0, |all, (number, _)| all | 1 << number);
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        if kinds.len() > 64 {
            return None;
        }
        // By place: which kinds it takes.
        let taken = self.sets.iter().map(|set| {
            let number = sets.iter().position(|other| other == set).unwrap_or(0);
            let takes = |kind: &u64| kind >> number & 1 == 1;
            let kinds = kinds.iter().enumerate().filter(|(_, kind)| takes(kind));
            kinds.fold(0_u64, |all, (kind, _)| all | 1 << kind)
        });
        Some(taken.collect())
    }

    fn has_more_states_than(
        &self,
        most: usize,
        first: &[usize],
        (is_anchored, kinds): (bool, &[u64]),
    ) -> bool {
        let mut known: HashSet<Vec<usize>> = HashSet::new();
        // What may be next in each state that was not looked at yet.
        let mut open = vec![first.to_vec()];
        let mut steps = 0;
        while let Some(next) = open.pop() {
            let all = next.iter().filter_map(|place| kinds.get(*place));
            let all = all.fold(0, |all, kinds| all | kinds);
            for kind in (0..64).filter(|kind| all >> kind & 1 == 1) {
                let takes =
                    |place: &&usize| kinds.get(**place).is_some_and(|all| all >> kind & 1 == 1);
                let mut state: Vec<usize> = next.iter().filter(takes).copied().collect();
                state.sort_unstable();
                state.dedup();
                steps += next.len();
                if known.contains(&state) {
                    continue;
                }
                let after = state.iter().filter_map(|place| self.next.get(*place));
                let mut after: Vec<usize> = after.flatten().copied().collect();
                if !is_anchored {
                    after.extend(first);
                }
                after.sort_unstable();
                after.dedup();
                steps += after.len();
                known.insert(state);
                if known.len() > most || steps > MOST_STEPS {
                    return true;
                }
                open.push(after);
            }
        }
        false
    }
}
