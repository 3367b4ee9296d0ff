//! Each operation, done to the store and to the model.

use std::time::Duration;

use taskferry_contract::{
    AttemptNumber, ClaimReply, Delivery, Found, FrontEndId, HeldAttempt, Look, NewQuestion,
    Outcome, Pausable, Paused, PendingFrom, ProgressReport, QuestionRef, QueueStream, Requeued,
    StreamReader,
};

use super::{Case, Checked, Delivered, Holding, LEASE, equal};
use crate::machine::{Held, Lapsed};
use crate::operation::{End, Operation, What};
use crate::reply::{Lot, Reply};

/// The job whose record to compare, what the store replied, and what the model says it should have.
pub(super) type Step = (Option<usize>, Reply, Reply);

impl Case {
    pub(super) async fn perform(&mut self, operation: &Operation) -> Checked<Step> {
        Ok(match operation {
            Operation::Submit(submit) => self.submit(submit).await?,
            Operation::SubmitAgain { job } => self.submit_again(*job).await,
            Operation::Leave { call } => match index(*call, self.calls.len()) {
                Some(call) => self.leave(call).await,
                None => nothing(),
            },
            Operation::Read { worker } => self.read(*worker).await?,
            Operation::ReadAndClaim { worker } => {
                let before = self.deliveries.len();
                let read = self.read(*worker).await?;
                self.claim_since(before, *worker).await?;
                read
            }
            Operation::Claim { delivery, worker } => {
                match index(*delivery, self.deliveries.len()) {
                    Some(delivery) => self.claim(delivery, *worker).await,
                    None => nothing(),
                }
            }
            Operation::Reclaim { worker } => self.reclaim(*worker).await?,
            Operation::ReclaimAndClaim { worker } => {
                let before = self.deliveries.len();
                let reclaimed = self.reclaim(*worker).await?;
                self.claim_since(before, *worker).await?;
                reclaimed
            }
            Operation::Requeue => self.requeue().await,
            Operation::Forward { all, limit } => self.forward(*all, *limit).await,
            Operation::Malformed => self.malformed().await,
            Operation::WindowPasses => self.window_passes().await,
            Operation::Pause(what) => self.pause(*what).await,
            Operation::Resume(what) => self.resume(*what).await,
            Operation::Renew { hold }
            | Operation::Report { hold, .. }
            | Operation::Ask { hold, .. }
            | Operation::Park { hold }
            | Operation::Finish { hold, .. }
            | Operation::Retry { hold, .. }
            | Operation::Release { hold, .. } => match index(*hold, self.holdings.len()) {
                Some(hold) => self.write(operation, self.holdings[hold].clone()).await,
                None => nothing(),
            },
            Operation::Answer { job, .. }
            | Operation::Cancel { job, .. }
            | Operation::Watch { job, .. }
            | Operation::Lapse { job, .. }
            | Operation::Expire { job }
            | Operation::Duplicate { job } => match index(*job, self.ids.len()) {
                Some(job) => self.touch(operation, job).await,
                None => nothing(),
            },
        })
    }

    /// Somebody adds an entry that cannot be read.
    async fn malformed(&mut self) -> Step {
        let key = self.stream();
        self.raw::<String>("XADD", (key, "*", "hello", "world"))
            .await;
        self.model.append(None);
        nothing()
    }

    async fn pause(&mut self, what: What) -> Step {
        let reply = self.store.pause(&self.pausable(what), "ops", "").await;
        let real = matches!(reply.unwrap(), Paused::Now(_));
        (None, Reply::Paused(real), self.model.pause(what))
    }

    async fn resume(&mut self, what: What) -> Step {
        let queues = std::slice::from_ref(&self.queue);
        let reply = self.store.resume(&self.pausable(what), queues).await;
        let real = reply.unwrap().is_some();
        (None, Reply::Resumed(real), self.model.resume(what))
    }

    fn pausable(&self, what: What) -> Pausable {
        match what {
            What::Queue => Pausable::Queue(self.queue.clone()),
            What::Tool(tool) => Pausable::Tool(self.tools[tool].name.clone()),
        }
    }

    async fn read(&mut self, worker: usize) -> Checked<Step> {
        let source = StreamReader {
            worker: &self.workers[worker],
            shard: self.shard,
            queues: std::slice::from_ref(&self.queue),
        };
        let read = self.store.read_new(&mut self.connection, source, 1, None);
        let delivered = read.await.unwrap();
        let expected: Vec<usize> = self.model.read(worker).into_iter().collect();
        self.delivered(&delivered, &expected).await
    }

