//! What callers do to get a job, and to leave it.

use taskferry_contract::{Alias, Arguments, Leaver, Scope, Submission, SubmitReply, TaskId};

use super::steps::{Step, index, nothing};
use super::{Case, Checked, TTL, equal};
use crate::operation::{SHARES, Submit};
use crate::reply::Reply;

impl Case {
    pub(super) async fn submit(&mut self, submit: &Submit) -> Checked<Step> {
        let (id, call) = (TaskId::random(self.shard), self.submits);
        self.submits += 1;
        let expected = self.model.submit(submit, id.to_string(), call);
        let alias = self.alias(submit);
        let submission = self.submission(submit, id, alias.as_ref());
        let reply = self.store.submit(&submission).await.unwrap();
        let mut touched = None;
        let real = match reply {
            SubmitReply::Queued { created_ms } => {
                self.ids.push(id);
                self.created.push(created_ms);
                self.model.jobs[self.ids.len() - 1].created_ms = created_ms;
                touched = Some(self.ids.len() - 1);
                Reply::Queued
            }
            SubmitReply::Joined(first) => {
                let job = self.ids.iter().position(|id| *id == first.id);
                let job = job.ok_or("an unknown job is joined")?;
                if !submit.plain {
                    // It is a task from now on, which may have changed the record of one that has ended.
                    equal("plain", &first.plain, &false)?;
                    self.ended.remove(&job);
                }
                touched = Some(job);
                Reply::Joined(job)
            }
            SubmitReply::OtherCall => Reply::OtherCall,
            SubmitReply::QueueFull { length } => Reply::QueueFull(length),
            SubmitReply::OwnerLimit { live } => Reply::OwnerLimit(live),
            SubmitReply::TooLate { expires_ms } => {
                return Err(format!("it begins at once, not after {expires_ms}"));
            }
            SubmitReply::RateUsedUp { wait_ms } => {
                return Err(format!("no rate refuses, for {wait_ms} ms or less"));
            }
            SubmitReply::OwnerBytes { stored } => {
                return Err(format!("{stored} bytes are too many, and none were set"));
            }
        };
        if let Some(job) = touched.filter(|_| submit.plain) {
            self.calls.push((job, call, id));
        }
        Ok((touched, real, expected))
    }

    /// The same submit once more, as after a dropped connection.
    pub(super) async fn submit_again(&mut self, job: usize) -> Step {
        let live = index(job, self.ids.len()).filter(|job| !self.model.jobs[*job].gone);
        let Some(job) = live else { return nothing() };
        let submit = self.model.jobs[job].submit.clone();
        let alias = self.alias(&submit);
        let submission = self.submission(&submit, self.ids[job], alias.as_ref());
        let reply = self.store.submit(&submission).await.unwrap();
        let same = SubmitReply::Queued {
            created_ms: self.created[job],
        };
        let real = if reply == same {
            Reply::Queued
        } else {
            Reply::Nothing
        };
        (Some(job), real, Reply::Queued)
    }

    fn alias(&self, submit: &Submit) -> Option<Alias> {
        const KEYS: [&str; 3] = ["", "k", "b:k"];
        let (scope, call) = (
            Scope {
                owner: &self.owners[submit.owner],
                session: None,
            },
            self.tools[submit.tool].name.as_str().into(),
        );
        match KEYS[usize::from(submit.key)] {
            "" if submit.share => Alias::identical(scope, &call),
            "" => None,
            key => Some(Alias::key(scope, key, call)),
        }
    }

    fn submission<'a>(
        &'a self,
        submit: &Submit,
        id: TaskId,
        alias: Option<&'a Alias>,
    ) -> Submission<'a> {
        let (tool, owner) = (&self.tools[submit.tool], &self.owners[submit.owner]);
        Submission {
            plain: submit.plain,
            ttl: TTL,
            keep: if submit.keep { TTL * 2 } else { TTL / 2 },
            alias,
            queue_cap: submit.queue_cap,
            owner_cap: submit.owner_cap,
            owner_share: SHARES[submit.owner] as u64,
            ..Submission::new(tool, id, owner, Arguments::default())
        }
    }

    /// A plain call leaves the job it waits for.
    pub(super) async fn leave(&mut self, call: usize) -> Step {
        let (job, number, sharer) = self.calls[call];
        let owner = &self.owners[self.model.jobs[job].submit.owner];
        let leaver = Leaver {
            sharer,
            on_purpose: false,
        };
        let left = self.store.leave_call(self.ids[job], owner, leaver, "left");
        let real = left.await.unwrap().into();
        (Some(job), real, self.model.leave(job, number))
    }
}
