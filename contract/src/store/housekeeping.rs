//! What keeps queues going, whoever does it: one process at a time for a shard. Due jobs come to their streams by
//! [`Store::forward`], lost ones by [`Store::requeue`].

use std::time::Duration;

use crate::error::Error;
use crate::model::attempt::Lost;
use crate::model::names::QueueName;
use crate::model::queue::QueueStream;
use crate::model::shard::Shard;
use crate::script::{ScriptReply, TRANSITIONS};
use crate::store::{Store, millis};

/// An entry that was delivered and not claimed is put back after this long.
const UNCLAIMED: Duration = Duration::from_secs(15);

/// Who keeps house.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HousekeepingReply {
    /// The caller.
    Held {
        /// For so long before nobody did: Redis was away, or everybody else.
        unheld: Duration,
    },
    /// Another process.
    Taken {
        /// Until this long from now, unless it says so again.
        left: Duration,
        /// About how many processes may, as that one counted them.
        processes: u32,
    },
}

/// Where to go on in the list of a queue's pending entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingFrom(String);

impl Default for PendingFrom {
    /// At its beginning.
    fn default() -> Self {
        Self("-".to_owned())
    }
}

/// What became of a look for jobs that lost their worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequeueReply {
    /// Where to go on; `None` if all were looked at.
    pub next: Option<PendingFrom>,
    /// The jobs of which something changed.
    pub found: Vec<Requeued>,
}

/// A job that was found with no worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requeued {
    /// Its id as its entry has it.
    pub id: String,
    /// What became of it.
    pub what: Found,
}

/// What became of a job that was found with no worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It lost its worker, and is on its stream again.
    Queued(Lost),
    /// It lost its worker, and waits for a slot of its tool.
    Waits(Lost),
    /// It lost its worker for the last time: it failed, and is a dead letter.
    Poison(Lost),
    /// It was given to a worker that never began it, and is on its stream again.
    Unclaimed {
        /// The tool that its entry named.
        tool: String,
    },
    /// Its record has expired; an attempt may have begun.
    Expired {
        /// The tool that its entry named; empty if it named none.
        tool: String,
    },
}

impl Store {
    /// Becomes the one that keeps the queues of a shard going, or one of them, for `valid` from now; or stays it.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe. [`Error::is_forbidden`] is true of the error if the user may not.
    pub async fn hold_housekeeping(
        &self,
        (shard, queue): (Shard, Option<&QueueName>),
        holder: &str,
        valid: Duration,
        processes: u32,
    ) -> Result<HousekeepingReply, Error> {
        let key = self.keys.housekeeper(shard, queue);
        let (valid, processes) = (millis(valid).to_string(), processes.to_string());
        let mut reply = self
            .call(
                &TRANSITIONS.hold_housekeeping,
                &[&key],
                &[holder, &valid, &processes],
            )
            .await?;
        match reply.tag.as_str() {
            "HELD" => Ok(HousekeepingReply::Held {
                unheld: Duration::from_millis(reply.integer()?),
            }),
            "TAKEN" => Ok(HousekeepingReply::Taken {
                left: Duration::from_millis(reply.integer()?),
                processes: reply.integer()?,
            }),
            _ => Err(reply.unknown()),
        }
    }

    /// Gives it up, so that another process begins at once.
    ///
    /// # Errors
    ///
    /// If Redis fails; then another begins when the time of this one is over.
    pub async fn drop_housekeeping(
        &self,
        (shard, queue): (Shard, Option<&QueueName>),
        holder: &str,
    ) -> Result<(), Error> {
        let key = self.keys.housekeeper(shard, queue);
        let call = self
            .call(&TRANSITIONS.drop_housekeeping, &[&key], &[holder])
            .await;
        call?.done()
    }

    /// Looks at up to `count` pending entries of a queue that were left alone for `idle`, and puts the jobs back that lost their
    /// worker, for whoever reads the stream next.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe. [`Error::is_no_group`] is true of the error if nobody ever read the queue.
    pub async fn requeue(
        &self,
        of: QueueStream<'_>,
        from: &PendingFrom,
        count: u32,
        idle: Duration,
    ) -> Result<RequeueReply, Error> {
        let (base, key) = (
            self.keys.base(of.shard),
            self.keys.queue(of.shard, of.queue),
        );
        let [count, idle, unclaimed] =
            [u64::from(count), millis(idle), millis(UNCLAIMED)].map(|number| number.to_string());
        let args: [&str; 6] = [&base, of.queue.as_str(), &from.0, &count, &idle, &unclaimed];
        let mut reply = self.call(&TRANSITIONS.requeue, &[&key], &args).await?;
        if reply.tag != "OK" {
            return Err(reply.unknown());
        }
        let next = reply.text()?;
        let mut found = Vec::new();
        while !reply.is_empty() {
            found.push(read_requeued(&mut reply)?);
        }
        Ok(RequeueReply {
            next: (next != "-").then_some(PendingFrom(next)),
            found,
        })
    }

    /// How many workers have reported within the last minute; none if a key of another type stands in their place.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn count_workers(&self) -> Result<u32, Error> {
        let mut count = redis::cmd("ZCARD");
        count.arg(self.keys.workers());
        match self.connections.command("workers", &count).await {
            Err(error) if error.is_wrong_type() => Ok(0),
            counted => counted,
        }
    }
}

fn read_requeued(reply: &mut ScriptReply) -> Result<Requeued, Error> {
    let [what, id, tool, attempt, worker, crashes] = [
        reply.text()?,
        reply.text()?,
        reply.text()?,
        reply.text()?,
        reply.text()?,
        reply.text()?,
    ];
    let number = |text: &str| text.parse::<u64>().unwrap_or_default();
    let lost = Lost {
        crashes: number(&crashes),
        tool: tool.clone(),
        attempt: number(&attempt),
        worker,
    };
    let what = match what.as_str() {
        "QUEUED" => Found::Queued(lost),
        "WAITS" => Found::Waits(lost),
        "POISON" => Found::Poison(lost),
        "UNCLAIMED" => Found::Unclaimed { tool },
        "EXPIRED" => Found::Expired { tool },
        _ => return Err(reply.unknown()),
    };
    Ok(Requeued { id, what })
}