    async fn reclaim(&mut self, worker: usize) -> Checked<Step> {
        let from = QueueStream {
            shard: self.shard,
            queue: &self.queue,
        };
        let reclaim = self.store.reclaim(&self.workers[worker], from, LEASE, 100);
        let delivered = reclaim.await.unwrap();
        let expected = self.model.reclaim(worker);
        self.delivered(&delivered, &expected).await
    }

    async fn requeue(&mut self) -> Step {
        let of = QueueStream {
            shard: self.shard,
            queue: &self.queue,
        };
        let expected = self.model.requeue();
        let look = Look {
            count: 1_000,
            idle: Duration::ZERO,
            silent: &[],
        };
        let from = PendingFrom::default();
        let requeue = self.store.requeue(of, &from, look);
        let found = requeue.await.unwrap().found.into_iter();
        let numbered = found.map(|Requeued { id, what }| {
            let job = self.ids.iter().position(|known| known.to_string() == id);
            let what = match what {
                Found::Queued(lost) | Found::Waits(lost) => Lot::Again(lost.crashes),
                Found::Poison(lost) => Lot::Poison(lost.crashes),
                Found::Unclaimed { .. } => Lot::Unclaimed,
                Found::Expired { .. } => Lot::Expired,
            };
            (job, what)
        });
        (None, Reply::Requeued(numbered.collect()), expected)
    }

    /// Notes what was delivered; buries what cannot be read.
    async fn delivered(&mut self, delivered: &[Delivery], expected: &[usize]) -> Checked<Step> {
        let jobs = expected.iter().map(|entry| self.model.entries[entry].job);
        let expected_jobs = Reply::Delivered(jobs.collect());
        let mut real = Vec::new();
        for delivery in delivered {
            let (entry, job) = match delivery {
                Delivery::Job(claimed) => {
                    let job = self.ids.iter().position(|id| *id == claimed.id);
                    let job = job.ok_or("an entry of an unknown task")?;
                    (&claimed.entry, Some((job, claimed.clone())))
                }
                Delivery::Unreadable(found) => {
                    let bury = self.store.dead_letter(found, "unreadable");
                    bury.await.unwrap();
                    (&found.entry, None)
                }
            };
            if let Some(number) = expected.get(real.len()) {
                let known = self.entries.entry(*number);
                let known = known.or_insert_with(|| entry.as_str().to_owned());
                equal("entry", &entry.as_str(), &known.as_str())?;
                match job.clone() {
                    Some((job, claimed)) => self.deliveries.push(Delivered {
                        job,
                        entry: *number,
                        claimed,
                    }),
                    None => self.model.bury(*number),
                }
            }
            real.push(job.map(|(job, _)| job));
        }
        Ok((None, Reply::Delivered(real), expected_jobs))
    }

    /// Claims what was delivered since there were `before` deliveries.
    pub(super) async fn claim_since(&mut self, before: usize, worker: usize) -> Checked<()> {
        for delivery in before..self.deliveries.len() {
            Box::pin(self.step(&Operation::Claim { delivery, worker })).await?;
        }
        Ok(())
    }

    async fn claim(&mut self, delivery: usize, worker: usize) -> Step {
        let Delivered {
            job,
            entry,
            claimed,
        } = self.deliveries[delivery].clone();
        let expected = self.model.claim(job, entry, (worker, delivery));
        let reply = self
            .store
            .claim(&claimed, &self.workers[worker], LEASE)
            .await
            .unwrap();
        if let ClaimReply::Started(started) = &reply {
            let attempt = started.attempt;
            let held = Held {
                job,
                entry,
                worker,
                attempt: attempt.0,
            };
            let hold = HeldAttempt {
                claimed,
                attempt: AttemptNumber(attempt.0),
                worker: self.workers[worker].clone(),
            };
            self.holdings.push(Holding { hold, held });
        }
        (Some(job), Reply::from(&reply), expected)
    }

    async fn forward(&mut self, all: bool, limit: u32) -> Step {
        let due = self.key(&format!("due:{}", self.queue));
        for (job, far) in self.model.due.clone() {
            // Far times have come, or are still far however long the case took.
            let time = if all || !far {
                1
            } else {
                9_000_000_000_000_u64
            };
            let moved = (&due, "XX", time, self.ids[job].to_string());
            self.raw::<()>("ZADD", moved).await;
        }
        let expected = self.model.forward(all, limit);
        let of = QueueStream {
            shard: self.shard,
            queue: &self.queue,
        };
        let reply = self.store.forward(of, limit).await.unwrap();
        let real = Reply::Forwarded {
            moved: reply.moved,
            more: reply.call_again_ms.is_some(),
        };
        (None, real, expected)
    }

