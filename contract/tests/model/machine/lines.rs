//! How the jobs of an owner take turns with those of others.

use super::Machine;
use crate::operation::{OWNERS, SHARES};

/// The jobs of one owner, of one tool.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// On the stream and not claimed, or waiting for a slot.
    ready: Vec<usize>,
    /// The others, in their order.
    waits: Vec<Waiting>,
    /// Whether somebody looked after it since there was anybody in it.
    was_seen: bool,
}

/// By when it was submitted; of one ms, who comes back stands before who is new.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    created_ms: i64,
    is_new: bool,
    /// Of those that are new, the order of their calls.
    call: usize,
    id: String,
    job: usize,
}

impl Machine {
    /// How many jobs wait in lines.
    pub(crate) fn in_lines(&self) -> usize {
        self.lines.values().map(|line| line.waits.len()).sum()
    }

    /// Whose line a job would wait in; `None` if nobody counts its owner's.
    fn line_of(&self, job: usize) -> Option<(usize, usize)> {
        let submit = &self.jobs[job].submit;
        (submit.owner + 1 != OWNERS).then_some((submit.tool, submit.owner))
    }

    pub(super) fn has_turn(&mut self, job: usize) -> bool {
        let Some(name) = self.line_of(job) else {
            return true;
        };
        self.call_up(name);
        let line = self.lines.entry(name).or_default();
        line.waits.is_empty() && line.ready.len() < SHARES[name.1]
    }

    pub(super) fn note_ready(&mut self, job: usize) {
        if let Some(name) = self.line_of(job) {
            self.lines.entry(name).or_default().ready.push(job);
        }
    }

    pub(super) fn wait_in_line(&mut self, job: usize, is_new: bool) {
        let Some(name) = self.line_of(job) else {
            return;
        };
        let of = &self.jobs[job];
        let waiting = Waiting {
            // Of a new one it is not known yet, and nobody is newer.
            created_ms: if is_new { i64::MAX } else { of.created_ms },
            is_new,
            call: if is_new { job } else { 0 },
            id: of.id.clone(),
            job,
        };
        let line = self.lines.entry(name).or_default();
        line.waits.push(waiting);
        line.waits.sort();
    }

    pub(super) fn leave_line(&mut self, job: usize) {
        if let Some(line) = self.line_of(job).and_then(|name| self.lines.get_mut(&name)) {
            line.waits.retain(|waiting| waiting.job != job);
            line.was_seen &= !line.waits.is_empty();
        }
    }

    /// A job is not ready any more: the next of its owner is.
    pub(super) fn leave_ready(&mut self, job: usize) {
        let Some(name) = self.line_of(job) else {
            return;
        };
        let line = self.lines.entry(name).or_default();
        let before = line.ready.len();
        line.ready.retain(|other| *other != job);
        if line.ready.len() < before {
            self.call_up(name);
        }
    }

    fn call_up(&mut self, name: (usize, usize)) {
        let mut for_slot = false;
        loop {
            let (jobs, line) = (&self.jobs, self.lines.entry(name).or_default());
            line.ready.retain(|job| !jobs[*job].gone);
            if line.waits.is_empty() || line.ready.len() >= SHARES[name.1] {
                break;
            }
            let job = line.waits.remove(0).job;
            line.was_seen &= !line.waits.is_empty();
            if self.jobs[job].gone {
                self.expired += 1;
                continue;
            }
            self.make_ready(job);
            self.note_ready(job);
            for_slot |= self.jobs[job].entry.is_none();
        }
        if for_slot {
            self.admit(name.0);
        }
    }

    /// Gives out room that nobody did, since those who had it expired. Whether there were lines.
    pub(super) fn mend_lines(&mut self) -> bool {
        let lines = self.lines.iter();
        let waiting = lines.filter(|(_, line)| !line.waits.is_empty());
        let mut names: Vec<_> = waiting.map(|(name, line)| (line.was_seen, *name)).collect();
        names.sort_unstable();
        for (_, name) in &names {
            self.call_up(*name);
            let line = self.lines.entry(*name).or_default();
            line.was_seen = !line.waits.is_empty();
        }
        !names.is_empty()
    }
}
