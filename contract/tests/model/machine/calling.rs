//! What callers do to get a job, and to leave it.

use std::collections::{BTreeMap, BTreeSet};

use taskferry_contract::Status;

use super::{Job, Machine};
use crate::operation::Submit;
use crate::reply::Reply;

impl Machine {
    /// Submits call number `call`.
    pub(crate) fn submit(&mut self, submit: &Submit, id: String, call: usize) -> Reply {
        if let Some(reply) = self.join(submit, call) {
            return reply;
        }
        let waiting = self.waiting[submit.tool].len() + self.in_lines();
        let length = (self.entries.len() + waiting) as u64;
        if submit.queue_cap > 0 && length >= submit.queue_cap {
            return Reply::QueueFull(length);
        }
        let anonymous = submit.owner + 1 == crate::operation::OWNERS;
        let of_owner = |job: &&Job| job.is_live() && job.submit.owner == submit.owner;
        let live = self.jobs.iter().filter(of_owner).count() as u64;
        if !anonymous && submit.owner_cap > 0 && live >= submit.owner_cap {
            return Reply::OwnerLimit(live);
        }
        let job = self.jobs.len();
        if submit.key != 0 {
            self.keys.insert((submit.owner, submit.key), job);
        } else if submit.shares() {
            self.shared.insert((submit.owner, submit.tool), job);
        }
        self.jobs.push(Job {
            submit: submit.clone(),
            id,
            gone: false,
            created_ms: 0,
            status: Status::Queued,
            entry: None,
            place: None,
            worker: None,
            claim: None,
            lapsed: false,
            attempt: 0,
            retries: 0,
            crashes: 0,
            holders: BTreeSet::from([call]),
            asked: BTreeMap::new(),
        });
        if self.has_turn(job) {
            self.note_ready(job);
            self.jobs[job].entry = Some(self.append(Some(job)));
        } else {
            self.wait_in_line(job, true);
        }
        Reply::Queued
    }

    /// What an alias that stands for a job makes of a call.
    fn join(&mut self, submit: &Submit, call: usize) -> Option<Reply> {
        let first = if submit.key != 0 {
            self.keys.get(&(submit.owner, submit.key))
        } else if submit.shares() {
            let of = self.shared.get(&(submit.owner, submit.tool));
            of.filter(|job| self.jobs[**job].is_live())
        } else {
            None
        };
        let first = *first?;
        let of = &mut self.jobs[first];
        if of.gone || (of.submit.plain && of.status == Status::Cancelled) {
            return None;
        }
        if of.submit.tool != submit.tool {
            return Some(Reply::OtherCall);
        }
        if !submit.plain {
            of.submit.plain = false;
        } else if of.submit.plain && of.is_live() {
            of.holders.insert(call);
        }
        Some(Reply::Joined(first))
    }

    /// Call number `call` leaves the job it waits for.
    pub(crate) fn leave(&mut self, job: usize, call: usize) -> Reply {
        let of = &mut self.jobs[job];
        if of.gone {
            Reply::Gone
        } else if of.status.is_terminal() {
            Reply::Terminal
        } else if !of.submit.plain {
            Reply::IsTask
        } else {
            of.holders.remove(&call);
            if !of.holders.is_empty() {
                return Reply::Held;
            }
            self.close(job, Status::Cancelled);
            Reply::Cancelled
        }
    }
}
