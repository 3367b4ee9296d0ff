//! Changes inputs, at random, the same in every run.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

/// The longest input that is made, bytes.
const LONGEST: usize = 8 << 10;

/// What parsers trip over.
const NASTY: [&[u8]; 24] = [
    b"\0",
    b"\n",
    b"\r",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"=",
    b"/",
    b".",
    b"-",
    b"::",
    b"\\ud800",
    b"\xff",
    b"\xe2\x80",
    b"\xf0\x9f\x98\x80",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"null",
];

/// Makes inputs out of those of a corpus.
pub(super) struct Mutator<'a> {
    rng: StdRng,
    corpus: &'a [Vec<u8>],
}

impl<'a> Mutator<'a> {
    /// One whose changes depend on the name and the corpus alone.
    pub(super) fn new(name: &str, corpus: &'a [Vec<u8>]) -> Self {
        let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, |seed: u64, byte| {
            (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self {
            rng: StdRng::seed_from_u64(seed),
            corpus,
        }
    }

    pub(super) fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.of_corpus().to_vec();
        for _ in 0..self.rng.random_range(1..=6) {
            self.change(&mut input);
        }
        input.truncate(LONGEST);
        input
    }

    fn of_corpus(&mut self) -> &'a [u8] {
        self.corpus.choose(&mut self.rng).map_or(&[], Vec::as_slice)
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.rng.random_range(0..=input.len());
        let end = self.rng.random_range(at..=input.len().min(at + 64));
        match self.rng.random_range(0..7) {
            0 => drop(input.drain(at..end)),
            1 => input.truncate(at),
            2 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.rng.random_range(0..8);
                }
            }
            3 => input.insert(at, self.rng.random()),
            4 => {
                let again = input.get(at..end).unwrap_or_default().to_vec();
                drop(input.splice(at..at, again));
            }
            5 => {
                let nasty = NASTY.choose(&mut self.rng).copied().unwrap_or_default();
                drop(input.splice(at..end, nasty.iter().copied()));
            }
            _ => {
                let other = self.of_corpus();
                let from = self.rng.random_range(0..=other.len());
                let rest = other.get(from..).unwrap_or_default();
                let rest = rest.get(..64).unwrap_or(rest);
                drop(input.splice(at..end, rest.iter().copied()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_inputs_are_made_again() {
        let corpus = [b"one".to_vec(), b"another".to_vec()];
        let made = |name| {
            let mut mutator = Mutator::new(name, &corpus);
            (0..100).map(|_| mutator.next_input()).collect::<Vec<_>>()
        };
        assert_eq!(made("a"), made("a"));
        assert_ne!(made("a"), made("b"));
        assert!(made("a").iter().any(|input| !corpus.contains(input)));
    }
}
