//! The model: what every transition does, in memory, without Redis. It knows no time; the case makes time pass.

mod calling;
mod holding;
mod lines;
mod losing;
mod pausing;
mod slots;

use std::collections::{BTreeMap, BTreeSet};

use taskferry_contract::Status;

use crate::operation::{Submit, TOOLS, What};
use crate::reply::Reply;

/// How often a job of either tool may be attempted, and how many of its workers may die.
pub(crate) const ATTEMPTS: [u32; TOOLS] = [2, 3, 3];
pub(crate) const CRASH_LIMITS: [u32; TOOLS] = [3, 2, 3];
/// The tool that may run once at a time.
pub(crate) const LIMITED: usize = 1;
/// The tool of which so many attempts begin in a window that does not pass by itself.
pub(crate) const RATED: usize = 2;
pub(crate) const RATE: usize = 2;

/// An entry of the stream; the number it has in `Machine::entries` is its place in the order.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    /// None for one that cannot be read.
    pub(crate) job: Option<usize>,
    pub(crate) pending: Option<Pending>,
    /// How often it was delivered.
    deliveries: usize,
    /// Whether it was brought back for a slot.
    slot: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Pending {
    pub(crate) worker: usize,
    /// Whether nobody was heard of for a lease.
    pub(crate) idle: bool,
}

/// Whether the lease of a slot is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lapsed {
    No,
    Just,
    LongAgo,
}

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) submit: Submit,
    /// As it sorts among the due.
    pub(crate) id: String,
    pub(crate) gone: bool,
    pub(crate) created_ms: i64,
    pub(crate) status: Status,
    pub(crate) entry: Option<usize>,
    /// Its place among those that wait for their turn: its first entry, once it was claimed and its tool is limited or has a rate; else the one
    /// by which it met a pause.
    pub(crate) place: Option<usize>,
    pub(crate) worker: Option<usize>,
    /// The delivery by which the attempt was claimed.
    pub(crate) claim: Option<usize>,
    pub(crate) lapsed: bool,
    pub(crate) attempt: u64,
    pub(crate) retries: u64,
    pub(crate) crashes: u64,
    /// Plain calls that wait for it, by their numbers.
    pub(crate) holders: BTreeSet<usize>,
    /// Questions by key, with the answers that came.
    pub(crate) asked: BTreeMap<String, Option<String>>,
}

impl Job {
    pub(crate) fn open(&self) -> usize {
        self.asked
            .values()
            .filter(|answer| answer.is_none())
            .count()
    }

    /// The reply that gives an attempt to its worker.
    fn started(&self) -> Reply {
        Reply::Started {
            attempt: self.attempt,
            retries: self.retries,
            crashes: self.crashes,
            answers: self.answers(),
        }
    }

    fn answers(&self) -> BTreeMap<String, String> {
        let answers = self.asked.iter();
        answers
            .filter_map(|(key, answer)| Some((key.clone(), answer.clone()?)))
            .collect()
    }

    fn limited(&self) -> bool {
        self.submit.tool == LIMITED
    }

    fn rated(&self) -> bool {
        self.submit.tool == RATED
    }

    fn is_live(&self) -> bool {
        !self.gone && !self.status.is_terminal()
    }
}

/// An attempt, as its worker remembers it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) job: usize,
    pub(crate) entry: usize,
    pub(crate) worker: usize,
    pub(crate) attempt: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Machine {
    pub(crate) jobs: Vec<Job>,
    pub(crate) entries: BTreeMap<usize, Entry>,
    entries_made: usize,
    /// How many jobs expired while they waited.
    pub(crate) expired: usize,
    /// Jobs that wait for a time, and whether it is far.
    pub(crate) due: BTreeMap<usize, bool>,
    /// Slots of the limited tool, and whether their lease has run out.
    pub(crate) slots: BTreeMap<usize, Lapsed>,
    /// How many attempts of the tool with a rate began in its window.
    pub(crate) begun: usize,
    /// Of each tool the jobs that wait for their turn, in the order of their places.
    waiting: [Vec<usize>; TOOLS],
    pub(crate) paused: BTreeSet<What>,
    /// The lines of owners, by tool and owner.
    lines: BTreeMap<(usize, usize), lines::Line>,
    keys: BTreeMap<(usize, u8), usize>,
    /// The jobs that identical calls share, by owner and tool.
    shared: BTreeMap<(usize, usize), usize>,
    pub(crate) dead_letters: usize,
}

impl Machine {
    /// Adds an entry at the end of the stream.
    pub(crate) fn append(&mut self, job: Option<usize>) -> usize {
        let number = self.entries_made;
        self.entries_made += 1;
        let entry = Entry {
            job,
            ..Entry::default()
        };
        self.entries.insert(number, entry);
        number
    }

    /// Delivers the first entry that was not delivered before; its number.
    pub(crate) fn read(&mut self, worker: usize) -> Option<usize> {
        let mut waiting = self.entries.iter_mut();
        let (number, entry) = waiting.find(|(_, entry)| entry.pending.is_none())?;
        entry.deliveries += 1;
        entry.pending = Some(Pending {
            worker,
            idle: false,
        });
        Some(*number)
    }

    pub(crate) fn bury(&mut self, entry: usize) {
        self.entries.remove(&entry);
        self.dead_letters += 1;
    }

