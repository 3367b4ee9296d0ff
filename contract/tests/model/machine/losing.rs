//! How jobs that lost their worker are put back.

use taskferry_contract::Status;

use super::{CRASH_LIMITS, Entry, Machine};
use crate::reply::{Lot, Reply};

impl Machine {
    /// Puts back what lost its worker, in the order of the stream.
    pub(crate) fn requeue(&mut self) -> Reply {
        let entries = self.entries.iter();
        let pending = entries.filter_map(|(number, entry)| Some((*number, entry.pending?.idle)));
        let pending: Vec<(usize, bool)> = pending.collect();
        let mut found = Vec::new();
        for (number, idle) in pending {
            let Some(entry) = self.entries.get(&number) else {
                continue;
            };
            let Some(job) = entry.job else {
                if idle {
                    self.put_back(number);
                }
                continue;
            };
            let lot = self.look_at(job, number, idle);
            found.extend(lot.map(|lot| (Some(job), lot)));
        }
        Reply::Requeued(found)
    }

    fn look_at(&mut self, job: usize, number: usize, idle: bool) -> Option<Lot> {
        let of = &mut self.jobs[job];
        let is_current = of.is_live() && of.entry == Some(number);
        if is_current && of.worker.is_some() {
            return of.lapsed.then(|| self.lose(job));
        }
        if !idle {
            return None;
        }
        if is_current {
            let again = self.put_back(number);
            self.jobs[job].entry = Some(again);
            return Some(Lot::Unclaimed);
        }
        self.entries.remove(&number);
        self.jobs[job].gone.then_some(Lot::Expired)
    }

    fn lose(&mut self, job: usize) -> Lot {
        let of = &mut self.jobs[job];
        of.crashes += 1;
        let crashes = of.crashes;
        if crashes >= u64::from(CRASH_LIMITS[of.submit.tool]) {
            self.close(job, Status::Failed);
            self.dead_letters += 1;
            return Lot::Poison(crashes);
        }
        self.give_back(job);
        self.enqueue(job);
        self.leave_slot(job);
        Lot::Again(crashes)
    }

    /// The same entry again, at the end of the stream.
    fn put_back(&mut self, number: usize) -> usize {
        let Entry { job, slot, .. } = self.entries.remove(&number).unwrap_or_default();
        let again = self.append(job);
        self.entries.entry(again).or_default().slot = slot;
        again
    }
}
