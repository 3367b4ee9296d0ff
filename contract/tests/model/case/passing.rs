//! How time passes for a job.

use super::steps::{Step, nothing};
use super::{Case, LONG_MS};
use crate::machine::{LIMITED, Lapsed, RATED};
use crate::operation::Passes;

impl Case {
    /// Lets deadlines of a job pass; its slot's just now or long ago.
    pub(super) async fn lapse(&mut self, job: usize, passes: Passes, slot: Lapsed) {
        let of = &mut self.model.jobs[job];
        let (held, entry) = (of.worker.is_some() && !of.gone, of.entry);
        if passes != Passes::Idle {
            if held {
                of.lapsed = true;
                let record = self.store.keys().record(self.ids[job]);
                self.raw::<()>("HSET", (record, "lease_ms", 1)).await;
            }
            if let Some(lapsed) = self.model.slots.get_mut(&job) {
                *lapsed = slot;
                let slots = self.key(&format!(
                    "running:{}:{}",
                    self.queue, self.tools[LIMITED].name
                ));
                let until = match slot {
                    Lapsed::Just => self.store.now_ms().await.unwrap() - 1,
                    _ => 1,
                };
                let lapsed = (slots, "XX", until, self.ids[job].to_string());
                self.raw::<()>("ZADD", lapsed).await;
            }
        }
        if passes != Passes::Lease
            && let Some(entry) = entry
        {
            self.lapse_entry(entry).await;
        }
    }

    /// Makes an entry look as if nobody had been heard of for a lease.
    async fn lapse_entry(&mut self, number: usize) {
        let entry = self.model.entries.get_mut(&number);
        let Some(pending) = entry.and_then(|entry| entry.pending.as_mut()) else {
            return;
        };
        pending.idle = true;
        let worker = self.workers[pending.worker].as_str().to_owned();
        let entry = self.entries[&number].clone();
        let idle = (
            self.stream(),
            "workers",
            worker,
            0,
            entry,
            "IDLE",
            LONG_MS,
            "JUSTID",
        );
        self.raw::<Vec<String>>("XCLAIM", idle).await;
    }

    pub(super) async fn lapse_all(&mut self) {
        for job in 0..self.ids.len() {
            self.lapse(job, Passes::Lease, Lapsed::Just).await;
        }
        let entries: Vec<usize> = self.model.entries.keys().copied().collect();
        for entry in entries {
            self.lapse_entry(entry).await;
        }
    }

    /// Lets the window pass in which attempts began.
    pub(super) async fn window_passes(&mut self) -> Step {
        self.model.begun = 0;
        let begun = self.key(&format!("begun:{}:{}", self.queue, self.tools[RATED].name));
        self.raw::<i64>("DEL", begun).await;
        nothing()
    }

    /// Lets a record expire, as if its time had come.
    pub(super) async fn expire(&mut self, job: usize) {
        let of = &mut self.model.jobs[job];
        of.gone = true;
        let (owner, id) = (self.owners[of.submit.owner].clone(), self.ids[job]);
        let tool = of.submit.tool;
        self.raw::<i64>("DEL", self.store.keys().record(id)).await;
        let ready = format!("ready:{}:{}", self.queue, self.tools[tool].name);
        for index in ["active", "owned", &ready] {
            let index = self.key(&format!("{index}:{owner}"));
            self.raw::<()>("ZADD", (index, "XX", 1, id.to_string()))
                .await;
        }
    }
}
