//! The secrets that count at a time.

use std::fmt;

/// What front ends sign with, and what they signed with before it was rotated.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets {
    current: String,
    /// The one before, and until when it counts, ms since the epoch.
    before: Option<(String, u64)>,
}

impl Secrets {
    /// As they are stored: the secret, and, after it was rotated, the one before and until when that counts.
    pub(crate) fn read(stored: &str) -> Self {
        let mut words = stored.split(' ');
        let current = words.next().unwrap_or_default().to_owned();
        let before = words.next().zip(words.next());
        let before =
            before.and_then(|(before, until)| Some((before.to_owned(), until.parse().ok()?)));
        Self { current, before }
    }

    /// What is signed with.
    #[must_use]
    pub fn current(&self) -> &str {
        &self.current
    }

    /// Those by which a signature counts at a time, ms since the epoch: the current one first.
    pub fn counting(&self, now_ms: u64) -> impl Iterator<Item = &str> {
        let before = self
            .before
            .as_ref()
            .filter(move |(_, until)| now_ms < *until);
        let before = before.map(|(before, _)| before.as_str());
        std::iter::once(self.current.as_str()).chain(before)
    }
}

/// Shows none.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_before_counts_until_its_time_and_is_never_signed_with() {
        let secrets = Secrets::read("new old 1000");
        let at = |now_ms| secrets.counting(now_ms).collect::<Vec<_>>();
        assert_eq!((at(999), at(1000)), (vec!["new", "old"], vec!["new"]));
        assert_eq!(secrets.current(), "new");
        assert_eq!(
            Secrets::read("one").counting(0).collect::<Vec<_>>(),
            ["one"]
        );
        assert_eq!(format!("{secrets:?}"), "Secrets");
    }
}
