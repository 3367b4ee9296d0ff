//! What can happen to jobs. Jobs, deliveries and holds are meant by a number that is taken modulo how many there are.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any};
use proptest::prop_oneof;

/// How many workers there are.
pub(crate) const WORKERS: usize = 3;
/// How many owners there are; the last is anonymous.
pub(crate) const OWNERS: usize = 3;
/// How many jobs of each owner, of a tool, may be ready at once. Nobody counts those of the last.
pub(crate) const SHARES: [usize; OWNERS] = [1, 2, 3];
/// How many tools there are; the second has a concurrency limit of 1, the third a rate.
pub(crate) const TOOLS: usize = 3;

#[derive(Debug, Clone)]
pub(crate) struct Submit {
    pub(crate) tool: usize,
    pub(crate) owner: usize,
    /// An idempotency key; 0 is none.
    pub(crate) key: u8,
    /// Whether it shares a job with identical calls, if it has no key.
    pub(crate) share: bool,
    pub(crate) plain: bool,
    /// Whether the record lives on after the end for longer than its ttl.
    pub(crate) keep: bool,
    pub(crate) queue_cap: u64,
    pub(crate) owner_cap: u64,
}

impl Submit {
    /// The anonymous owner's calls are never identical.
    pub(crate) fn shares(&self) -> bool {
        self.share && self.key == 0 && self.owner + 1 != OWNERS
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Completed,
    Failed,
    Cancelled,
}

/// Which deadlines of a job pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passes {
    /// The worker died a lease ago.
    Lease,
    /// The entry was delivered long before it was claimed.
    Idle,
    Both,
}

/// What is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    Queue,
    Tool(usize),
}

#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Submit(Submit),
    SubmitAgain {
        job: usize,
    },
    /// One of the plain calls leaves.
    Leave {
        call: usize,
    },
    Read {
        worker: usize,
    },
    ReadAndClaim {
        worker: usize,
    },
    Claim {
        delivery: usize,
        worker: usize,
    },
    Reclaim {
        worker: usize,
    },
    ReclaimAndClaim {
        worker: usize,
    },
    Requeue,
    Renew {
        hold: usize,
    },
    Report {
        hold: usize,
        text: bool,
    },
    /// Asks one question, or several together.
    Ask {
        hold: usize,
        keys: Vec<u8>,
    },
    Park {
        hold: usize,
    },
    Finish {
        hold: usize,
        end: End,
    },
    Retry {
        hold: usize,
        later: bool,
        end: End,
    },
    Release {
        hold: usize,
        later: bool,
    },
    Answer {
        job: usize,
        owner: Option<usize>,
        key: u8,
    },
    Cancel {
        job: usize,
        owner: Option<usize>,
    },
    Watch {
        job: usize,
        owner: Option<usize>,
    },
    Forward {
        all: bool,
        limit: u32,
    },
    Lapse {
        job: usize,
        passes: Passes,
        /// Long before now.
        long: bool,
    },
    Expire {
        job: usize,
    },
    Duplicate {
        job: usize,
    },
    Malformed,
    /// What began does not count in its rate any more.
    WindowPasses,
    Pause(What),
    Resume(What),
}

/// A sequence of operations.
pub(crate) fn operations() -> impl Strategy<Value = Vec<Operation>> {
    vec(operation(), 1..160)
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => coming(),
        5 => held(),
        3 => seen(),
    ]
}

/// Mostly the latest, which is the likeliest to be live.
fn some() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(usize::MAX), 1 => 0..8_usize]
}

fn owner() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![5 => Just(None), 1 => (0..OWNERS).prop_map(Some)]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Completed),
        Just(End::Failed),
        Just(End::Cancelled)
    ]
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![2 => (0..TOOLS).prop_map(What::Tool), 1 => Just(What::Queue)]
}

/// How jobs come to workers.
fn coming() -> impl Strategy<Value = Operation> {
    let cap = || prop_oneof![4 => Just(0_u64), 1 => 1..4_u64];
    let submit = (
        0..TOOLS,
        0..OWNERS,
        prop_oneof![3 => Just(0_u8), 2 => 1..3_u8],
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        cap(),
        cap(),
    );
    let submit = submit.prop_map(
        |(tool, owner, key, share, plain, keep, queue_cap, owner_cap)| {
            Operation::Submit(Submit {
                tool,
                owner,
                key,
                share,
                plain,
                keep,
                queue_cap,
                owner_cap,
            })
        },
    );
    prop_oneof![
        8 => submit,
        2 => some().prop_map(|job| Operation::SubmitAgain { job }),
        6 => some().prop_map(|call| Operation::Leave { call }),
        5 => (0..WORKERS).prop_map(|worker| Operation::Read { worker }),
        20 => (0..WORKERS).prop_map(|worker| Operation::ReadAndClaim { worker }),
        8 => (some(), 0..WORKERS)
            .prop_map(|(delivery, worker)| Operation::Claim { delivery, worker }),
        3 => (0..WORKERS).prop_map(|worker| Operation::Reclaim { worker }),
        12 => (0..WORKERS).prop_map(|worker| Operation::ReclaimAndClaim { worker }),
        8 => Just(Operation::Requeue),
        6 => (any::<bool>(), 1..4_u32).prop_map(|(all, limit)| Operation::Forward { all, limit }),
        1 => Just(Operation::Malformed),
        2 => some().prop_map(|job| Operation::Duplicate { job }),
        4 => Just(Operation::WindowPasses),
        2 => what().prop_map(Operation::Pause),
        3 => what().prop_map(Operation::Resume),
    ]
}

/// What workers do with the jobs they hold, or once held.
fn held() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => some().prop_map(|hold| Operation::Renew { hold }),
        2 => (some(), any::<bool>()).prop_map(|(hold, text)| Operation::Report { hold, text }),
        10 => (some(), vec(0..3_u8, 1..4)).prop_map(|(hold, keys)| Operation::Ask { hold, keys }),
        4 => some().prop_map(|hold| Operation::Park { hold }),
        1 => (some(), end()).prop_map(|(hold, end)| Operation::Finish { hold, end }),
        5 => (some(), any::<bool>(), end())
            .prop_map(|(hold, later, end)| Operation::Retry { hold, later, end }),
        3 => (some(), any::<bool>()).prop_map(|(hold, later)| Operation::Release { hold, later }),
    ]
}

/// What callers do, and what happens to everyone.
fn seen() -> impl Strategy<Value = Operation> {
    let passes = prop_oneof![
        4 => Just(Passes::Both),
        1 => Just(Passes::Lease),
        1 => Just(Passes::Idle),
    ];
    prop_oneof![
        18 => (some(), owner(), 0..3_u8)
            .prop_map(|(job, owner, key)| Operation::Answer { job, owner, key }),
        1 => (some(), owner()).prop_map(|(job, owner)| Operation::Cancel { job, owner }),
        1 => (some(), owner()).prop_map(|(job, owner)| Operation::Watch { job, owner }),
        12 => (some(), passes, any::<bool>())
            .prop_map(|(job, passes, long)| Operation::Lapse { job, passes, long }),
        1 => some().prop_map(|job| Operation::Expire { job }),
    ]
}
