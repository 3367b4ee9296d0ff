//! What a worker does with an attempt that it holds, or once held.

use std::collections::BTreeMap;

use taskferry_contract::{Refused, Status};

use super::{ATTEMPTS, Held, Lapsed, Machine, Pending};
use crate::operation::End;
use crate::reply::Reply;

impl Machine {
    /// Why an attempt may not write. Those that end a hold, or renew it, drop the entry of an expired record.
    fn refused(&mut self, held: Held, drops: bool) -> Option<Reply> {
        let job = &self.jobs[held.job];
        let why = if job.gone {
            if drops {
                self.entries.remove(&held.entry);
            }
            Refused::Gone
        } else if job.attempt != held.attempt {
            Refused::LeaseLost
        } else if job.status == Status::Cancelled {
            Refused::Cancelled
        } else if job.status.is_terminal() {
            Refused::AlreadyTerminal
        } else if job.worker.is_none() {
            Refused::LeaseLost
        } else {
            return None;
        };
        Some(Reply::Refused(why))
    }

    pub(crate) fn renew(&mut self, held: Held) -> Reply {
        if let Some(reply) = self.refused(held, true) {
            return reply;
        }
        let job = &mut self.jobs[held.job];
        job.lapsed = false;
        if job.limited() {
            self.slots.insert(held.job, Lapsed::No);
        }
        let renewed = Pending {
            worker: held.worker,
            idle: false,
        };
        self.entries.entry(held.entry).or_default().pending = Some(renewed);
        Reply::Renewed(self.jobs[held.job].answers())
    }

    pub(crate) fn report(&mut self, held: Held) -> Reply {
        self.refused(held, false).unwrap_or(Reply::Told)
    }

    pub(crate) fn ask(&mut self, held: Held, keys: &[&str]) -> Reply {
        if let Some(reply) = self.refused(held, false) {
            return reply;
        }
        let job = &mut self.jobs[held.job];
        let known = job.answers();
        let known = |key: &&str| Some(((*key).to_owned(), known.get(*key)?.clone()));
        let answers: BTreeMap<String, String> = keys.iter().filter_map(known).collect();
        if keys.iter().all(|key| answers.contains_key(*key)) {
            return Reply::Answered(answers);
        }
        for key in keys {
            job.asked.entry((*key).to_owned()).or_default();
        }
        job.status = Status::InputRequired;
        Reply::Asked(answers)
    }

    pub(crate) fn park(&mut self, held: Held) -> Reply {
        if let Some(reply) = self.refused(held, false) {
            return reply;
        }
        if self.jobs[held.job].open() == 0 {
            return Reply::NothingOpen;
        }
        self.give_back(held.job);
        self.jobs[held.job].status = Status::InputRequired;
        self.leave_slot(held.job);
        Reply::Parked
    }

    pub(crate) fn finish(&mut self, held: Held, end: End) -> Reply {
        match self.refused(held, true) {
            Some(Reply::Refused(Refused::Cancelled)) => Reply::Refused(Refused::AlreadyTerminal),
            Some(reply) => reply,
            None => {
                self.close(held.job, status(end));
                Reply::Finished
            }
        }
    }

    pub(crate) fn retry(&mut self, held: Held, later: bool, end: End) -> Reply {
        if let Some(reply) = self.refused(held, true) {
            return reply;
        }
        let job = &mut self.jobs[held.job];
        if job.retries + 1 >= u64::from(ATTEMPTS[job.submit.tool]) {
            self.close(held.job, status(end));
            self.dead_letters += 1;
            return Reply::Dead;
        }
        job.retries += 1;
        self.give_back(held.job);
        self.due.insert(held.job, later);
        self.leave_slot(held.job);
        Reply::Scheduled
    }

    pub(crate) fn release(&mut self, held: Held, later: bool) -> Reply {
        if let Some(reply) = self.refused(held, true) {
            return reply;
        }
        self.give_back(held.job);
        if later {
            self.due.insert(held.job, true);
        } else {
            self.enqueue(held.job);
        }
        self.leave_slot(held.job);
        Reply::Finished
    }
}

fn status(end: End) -> Status {
    match end {
        End::Completed => Status::Completed,
        End::Failed => Status::Failed,
        End::Cancelled => Status::Cancelled,
    }
}