    /// Hands every idle entry to `worker`; their numbers.
    pub(crate) fn reclaim(&mut self, worker: usize) -> Vec<usize> {
        let mut taken = Vec::new();
        for (number, entry) in &mut self.entries {
            if entry.pending.is_some_and(|pending| pending.idle) {
                entry.deliveries += 1;
                entry.pending = Some(Pending {
                    worker,
                    idle: false,
                });
                taken.push(*number);
            }
        }
        taken
    }

    pub(crate) fn claim(
        &mut self,
        job: usize,
        entry: usize,
        (worker, delivery): (usize, usize),
    ) -> Reply {
        let of = &mut self.jobs[job];
        let dropped = if of.gone {
            Some(Reply::Gone)
        } else if of.status.is_terminal() {
            Some(Reply::Terminal)
        } else if of.entry != Some(entry) {
            Some(Reply::Stale)
        } else {
            None
        };
        if let Some(reply) = dropped {
            let entry = self.entries.remove(&entry);
            if let Some(entry) = entry.filter(|_| reply == Reply::Gone) {
                self.expired_on_stream(job, &entry);
            }
            return reply;
        }
        if let Some(holder) = of.worker {
            if !of.lapsed && holder == worker && of.claim == Some(delivery) {
                return of.started();
            }
            if !of.lapsed {
                let given_back = Pending {
                    worker: holder,
                    idle: false,
                };
                self.entries.entry(entry).or_default().pending = Some(given_back);
                return Reply::Busy;
            }
            of.crashes += 1;
            if of.crashes >= u64::from(CRASH_LIMITS[of.submit.tool]) {
                let crashes = of.crashes;
                self.close(job, Status::Failed);
                self.dead_letters += 1;
                return Reply::Poison(crashes);
            }
        }
        self.begin(job, entry, (worker, delivery))
    }

    pub(crate) fn answer(&mut self, job: usize, owner: usize, key: &str, text: &str) -> Reply {
        let of = &mut self.jobs[job];
        if of.gone || of.submit.owner != owner {
            return Reply::Gone;
        }
        let terminal = of.status.is_terminal();
        let Some(answer @ None) = of.asked.get_mut(key).filter(|_| !terminal) else {
            return Reply::Ignored;
        };
        *answer = Some(text.to_owned());
        let open = of.open();
        if open == 0 && of.status == Status::InputRequired {
            if of.worker.is_some() {
                of.status = Status::Working;
            } else {
                of.status = Status::Queued;
                self.enqueue(job);
            }
        }
        if self.jobs[job].place.is_some() {
            self.admit(self.jobs[job].submit.tool);
        }
        Reply::Stored(open as u64)
    }

    pub(crate) fn cancel(&mut self, job: usize, owner: usize) -> Reply {
        let of = &self.jobs[job];
        if of.gone || of.submit.owner != owner {
            Reply::Gone
        } else if of.status.is_terminal() {
            Reply::Terminal
        } else {
            self.close(job, Status::Cancelled);
            Reply::Cancelled
        }
    }

    pub(crate) fn watch(&self, job: usize, owner: usize) -> Reply {
        let of = &self.jobs[job];
        if of.gone || of.submit.owner != owner {
            Reply::Gone
        } else {
            Reply::Found
        }
    }

    /// Moves due jobs, of equal time, in the order of their ids; `all` if the far times have come as well.
    pub(crate) fn forward(&mut self, all: bool, limit: u32) -> Reply {
        let ready = self.due.iter().filter(|(_, far)| all || !**far);
        let mut ready: Vec<usize> = ready.map(|(job, _)| *job).collect();
        ready.sort_by(|a, b| self.jobs[*a].id.cmp(&self.jobs[*b].id));
        ready.truncate(limit as usize);
        let mut moved = 0;
        for job in ready {
            self.due.remove(&job);
            if self.jobs[job].gone {
                self.expired += 1;
            } else {
                self.enqueue(job);
                moved += 1;
            }
        }
        (0..TOOLS).for_each(|tool| self.admit(tool));
        let due_or_waiting = !self.due.is_empty() || self.waiting.iter().any(|of| !of.is_empty());
        let are_lines = self.mend_lines();
        Reply::Forwarded {
            moved,
            more: due_or_waiting || are_lines,
        }
    }

    /// Which of the live jobs nobody can bring on but a caller.
    pub(crate) fn parked(&self) -> BTreeSet<usize> {
        let jobs = self.jobs.iter().enumerate();
        jobs.filter(|(_, job)| {
            job.is_live() && job.status == Status::InputRequired && job.entry.is_none()
        })
        .map(|(number, _)| number)
        .collect()
    }

    /// Whether the stream holds entries that no transition made, and that no worker has met yet.
    pub(crate) fn has_foreign_entries(&self) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|(number, entry)| {
            let job = entry.job.map(|job| &self.jobs[job]);
            job.is_none_or(|job| !job.gone && job.entry != Some(*number))
        })
    }

    pub(crate) fn is_drained(&self) -> bool {
        let live = self.jobs.iter().any(Job::is_live);
        let waits = self.waiting.iter().any(|of| !of.is_empty()) || self.in_lines() > 0;
        !live && !waits && self.entries.is_empty() && self.due.is_empty()
    }
}
