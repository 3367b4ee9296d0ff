//! What keeps queues going, whoever does it: one process at a time for a shard. Due jobs come to their streams by
//! [`Store::forward`], lost ones by [`Store::requeue`].

use std::time::Duration;

use crate::error::Error;
use crate::model::attempt::Lost;
use crate::model::names::{QueueName, WorkerId};
use crate::model::queue::QueueStream;
use crate::model::shard::Shard;
use crate::script::{ScriptReply, TRANSITIONS};
use crate::store::{Store, millis};

/// An entry that was delivered and not claimed is put back after this long.
const UNCLAIMED: Duration = Duration::from_secs(15);

/// A worker that listens, and was absent and renewed nothing for so long, is gone.
pub(crate) const SILENCE: Duration = Duration::from_secs(3);

/// How a queue is looked at for jobs that lost their worker.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// At so many pending entries at most.
    pub count: u32,
    /// Entries that something was done with so short a time ago are passed over.
    pub idle: Duration,
    /// Workers that are gone: their leases are not waited for, but for those of jobs that may run once.
    pub silent: &'a [WorkerId],
}

/// Which of the workers that reported within the last minute are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listeners {
    /// The server's own name for this run of it; empty if it does not say.
    pub run_id: String,
    /// For how long it runs.
    pub uptime: Duration,
    /// Those that have a subscription to their inbox.
    pub present: Vec<WorkerId>,
    /// Those that have none.
    pub absent: Vec<WorkerId>,
}

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
        /// The caller is one of few that ask again as soon as that time is over.
        is_deputy: bool,
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
    /// Nothing at all is pending: no worker has a job.
    pub is_idle: bool,
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
    /// It lost its worker, and waits for its turn among the jobs of its tool.
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
                is_deputy: reply.integer::<u64>()? == 1,
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

    /// Looks at pending entries of a queue, and puts the jobs back that lost their worker, for whoever reads the stream next.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe. [`Error::is_no_group`] is true of the error if nobody ever read the queue.
    pub async fn requeue(
        &self,
        of: QueueStream<'_>,
        from: &PendingFrom,
        look: Look<'_>,
    ) -> Result<RequeueReply, Error> {
        let (base, key) = (
            self.keys.base(of.shard),
            self.keys.queue(of.shard, of.queue),
        );
        let [count, idle, unclaimed, silence] = [
            u64::from(look.count),
            millis(look.idle),
            millis(UNCLAIMED),
            millis(SILENCE),
        ]
        .map(|number| number.to_string());
        let queue = of.queue.as_str();
        let mut args = vec![
            base.as_str(),
            queue,
            &from.0,
            &count,
            &idle,
            &unclaimed,
            &silence,
        ];
        args.extend(look.silent.iter().map(WorkerId::as_str));
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
            is_idle: next.is_empty(),
            next: Some(PendingFrom(next)).filter(|next| !["", "-"].contains(&next.0.as_str())),
            found,
        })
    }

    /// Which of the workers that reported within the last minute have a subscription to their inbox on a shard.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn listeners(&self, shard: Shard) -> Result<Listeners, Error> {
        let run = self.connections.server_run().await?;
        let mut read = redis::cmd("ZRANGE");
        read.arg(self.keys.workers()).arg(0).arg(-1);
        let workers: Vec<String> = match self.connections.command("workers", &read).await {
            Err(error) if error.is_wrong_type() => Vec::new(),
            workers => workers?,
        };
        let workers: Vec<WorkerId> = workers.iter().filter_map(|id| id.parse().ok()).collect();
        let (mut present, mut absent) = (Vec::new(), Vec::new());
        if !workers.is_empty() {
            let mut count = redis::cmd("PUBSUB");
            count.arg("NUMSUB");
            for worker in &workers {
                count.arg(self.keys.inbox(shard, worker));
            }
            let counts: Vec<(String, u64)> =
                self.connections.command("PUBSUB NUMSUB", &count).await?;
            for (worker, (_, count)) in workers.into_iter().zip(counts) {
                let side = if count == 0 {
                    &mut absent
                } else {
                    &mut present
                };
                side.push(worker);
            }
        }
        Ok(Listeners {
            uptime: run.uptime(),
            run_id: run.id,
            present,
            absent,
        })
    }

    /// Whether a worker says of itself that it listens for as long as it lives.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn listens(&self, worker: &WorkerId) -> Result<bool, Error> {
        let mut read = redis::cmd("HGET");
        read.arg(self.keys.worker(worker)).arg("listens");
        let said: Option<String> = self.connections.command("listens", &read).await?;
        Ok(said.as_deref() == Some("1"))
    }

    /// Those of these queues of a shard for which [`Self::forward`] may have something to do: jobs are due there, or will be, or
    /// wait for a slot or for their caller's turn. One command if there are none.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn queues_that_wait(
        &self,
        shard: Shard,
        queues: &[QueueName],
    ) -> Result<Vec<QueueName>, Error> {
        let exist = |queues: &[QueueName]| {
            let mut exist = redis::cmd("EXISTS");
            for queue in queues {
                exist.arg(self.keys.due(shard, queue));
                exist.arg(self.keys.tools_with_waiting_jobs(shard, queue));
                exist.arg(self.keys.lines(shard, queue));
            }
            exist
        };
        let found: u64 = match queues {
            [] => 0,
            queues => self.connections.command("EXISTS", &exist(queues)).await?,
        };
        if found == 0 || queues.len() == 1 {
            return Ok(if found == 0 {
                Vec::new()
            } else {
                queues.to_vec()
            });
        }
        let mut each = redis::pipe();
        for queue in queues {
            each.add_command(exist(std::slice::from_ref(queue)));
        }
        let found: Vec<u64> = self.connections.pipeline("EXISTS", &each).await?;
        let waits = queues.iter().zip(found).filter(|(_, found)| *found > 0);
        Ok(waits.map(|(queue, _)| queue.clone()).collect())
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
