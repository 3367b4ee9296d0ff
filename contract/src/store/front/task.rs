//! What a front end does with tasks: read, watch, list, promote, cancel, leave.

use std::time::Duration;

use crate::error::Error;
use crate::keys::LineName;
use crate::model::ids::TaskId;
use crate::model::job::TaskView;
use crate::model::names::{FrontEndId, Owner};
use crate::script::{ScriptReply, TRANSITIONS};
use crate::store::record::{VIEW_FIELDS, view_from_pairs, view_from_values};
use crate::store::{Store, millis};

/// What became of a cancel.
#[derive(Debug, Clone, PartialEq)]
pub enum CancelReply {
    /// Cancelled now.
    Cancelled(TaskView),
    /// It had ended before.
    AlreadyTerminal(TaskView),
    /// There is no such task for this owner.
    NotFound,
}

/// What `promote` did with a plain call.
#[derive(Debug, Clone, PartialEq)]
pub enum PromoteReply {
    /// The call is a task now, or already was one.
    Promoted(TaskView),
    /// It ended before; here it is without result and error.
    AlreadyTerminal(TaskView),
    /// There is no such record for this owner.
    NotFound,
}

/// A caller who leaves a plain call.
#[derive(Debug, Clone, Copy)]
pub struct Leaver {
    /// The task id with which this caller submitted the call. Callers with the same call share one job; the record lists
    /// them by these ids (`holders`).
    pub sharer: TaskId,
    /// Whether the caller cancelled, rather than lost its connection. A cancel ends the job for all callers with the same
    /// idempotency key, since that key makes their calls one.
    pub on_purpose: bool,
}

/// What became of a plain call whose caller left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaveReply {
    /// No other caller waits for it: cancelled.
    Cancelled,
    /// Other callers still wait for it: it goes on.
    Shared,
    /// It has become a task, which only `cancel` ends: it goes on.
    Task,
    /// It had ended before.
    AlreadyTerminal,
    /// There is no such record for this owner.
    NotFound,
}

/// A page of an owner's tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The tasks, those that expire first at the front.
    pub tasks: Vec<TaskView>,
    /// The expiry and id of the last task of this page, to pass as `after` for the next one. `None` if this was the last
    /// page.
    pub next: Option<(u64, TaskId)>,
}

impl Store {
    /// Reads a task without result and error; one Redis read, no write. `None` if it expired or never was. Does not check
    /// who asks: compare `owner` of the view before you show it.
    ///
    /// # Errors
    ///
    /// If Redis fails, or the record cannot be read.
    pub async fn view(&self, id: TaskId) -> Result<Option<TaskView>, Error> {
        let mut read = redis::cmd("HMGET");
        read.arg(self.keys.record(id)).arg(&VIEW_FIELDS[..]);
        view_from_values(id, self.connections.command("view", &read).await?)
    }

