//! How a job takes a slot of the limited tool or waits for one, and how it leaves its worker, its stream and its slot.

use taskferry_contract::Status;

use super::{Entry, Lapsed, Machine};
use crate::reply::Reply;

impl Machine {
    /// Counts a job whose entry was met without its record, unless an attempt may have begun or it was counted before.
    pub(super) fn expired_on_stream(&mut self, job: usize, entry: &Entry) {
        let waited = self.waiting.contains(&job);
        if entry.slot {
            self.waiting.retain(|other| *other != job);
        }
        if entry.deliveries == 1 && (waited || !entry.slot) {
            self.expired += 1;
        }
    }

    /// Starts an attempt, if the tool has a slot.
    pub(super) fn begin(
        &mut self,
        job: usize,
        entry: usize,
        (worker, delivery): (usize, usize),
    ) -> Reply {
        let of = &mut self.jobs[job];
        if of.limited() {
            let place = *of.place.get_or_insert(entry);
            self.free_lapsed();
            let first = |other: &&usize| self.jobs[**other].place < Some(place);
            let before = self.slots.len() + self.waiting.iter().filter(first).count();
            if !self.slots.contains_key(&job) && before > 0 {
                self.give_back(job);
                self.wait_for_slot(job);
                self.admit();
                return Reply::Waits;
            }
            self.waiting.retain(|other| *other != job);
            self.slots.insert(job, Lapsed::No);
        }
        let of = &mut self.jobs[job];
        of.status = Status::Working;
        of.attempt += 1;
        (of.worker, of.claim) = (Some(worker), Some(delivery));
        of.lapsed = false;
        debug_assert_eq!(of.entry, Some(entry));
        of.started()
    }

    /// Takes the job from its worker and off its stream; it is queued.
    pub(super) fn give_back(&mut self, job: usize) {
        let of = &mut self.jobs[job];
        if let Some(entry) = of.entry.take() {
            self.entries.remove(&entry);
        }
        of.worker = None;
        of.status = Status::Queued;
    }

    pub(super) fn close(&mut self, job: usize, status: Status) {
        self.give_back(job);
        self.jobs[job].status = status;
        self.due.remove(&job);
        self.waiting.retain(|other| *other != job);
        self.leave_slot(job);
    }

    pub(super) fn leave_slot(&mut self, job: usize) {
        if self.jobs[job].limited() {
            self.slots.remove(&job);
            self.admit();
        }
    }

    /// Frees slots whose lease is over, but for those of jobs that wait to be taken over, unless they have waited for long.
    fn free_lapsed(&mut self) {
        let jobs = &self.jobs;
        self.slots.retain(|job, lapsed| match lapsed {
            Lapsed::No => true,
            Lapsed::Just => jobs[*job].is_live() && jobs[*job].worker.is_some(),
            Lapsed::LongAgo => false,
        });
    }

    /// Lets a job wait for a slot at its place.
    fn wait_for_slot(&mut self, job: usize) {
        if !self.waiting.contains(&job) {
            self.waiting.push(job);
            self.waiting.sort_by_key(|job| self.jobs[*job].place);
        }
    }

    /// Queues a job again: at its place among those that wait for a slot, if its tool has a limit and it was attempted.
    pub(super) fn enqueue(&mut self, job: usize) {
        if self.jobs[job].limited() && self.jobs[job].place.is_some() {
            self.wait_for_slot(job);
        } else {
            self.jobs[job].entry = Some(self.append(Some(job)));
        }
    }

    /// Brings the first job that waits for the slot back to the stream, if it is free.
    pub(super) fn admit(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        self.free_lapsed();
        let mut free = self.slots.is_empty();
        for job in self.waiting.clone() {
            let of = &self.jobs[job];
            if of.gone || of.status != Status::Queued {
                self.expired += usize::from(of.gone);
                self.waiting.retain(|other| *other != job);
            } else if free {
                free = false;
                if of.entry.is_none() {
                    let entry = self.append(Some(job));
                    self.entries.entry(entry).or_default().slot = true;
                    self.jobs[job].entry = Some(entry);
                }
            } else {
                return;
            }
        }
    }
}
