//! What was seen during a run, by whom, and in which order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::plan::{Call, Era};

/// How a task ended, in the words of neither era.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) enum Outcome {
    /// A result, without what an era adds to it.
    Result(Value),
    /// A JSON-RPC error.
    Error(Value),
    Cancelled,
}

/// What a producer learnt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) enum What {
    /// The front end answered with an id: the task is durable.
    Accepted { ttl_ms: u64 },
    /// The front end answered with an error in place of a task.
    Refused(Value),
    /// A cancellation is about to be sent.
    Cancels,
    /// It is not over.
    Runs { status: String, message: String },
    /// It is over.
    Ended(Outcome),
    /// The answer of a plain call.
    Answered(Outcome),
    /// No such task.
    Missing,
    /// The answer cannot be right.
    Absurd(String),
}

/// One answer. It was true at some time between `sent_ms` and `seen_ms`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Seen {
    pub(crate) sent_ms: u64,
    pub(crate) seen_ms: u64,
    pub(crate) label: String,
    /// Empty for plain calls.
    pub(crate) task: String,
    pub(crate) era: Era,
    pub(crate) what: What,
}

/// A line of a handler.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Line {
    /// `start`, `retry`, `end`, or `crash` if it is about to kill its worker.
    pub(crate) event: String,
    pub(crate) task: String,
    pub(crate) attempt: u64,
    pub(crate) label: String,
    pub(crate) worker: String,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DeadLetter {
    pub(crate) id: String,
    pub(crate) tool: String,
    pub(crate) reason: String,
    pub(crate) attempts: String,
}

/// An entry that the harness added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Injected {
    /// What its dead letter is recognised by: the tool it names. Empty for garbage.
    pub(crate) tool: String,
    /// Whether it is a dead letter's due at all.
    pub(crate) buried: bool,
    /// Whether Redis said that it has it.
    pub(crate) certain: bool,
}

/// A request that was answered with an HTTP error.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Turned {
    pub(crate) status: u16,
    pub(crate) retry_after: bool,
    /// The JSON-RPC error's; 0 if there is none.
    pub(crate) code: i64,
    pub(crate) message: String,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct End {
    /// The process, and which of its starts.
    pub(crate) name: String,
    pub(crate) pid: u32,
    /// Its exit code, or the signal that ended it.
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    /// Whether it served already.
    pub(crate) served: bool,
    /// How often the harness told it to stop.
    pub(crate) told: u32,
    /// Whether the harness killed it, and whether because it did not stop.
    pub(crate) killed: bool,
    pub(crate) overdue: bool,
}

pub(crate) type Record = BTreeMap<String, String>;

/// Everything the checker looks at.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Whether Redis keeps its data in this run.
    pub(crate) keeps_data: bool,
    pub(crate) calls: BTreeMap<String, Call>,
    pub(crate) seen: Vec<Seen>,
    /// In the order in which they were written.
    pub(crate) lines: Vec<Line>,
    /// What is left in Redis at the end, by task id.
    pub(crate) records: BTreeMap<String, Record>,
    pub(crate) dead: Vec<DeadLetter>,
    pub(crate) injected: Vec<Injected>,
    /// Broken laws of keys, streams and indexes.
    pub(crate) invariants: Vec<String>,
    /// Questions that producers answered, by the way they came.
    pub(crate) answered: BTreeMap<String, usize>,
    /// What processes said that panicked.
    pub(crate) panics: Vec<String>,
    /// Requests that were answered with an HTTP error, and how often.
    pub(crate) turned: BTreeMap<Turned, usize>,
    /// How long faults were made; 0 if nobody is to have been served meanwhile.
    pub(crate) faults_s: u64,
    /// How many replicas were asked after the faults whether they serve.
    pub(crate) replicas: usize,
    /// How processes ended, whoever ended them.
    pub(crate) ends: Vec<End>,
    /// What processes said of jobs that were taken from a worker; empty if faults or jobs ended or stopped workers.
    pub(crate) taken_over: Vec<String>,
}

/// Takes notes while the run goes on, in memory and in a file.
#[derive(Debug)]
pub(crate) struct Recorder {
    begun: Instant,
    file: Mutex<File>,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    calls: BTreeMap<String, Call>,
    seen: Vec<Seen>,
    injected: Vec<Injected>,
    answered: BTreeMap<String, usize>,
    turned: BTreeMap<Turned, usize>,
}

impl Recorder {
    pub(crate) fn new(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("producers.jsonl");
        Ok(Self {
            begun: Instant::now(),
            file: Mutex::new(File::create(path).context("no file for the producers' log")?),
            notes: Mutex::default(),
        })
    }

    /// Milliseconds since the beginning.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn called(&self, call: &Call) {
        self.write(call);
        self.notes(|notes| {
            notes.calls.insert(call.label.clone(), call.clone());
        });
    }

    pub(crate) fn seen(&self, seen: Seen) {
        self.write(&seen);
        self.notes(|notes| notes.seen.push(seen));
    }

    /// A question was answered that came in this way.
    pub(crate) fn answered(&self, way: &str) {
        self.notes(|notes| *notes.answered.entry(way.to_owned()).or_default() += 1);
    }

    pub(crate) fn turned(&self, turned: Turned) {
        self.write(&turned);
        self.notes(|notes| *notes.turned.entry(turned).or_default() += 1);
    }

    pub(crate) fn injected(&self, injected: Injected) {
        self.notes(|notes| notes.injected.push(injected));
    }

    /// What was noted, and the lines of the workers.
    pub(crate) fn history(&self, folder: &Path) -> anyhow::Result<History> {
        let text = std::fs::read_to_string(folder.join("attempts.jsonl")).unwrap_or_default();
        let mut lines = Vec::new();
        for line in text.lines() {
            let read = serde_json::from_str(line)
                .with_context(|| format!("attempts.jsonl has a line {line:?}"))?;
            lines.push(read);
        }
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let notes = std::mem::take(&mut *notes);
        Ok(History {
            calls: notes.calls,
            seen: notes.seen,
            injected: notes.injected,
            answered: notes.answered,
            turned: notes.turned,
            lines,
            ..History::default()
        })
    }

    fn write(&self, note: &impl Serialize) {
        let line = serde_json::to_string(note).unwrap_or_default();
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // The notes in memory are what is checked.
        let _disk_full = writeln!(file, "{line}");
    }

    fn notes(&self, change: impl FnOnce(&mut Notes)) {
        change(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