    /// What a worker writes for a job it holds, or once held.
    async fn write(&mut self, operation: &Operation, Holding { hold, held }: Holding) -> Step {
        let (store, model) = (&self.store, &mut self.model);
        let delay = |later: bool| if later { LEASE } else { Duration::ZERO };
        let (real, expected) = match operation {
            Operation::Renew { .. } => (
                store.renew_lease(&hold, LEASE).await.unwrap().into(),
                model.renew(held),
            ),
            Operation::Report { text, .. } => {
                let report = ProgressReport {
                    progress: Some(0.5),
                    total: None,
                    message: text.then(|| "half".to_owned()),
                };
                let real = store.report_progress(&hold, &report).await.unwrap();
                (real.into(), model.report(held))
            }
            Operation::Ask { keys, .. } => {
                let keys: Vec<&str> = keys.iter().map(|key| question(*key)).collect();
                let asks = |key| NewQuestion { key, request: "{}" };
                let questions: Vec<NewQuestion<'_>> = keys.iter().copied().map(asks).collect();
                let real = store.ask_input(&hold, &questions).await.unwrap();
                (real.into(), model.ask(held, &keys))
            }
            Operation::Park { .. } => (store.park(&hold).await.unwrap().into(), model.park(held)),
            Operation::Finish { end, .. } => (
                store.finish(&hold, &outcome(*end)).await.unwrap().into(),
                model.finish(held, *end),
            ),
            Operation::Retry { later, end, .. } => {
                let last = outcome(*end);
                let retry = store.schedule_retry(&hold, delay(*later), "again", &last);
                (retry.await.unwrap().into(), model.retry(held, *later, *end))
            }
            Operation::Release { later, .. } => {
                let real = store.release_after_run(&hold, delay(*later), Some("draining"));
                (real.await.unwrap().into(), model.release(held, *later))
            }
            _ => (Reply::Nothing, Reply::Nothing),
        };
        (Some(held.job), real, expected)
    }

    /// What callers do with a task, and what happens to it.
    async fn touch(&mut self, operation: &Operation, job: usize) -> Step {
        let id = self.ids[job];
        let caller = |owner: Option<usize>| owner.unwrap_or(self.model.jobs[job].submit.owner);
        let (real, expected) = match operation {
            Operation::Answer { owner, key, .. } => {
                let (owner, key) = (caller(*owner), question(*key));
                let store = self.store.answer_input(
                    QuestionRef {
                        task: id,
                        owner: &self.owners[owner],
                        key,
                    },
                    "[1]",
                );
                (
                    store.await.unwrap().into(),
                    self.model.answer(job, owner, key, "[1]"),
                )
            }
            Operation::Cancel { owner, .. } => {
                let owner = caller(*owner);
                let store = self.store.cancel(id, &self.owners[owner], "enough");
                (store.await.unwrap().into(), self.model.cancel(job, owner))
            }
            Operation::Watch { owner, .. } => {
                let owner = caller(*owner);
                let front_end: FrontEndId = "r1".parse().unwrap();
                let seen = self
                    .store
                    .watch(id, &self.owners[owner], &front_end)
                    .await
                    .unwrap();
                let real = if seen.is_some() {
                    Reply::Found
                } else {
                    Reply::Gone
                };
                (real, self.model.watch(job, owner))
            }
            Operation::Lapse { passes, long, .. } => {
                let slot = if *long { Lapsed::LongAgo } else { Lapsed::Just };
                self.lapse(job, *passes, slot).await;
                (Reply::Nothing, Reply::Nothing)
            }
            Operation::Expire { .. } => {
                self.expire(job).await;
                (Reply::Nothing, Reply::Nothing)
            }
            Operation::Duplicate { .. } => {
                let (key, id) = (self.stream(), id.to_string());
                self.raw::<String>("XADD", (key, "*", "id", id, "tool", "x"))
                    .await;
                self.model.append(Some(job));
                (Reply::Nothing, Reply::Nothing)
            }
            _ => (Reply::Nothing, Reply::Nothing),
        };
        (Some(job), real, expected)
    }
}

fn question(key: u8) -> &'static str {
    ["a", "b", "c"][usize::from(key)]
}

fn outcome(end: End) -> Outcome {
    match end {
        End::Completed => Outcome::Completed {
            result: "{}".to_owned(),
            is_error: false,
            message: None,
        },
        End::Failed => Outcome::Failed {
            error: "{}".to_owned(),
            message: "no".to_owned(),
        },
        End::Cancelled => Outcome::Cancelled {
            message: "no".to_owned(),
        },
    }
}

/// The one of `length` that is meant by `number`; the last one by the greatest number.
pub(super) fn index(number: usize, length: usize) -> Option<usize> {
    let last = length.checked_sub(1)?;
    Some(if number == usize::MAX {
        last
    } else {
        number % length
    })
}

pub(super) fn nothing() -> Step {
    (None, Reply::Nothing, Reply::Nothing)
}
