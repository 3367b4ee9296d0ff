//! What a worker reports of itself: whether it takes jobs, and if not, why.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use taskferry_contract::Shard;

/// A read of new entries returns after a few seconds. One that takes this long is stuck.
const STUCK: Duration = Duration::from_secs(30);
/// How much of an error is shown, characters.
const ERROR_CHARS: usize = 160;

/// What the fetcher of a shard does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fetching {
    /// It waits for a free slot.
    Full,
    /// It reads, or waits for an entry.
    Reading,
    /// The last read failed, and why.
    Failing(String),
    /// It ended, and is begun again.
    Ended,
}

/// What the loops of a worker do.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    fetchers: BTreeMap<Shard, (Fetching, Instant)>,
    /// How often a loop died, by its name.
    deaths: BTreeMap<String, u64>,
}

impl Activity {
    /// Notes what the fetcher of a shard does from `now` on.
    pub(crate) fn note_fetcher(&mut self, shard: Shard, does: Fetching, now: Instant) {
        self.fetchers.insert(shard, (does, now));
    }

    /// Notes that a loop died.
    pub(crate) fn note_death(&mut self, name: &str) {
        *self.deaths.entry(name.to_owned()).or_default() += 1;
    }

    /// In one line what the worker does at `now`: `fetching`, `full`, or `not fetching: …`; and what died, if anything did.
    pub(crate) fn in_one_line(&self, now: Instant) -> String {
        let mut line = match self.hindered(now) {
            Some(why) => format!("not fetching: {why}"),
            None if self.is_full() => "full".to_owned(),
            None => "fetching".to_owned(),
        };
        for (name, times) in &self.deaths {
            // Writing to a string cannot fail.
            let _always_ok = write!(line, "; {name} died and was begun again, times: {times}");
        }
        line
    }

    fn is_full(&self) -> bool {
        !self.fetchers.is_empty()
            && self
                .fetchers
                .values()
                .all(|(does, _)| *does == Fetching::Full)
    }

    /// Why a shard is not read.
    fn hindered(&self, now: Instant) -> Option<String> {
        let several = self.fetchers.len() > 1;
        self.fetchers.iter().find_map(|(shard, (does, since))| {
            let took = now.saturating_duration_since(*since);
            let why = match does {
                Fetching::Failing(error) => one_line(error),
                Fetching::Ended => "the fetcher ended".to_owned(),
                Fetching::Reading if took > STUCK => {
                    format!("a read has gone on for {} s", took.as_secs())
                }
                Fetching::Full | Fetching::Reading => return None,
            };
            Some(if several {
                format!("shard {shard}: {why}")
            } else {
                why
            })
        })
    }
}

fn one_line(text: &str) -> String {
    let text = text.chars().take(ERROR_CHARS);
    text.map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use taskferry_contract::Shards;

    #[test]
    fn a_worker_says_whether_it_fetches_and_if_not_why() {
        let shard = Shards::default().all().next().unwrap();
        let (mut activity, now) = (Activity::default(), Instant::now());
        let mut told = |does, later| {
            activity.note_fetcher(shard, does, now);
            activity.in_one_line(now + later)
        };
        let soon = Duration::from_secs(6);
        assert_eq!(told(Fetching::Reading, soon), "fetching");
        assert_eq!(told(Fetching::Reading, STUCK), "fetching");
        assert_eq!(told(Fetching::Full, STUCK * 9), "full");
        let failing = Fetching::Failing("no\npermission".to_owned());
        assert_eq!(told(failing, soon), "not fetching: no permission");
        let stuck = told(Fetching::Reading, Duration::from_secs(95));
        assert_eq!(stuck, "not fetching: a read has gone on for 95 s");
        let ended = told(Fetching::Ended, soon);
        assert_eq!(ended, "not fetching: the fetcher ended");
    }

    #[test]
    fn one_shard_that_is_not_read_is_reported_and_one_that_is_full_is_not_all() {
        let shards: Vec<Shard> = Shards::new(2).unwrap().all().collect();
        let (mut activity, now) = (Activity::default(), Instant::now());
        activity.note_fetcher(shards[0], Fetching::Reading, now);
        activity.note_fetcher(shards[1], Fetching::Full, now);
        assert_eq!(activity.in_one_line(now), "fetching");
        activity.note_fetcher(shards[1], Fetching::Failing("no".to_owned()), now);
        assert_eq!(activity.in_one_line(now), "not fetching: shard 1: no");
    }

    #[test]
    fn what_died_is_reported_until_the_worker_ends() {
        let mut activity = Activity::default();
        activity.note_death("housekeeper 0");
        let now = Instant::now();
        assert_eq!(
            activity.in_one_line(now),
            "fetching; housekeeper 0 died and was begun again, times: 1"
        );
        activity.note_death("housekeeper 0");
        assert_eq!(
            activity.in_one_line(now),
            "fetching; housekeeper 0 died and was begun again, times: 2"
        );
    }
}
