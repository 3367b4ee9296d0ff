//! How a job takes a slot of the limited tool, or room in the rate of another, or waits for its turn, and how it leaves its worker, its stream and its slot.

use taskferry_contract::Status;

use super::{Entry, LIMITED, Lapsed, Machine, RATE, RATED};
use crate::reply::Reply;

impl Machine {
    /// Counts a job whose entry was met without its record, unless an attempt may have begun or it was counted before.
    pub(super) fn expired_on_stream(&mut self, job: usize, entry: &Entry) {
        let waiting = &mut self.waiting[self.jobs[job].submit.tool];
        let waited = waiting.contains(&job);
        if entry.slot {
            waiting.retain(|other| *other != job);
        }
        if entry.deliveries == 1 && (waited || !entry.slot) {
            self.expired += 1;
        }
    }

    /// Starts an attempt, if it is the job's turn.
    pub(super) fn begin(
        &mut self,
        job: usize,
        entry: usize,
        (worker, delivery): (usize, usize),
    ) -> Reply {
        let tool = self.jobs[job].submit.tool;
        let (limited, rated) = (self.jobs[job].limited(), self.jobs[job].rated());
        if limited || rated || self.is_paused(tool) || !self.waiting[tool].is_empty() {
            let place = *self.jobs[job].place.get_or_insert(entry);
            if self.must_wait(job, place) {
                let was_lost = self.jobs[job].worker.is_some();
                self.give_back(job);
                self.wait_for_turn(job);
                if was_lost {
                    self.note_ready(job);
                }
                self.leave_slot(job);
                return Reply::Waits;
            }
            self.waiting[tool].retain(|other| *other != job);
            if limited {
                self.slots.insert(job, Lapsed::No);
            }
            self.begun += usize::from(rated);
        }
        let of = &mut self.jobs[job];
        of.status = Status::Working;
        of.attempt += 1;
        (of.worker, of.claim) = (Some(worker), Some(delivery));
        of.lapsed = false;
        debug_assert_eq!(of.entry, Some(entry));
        self.leave_ready(job);
        self.jobs[job].started()
    }

    fn must_wait(&mut self, job: usize, place: usize) -> bool {
        let of = &self.jobs[job];
        let (tool, limited, rated) = (of.submit.tool, of.limited(), of.rated());
        self.free_lapsed();
        let waiting = &self.waiting[tool];
        let first = |other: &&usize| self.jobs[**other].place < Some(place);
        let before = waiting.iter().filter(first).count();
        let blocked = if self.slots.contains_key(&job) {
            false
        } else if limited {
            self.slots.len() + before > 0
        } else if rated {
            self.begun + before >= RATE
        } else {
            before > 0 && !waiting.contains(&job)
        };
        blocked || self.is_paused(tool)
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
        let was_held = self.jobs[job].worker.is_some();
        self.give_back(job);
        let of = &mut self.jobs[job];
        of.status = status;
        self.due.remove(&job);
        if of.place.is_some() {
            let waiting = &mut self.waiting[of.submit.tool];
            let before = waiting.len();
            waiting.retain(|other| *other != job);
            let waited = waiting.len() < before;
            let ran = self.slots.remove(&job).is_some();
            if waited || ran {
                self.admit(self.jobs[job].submit.tool);
            }
        }
        if !was_held {
            self.leave_line(job);
            self.leave_ready(job);
        }
    }

    pub(super) fn leave_slot(&mut self, job: usize) {
        if self.jobs[job].place.is_some() {
            self.slots.remove(&job);
            self.admit(self.jobs[job].submit.tool);
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

    /// Lets a job wait for its turn at its place.
    fn wait_for_turn(&mut self, job: usize) {
        let waiting = &mut self.waiting[self.jobs[job].submit.tool];
        if !waiting.contains(&job) {
            waiting.push(job);
            waiting.sort_by_key(|job| self.jobs[*job].place);
        }
    }

    /// Queues a job again: in its owner's line, if that has its share of ready jobs.
    pub(super) fn enqueue(&mut self, job: usize) {
        if self.has_turn(job) {
            self.note_ready(job);
            self.make_ready(job);
        } else {
            self.wait_in_line(job, false);
        }
    }

    /// At its place among those that wait for their turn, if it has one; else at the end of the stream.
    pub(super) fn make_ready(&mut self, job: usize) {
        if self.jobs[job].place.is_some() {
            self.wait_for_turn(job);
        } else {
            self.jobs[job].entry = Some(self.append(Some(job)));
        }
    }

    /// Brings the first jobs of a tool that wait for their turn back to the stream, as many as may begin.
    pub(super) fn admit(&mut self, tool: usize) {
        if self.waiting[tool].is_empty() {
            return;
        }
        if tool == LIMITED {
            self.free_lapsed();
        }
        let mut free = match (self.is_paused(tool), tool) {
            (true, _) => 0,
            (false, LIMITED) => usize::from(self.slots.is_empty()),
            (false, RATED) => RATE.saturating_sub(self.begun),
            (false, _) => usize::MAX,
        };
        for job in self.waiting[tool].clone() {
            let of = &self.jobs[job];
            if of.gone || of.status != Status::Queued {
                self.expired += usize::from(of.gone);
                self.waiting[tool].retain(|other| *other != job);
            } else if free > 0 {
                free -= 1;
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
