//! Which fault comes when: all from the seed.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;

/// How many of each there are.
pub(crate) const REPLICAS: usize = 3;
pub(crate) const WORKERS: usize = 4;

/// Between two faults, ms.
const GAP_MS: std::ops::Range<u64> = 250..700;
/// Before the first fault.
const QUIET: Duration = Duration::from_millis(700);

/// The kinds of faults under which every worker goes on.
pub(crate) const SPARE_WORKERS: [&str; 7] = [
    "KillReplica",
    "StopReplica",
    "KillRedis",
    "KillClients",
    "PauseClients",
    "SleepRedis",
    "FlushScripts",
];

/// A wire that can be disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Link {
    ClientToReplica(usize),
    ReplicaToRedis(usize),
    WorkerToRedis(usize),
}

/// What can be wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum BadEntry {
    /// It names no job.
    NoId,
    /// Its id is none.
    NotAnId,
    /// No such job exists.
    UnknownId,
    /// Nothing of it is ours.
    Garbage,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Fault {
    KillWorker(usize),
    FreezeWorker(usize, u64),
    StopWorker(usize),
    KillReplica(usize),
    FreezeReplica(usize, u64),
    StopReplica(usize),
    /// `kill -9` of whichever process keeps the queues going just then.
    KillHousekeeper,
    RollWorkers,
    RollReplicas,
    /// `kill -9` and a new start, with the data if any is kept.
    KillRedis(u64),
    FlushRedis,
    /// It has no memory left for anything new, for a while.
    FillRedis(u64),
    KillClients(&'static str),
    PauseClients(u64),
    SleepRedis(u64),
    FlushScripts,
    Cut(Link, usize),
    Delay(Link, u64, u64),
    HalfOpen(Link, usize, u64),
    Partition(Link, u64),
    BadEntry(BadEntry),
}

impl Fault {
    /// Its name, without what it is aimed at.
    pub(crate) fn kind(&self) -> String {
        let text = format!("{self:?}");
        let end = text.find('(').unwrap_or(text.len());
        text.get(..end).unwrap_or_default().to_owned()
    }
}

impl Fault {
    /// Whether it ends one of those that a soak watches: the first replica, the first and the last worker.
    pub(crate) fn ends_a_watched_one(self) -> bool {
        match self {
            Self::KillWorker(at) | Self::StopWorker(at) => at == 0 || at + 1 == WORKERS,
            Self::KillReplica(at) | Self::StopReplica(at) => at == 0,
            Self::KillHousekeeper | Self::RollWorkers | Self::RollReplicas => true,
            _ => false,
        }
    }
}

/// A fault and its time, from the beginning of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Timed {
    pub(crate) at_ms: u64,
    pub(crate) fault: Fault,
}

impl fmt::Display for Timed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7} ms  {:?}", self.at_ms, self.fault)
    }
}

/// Whether Redis keeps its data in a run of this seed.
pub(crate) fn keeps_data(seed: u64) -> bool {
    seed % 4 != 3
}

/// Draws a fault of one kind.
type Draw = fn(&mut StdRng) -> Fault;

/// The faults of a run; of the named kinds alone, if any is named.
pub(crate) fn schedule(seed: u64, length: Duration, only: &[String]) -> Vec<Timed> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut all = kinds(keeps_data(seed));
    all.retain(|draw| only.is_empty() || only.contains(&kind_of(*draw)));
    let (mut faults, mut deck) = (Vec::new(), Vec::new());
    let end = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let mut at_ms = u64::try_from(QUIET.as_millis()).unwrap_or_default();
    while at_ms < end {
        // Every kind comes once before any comes again.
        if deck.is_empty() {
            deck.clone_from(&all);
            deck.shuffle(&mut rng);
        }
        let Some(draw) = deck.pop() else {
            break;
        };
        faults.push(Timed {
            at_ms,
            fault: draw(&mut rng),
        });
        at_ms += rng.random_range(GAP_MS);
    }
    faults
}

/// The names of all kinds.
pub(crate) fn kind_names() -> Vec<String> {
    let mut names: Vec<String> = kinds(false).into_iter().map(kind_of).collect();
    names.sort();
    names.dedup();
    names
}