    /// How many jobs of the same owner and tool come before one that waits in their line: those that are ready, and those before
    /// it in the line. `None` if it does not wait there any more.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn ahead_in_line(&self, view: &TaskView) -> Result<Option<u64>, Error> {
        let (shard, line) = (
            view.id.shard(),
            LineName {
                queue: &view.queue,
                tool: &view.tool,
                owner: &view.owner,
            },
        );
        let mut read = redis::pipe();
        let rank = read.cmd("ZRANK").arg(self.keys.line(shard, line));
        rank.arg(view.id.to_string());
        read.cmd("ZCARD").arg(self.keys.ready(shard, line));
        let read = self.connections.pipeline("ahead_in_line", &read);
        let (rank, ready): (Option<u64>, u64) = read.await?;
        Ok(rank.map(|rank| rank.saturating_add(ready)))
    }

    /// Notes in the record that `front_end` waits for the task, and reads the task, in one script: no change can happen
    /// between the two. Result and error are not read. `None` if the task expired, never existed, or belongs to another
    /// owner.
    ///
    /// # Errors
    ///
    /// If Redis fails, or the record cannot be read.
    pub async fn watch(
        &self,
        id: TaskId,
        owner: &Owner,
        front_end: &FrontEndId,
    ) -> Result<Option<TaskView>, Error> {
        let (base, text) = (self.keys.base(id.shard()), id.to_string());
        let reply = self
            .call(
                &TRANSITIONS.watch,
                &[&self.keys.record(id)],
                &[&base, &text, owner.as_str(), front_end.as_str()],
            )
            .await?;
        match reply.tag.as_str() {
            "OK" => view_from_pairs(id, reply.pairs()?).map(Some),
            "GONE" => Ok(None),
            _ => Err(reply.unknown()),
        }
    }

    /// Makes a plain call of `owner` a task. Its record stays at least `keep` after the job ends.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn promote(
        &self,
        id: TaskId,
        owner: &Owner,
        keep: Duration,
    ) -> Result<PromoteReply, Error> {
        let (base, text) = (self.keys.base(id.shard()), id.to_string());
        let (record, keep_ms) = (self.keys.record(id), millis(keep).to_string());
        let args = [base.as_str(), &text, owner.as_str(), &keep_ms];
        let reply = self
            .call_replicated(&TRANSITIONS.promote, &[&record], &args)
            .await?;
        match reply.tag.as_str() {
            "OK" => view_from_pairs(id, reply.pairs()?).map(PromoteReply::Promoted),
            "DONE" => view_from_pairs(id, reply.pairs()?).map(PromoteReply::AlreadyTerminal),
            "GONE" => Ok(PromoteReply::NotFound),
            _ => Err(reply.unknown()),
        }
    }

    /// Cancels a task of `owner`.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn cancel(
        &self,
        id: TaskId,
        owner: &Owner,
        message: &str,
    ) -> Result<CancelReply, Error> {
        let (base, text) = (self.keys.base(id.shard()), id.to_string());
        let (record, args) = (
            self.keys.record(id),
            [base.as_str(), &text, owner.as_str(), message],
        );
        let reply = self
            .call_replicated(&TRANSITIONS.cancel, &[&record], &args)
            .await?;
        cancel_reply(id, reply)
    }

    /// Cancels a task of any owner. For operators, and for a front end that queued a job but could not give its id to the
    /// client. Does not wait for Redis replicas, as `cancel` does.
    ///
    /// # Errors
    ///
    /// As [`Self::cancel`].
    pub async fn cancel_any(&self, id: TaskId, message: &str) -> Result<CancelReply, Error> {
        let reply = self
            .on_record(&TRANSITIONS.cancel, id, &["*", message])
            .await?;
        cancel_reply(id, reply)
    }

    /// Takes one caller off a plain call of `owner`, and cancels the job if it was the last. A cancel on purpose of a call
    /// with an idempotency key always cancels the job.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn leave_call(
        &self,
        id: TaskId,
        owner: &Owner,
        leaver: Leaver,
        message: &str,
    ) -> Result<LeaveReply, Error> {
        let sharer = leaver.sharer.to_string();
        let on_purpose = if leaver.on_purpose { "1" } else { "0" };
        let args = [owner.as_str(), &sharer, on_purpose, message];
        let reply = self.on_record(&TRANSITIONS.leave_call, id, &args).await?;
        match reply.tag.as_str() {
            "OK" => Ok(LeaveReply::Cancelled),
            "HELD" => Ok(LeaveReply::Shared),
            "TASK" => Ok(LeaveReply::Task),
            "DONE" => Ok(LeaveReply::AlreadyTerminal),
            "GONE" => Ok(LeaveReply::NotFound),
            _ => Err(reply.unknown()),
        }
    }

    /// A page of the owner's tasks of up to `limit`, after `after`. A record that cannot be read is left out and logged.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn list_owned(
        &self,
        owner: &Owner,
        after: Option<(u64, TaskId)>,
        limit: usize,
    ) -> Result<Page, Error> {
        let shard = self.shards.of(owner);
        let key = self.keys.owned(shard, owner);
        let start = after.map_or_else(|| "-inf".to_owned(), |(expiry, _)| expiry.to_string());
        let last = after.map(|(expiry, id)| (expiry, id.to_string()));
        let mut members: Vec<(String, u64)> = Vec::new();
        let mut offset = 0;
        // The range begins at the expiry of the last task of the page before, so it brings that task again, and others of
        // the same expiry. Those are in the order of their ids: skip up to the last one.
        while members.len() <= limit {
            let mut range = redis::cmd("ZRANGEBYSCORE");
            range.arg(&key).arg(&start).arg("+inf").arg("WITHSCORES");
            range.arg("LIMIT").arg(offset).arg(limit + 1);
            let batch: Vec<(String, u64)> = self.connections.command("list_owned", &range).await?;
            let is_full = batch.len() > limit;
            offset += batch.len();
            let new = batch.into_iter().filter(|(id, expiry)| {
                last.as_ref()
                    .is_none_or(|(last_expiry, last_id)| (*expiry, id) > (*last_expiry, last_id))
            });
            members.extend(new);
            if !is_full {
                break;
            }
        }
        let has_more = members.len() > limit;
        members.truncate(limit);
        let read: Vec<(TaskId, u64)> = members
            .iter()
            .filter_map(|(id, expiry)| Some((id.parse().ok()?, *expiry)))
            .filter(|(id, _): &(TaskId, u64)| id.shard() == shard)
            .collect();
        let mut pipe = redis::pipe();
        for (id, _) in &read {
            pipe.cmd("HMGET")
                .arg(self.keys.record(*id))
                .arg(&VIEW_FIELDS[..]);
        }
        let records: Vec<Vec<Option<String>>> = if read.is_empty() {
            Vec::new()
        } else {
            self.connections.pipeline("list_owned", &pipe).await?
        };
        let mut tasks = Vec::with_capacity(records.len());
        for ((id, _), values) in read.iter().zip(records) {
            match view_from_values(*id, values) {
                Ok(task) => tasks.extend(task),
                Err(error) => tracing::warn!(%error, "a task cannot be read; it is not listed"),
            }
        }
        let next = if has_more {
            read.last().map(|(id, expiry)| (*expiry, *id))
        } else {
            None
        };
        Ok(Page { tasks, next })
    }
}

fn cancel_reply(id: TaskId, reply: ScriptReply) -> Result<CancelReply, Error> {
    match reply.tag.as_str() {
        "OK" => view_from_pairs(id, reply.pairs()?).map(CancelReply::Cancelled),
        "DONE" => view_from_pairs(id, reply.pairs()?).map(CancelReply::AlreadyTerminal),
        "GONE" => Ok(CancelReply::NotFound),
        _ => Err(reply.unknown()),
    }
}