fn kind_of(draw: Draw) -> String {
    draw(&mut StdRng::seed_from_u64(0)).kind()
}

fn kinds(keeps_data: bool) -> Vec<Draw> {
    let mut kinds: Vec<Draw> = vec![
        |rng| Fault::KillWorker(rng.random_range(0..WORKERS)),
        |rng| Fault::KillWorker(rng.random_range(0..WORKERS)),
        |rng| Fault::FreezeWorker(rng.random_range(0..WORKERS), rng.random_range(1_400..2_600)),
        |rng| Fault::FreezeWorker(rng.random_range(0..WORKERS), rng.random_range(1_400..2_600)),
        |rng| Fault::StopWorker(rng.random_range(0..WORKERS)),
        |rng| Fault::KillReplica(rng.random_range(0..REPLICAS)),
        |rng| Fault::FreezeReplica(rng.random_range(0..REPLICAS), rng.random_range(500..2_000)),
        |rng| Fault::StopReplica(rng.random_range(0..REPLICAS)),
        |_| Fault::KillHousekeeper,
        |_| Fault::RollWorkers,
        |_| Fault::RollReplicas,
        |rng| Fault::KillRedis(rng.random_range(0..800)),
        |rng| Fault::FillRedis(rng.random_range(500..3_500)),
        |_| Fault::KillClients("normal"),
        |_| Fault::KillClients("pubsub"),
        |rng| Fault::PauseClients(rng.random_range(200..1_500)),
        |rng| Fault::SleepRedis(rng.random_range(100..1_500)),
        |_| Fault::FlushScripts,
        |rng| Fault::Cut(link(rng), rng.random_range(1..3)),
        |rng| {
            Fault::Delay(
                link(rng),
                rng.random_range(20..300),
                rng.random_range(500..2_500),
            )
        },
        |rng| {
            Fault::HalfOpen(
                link(rng),
                rng.random_range(1..3),
                rng.random_range(500..4_000),
            )
        },
        |rng| Fault::Partition(link(rng), rng.random_range(500..4_000)),
        |_| Fault::BadEntry(BadEntry::NoId),
        |_| Fault::BadEntry(BadEntry::NotAnId),
        |_| Fault::BadEntry(BadEntry::UnknownId),
        |_| Fault::BadEntry(BadEntry::Garbage),
    ];
    if !keeps_data {
        kinds.push(|_| Fault::FlushRedis);
    }
    kinds
}

fn link(rng: &mut StdRng) -> Link {
    match rng.random_range(0..3) {
        0 => Link::ClientToReplica(rng.random_range(0..REPLICAS)),
        1 => Link::ReplicaToRedis(rng.random_range(0..REPLICAS)),
        _ => Link::WorkerToRedis(rng.random_range(0..WORKERS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Duration = Duration::from_secs(20);

    #[test]
    fn a_seed_stands_for_a_schedule() {
        assert_eq!(schedule(7, RUN, &[]), schedule(7, RUN, &[]));
        assert_ne!(schedule(7, RUN, &[]), schedule(8, RUN, &[]));
    }

    #[test]
    fn only_the_kinds_that_are_named_come() {
        let only = ["FreezeWorker".to_owned()];
        let all = schedule(2, RUN, &only);
        assert!(all.len() > 20 && all.iter().all(|timed| timed.fault.kind() == "FreezeWorker"));
        assert_eq!(schedule(1, RUN, &["FlushRedis".to_owned()]), []);
        assert!(kind_names().contains(&"FlushRedis".to_owned()));
        assert!(
            SPARE_WORKERS
                .iter()
                .all(|kind| kind_names().contains(&(*kind).to_owned()))
        );
    }

    #[test]
    fn a_run_of_twenty_seconds_meets_every_kind_and_loses_data_by_seed_alone() {
        let flushes = |seed| {
            let all = schedule(seed, RUN, &[]);
            all.iter().any(|timed| timed.fault == Fault::FlushRedis)
        };
        assert!(flushes(3) && !flushes(4));
        for seed in 0..20 {
            let mut met: Vec<String> = schedule(seed, RUN, &[])
                .iter()
                .map(|timed| timed.fault.kind())
                .collect();
            met.sort();
            met.dedup();
            assert!(met.len() >= 18, "seed {seed}: {met:?}");
        }
    }
}
