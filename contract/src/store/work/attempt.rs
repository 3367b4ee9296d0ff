//! What a worker does with a job: claim it, then report, ask, and end the attempt. Every write but the claim carries the
//! attempt's number. Once another attempt has begun or the job has ended, the write is refused and the record stays as it
//! is.

use std::time::Duration;

use crate::error::Error;
use crate::model::attempt::{DeliveredEntry, Expired, HeldAttempt, Lost, ProgressReport, Refused};
use crate::model::ids::{AttemptNumber, TaskId};
use crate::model::names::WorkerId;
use crate::model::outcome::{Outcome, OutcomeParts};
use crate::model::question::NewQuestion;
use crate::script::{ScriptReply, TRANSITIONS, Transition};
use crate::store::record::{job_from_pairs, malformed};
use crate::store::work::replies::{
    AskReply, ClaimReply, FinishReply, ParkReply, RenewReply, RetryReply, refused,
};
use crate::store::{Store, millis};

impl Store {
    /// Starts an attempt of the job to which this entry belongs. `worker` must have read or reclaimed the entry.
    ///
    /// # Errors
    ///
    /// If Redis fails, or the record cannot be read.
    pub async fn claim(
        &self,
        delivered: &DeliveredEntry,
        worker: &WorkerId,
        lease: Duration,
    ) -> Result<ClaimReply, Error> {
        let shard = delivered.id.shard();
        let (base, id) = (self.keys.base(shard), delivered.id.to_string());
        let queue = self.keys.queue(shard, &delivered.queue);
        let (lease, delivery) = (millis(lease).to_string(), delivered.delivery.to_string());
        let (entry, worker) = (delivered.entry.as_str(), worker.as_str());
        let mut reply = self
            .call(
                &TRANSITIONS.claim,
                &[&self.keys.record(delivered.id), &queue],
                &[&base, &id, entry, worker, &lease, &delivery],
            )
            .await?;
        match reply.tag.as_str() {
            "OK" => {
                let attempt = AttemptNumber(reply.integer()?);
                let mut pairs = reply.pairs()?;
                if let Some(bytes) = bytes_apart(&pairs) {
                    let Some(arguments) = self.arguments(delivered.id, bytes).await? else {
                        return Ok(ClaimReply::Gone(None));
                    };
                    pairs.push(("arguments".to_owned(), arguments));
                }
                let job = job_from_pairs(delivered.id, attempt, pairs)?;
                Ok(ClaimReply::Started(Box::new(job)))
            }
            "UNREADABLE" => {
                let (name, value) = (reply.text()?, reply.text()?);
                if name == "type" {
                    return Err(malformed(delivered.id, "type", &value));
                }
                Err(malformed(
                    delivered.id,
                    "number",
                    &format!("{name} = {value}"),
                ))
            }
            "WAITS" if reply.is_empty() => Ok(ClaimReply::Waits(None)),
            "WAITS" => Ok(ClaimReply::Waits(Some(read_lost(&mut reply)?))),
            "GONE" if reply.is_empty() => Ok(ClaimReply::Gone(None)),
            "GONE" => Ok(ClaimReply::Gone(Some(Expired {
                tool: reply.text()?,
                begun: reply.text()? == "1",
            }))),
            "STALE" => Ok(ClaimReply::Stale),
            "DONE" => Ok(ClaimReply::AlreadyTerminal),
            "POISON" => Ok(ClaimReply::Poison(read_lost(&mut reply)?)),
            "BUSY" => Ok(ClaimReply::Busy {
                until_ms: reply.integer()?,
            }),
            _ => Err(reply.unknown()),
        }
    }

    /// Reads arguments that are too large for the reply to a claim. `None` if the record expired since.
    async fn arguments(&self, id: TaskId, bytes: u64) -> Result<Option<String>, Error> {
        let mut read = redis::cmd("HGET");
        read.arg(self.keys.record(id)).arg("arguments");
        self.connections.read_sized("arguments", &read, bytes).await
    }

    /// Extends the lease to `lease` from now, and returns every answer stored so far. Makes the consumer group again if
    /// Redis lost it.
    ///
    /// # Errors
    ///
    /// If Redis fails. The lease may or may not have been extended.
    pub async fn renew_lease(
        &self,
        hold: &HeldAttempt,
        lease: Duration,
    ) -> Result<RenewReply, Error> {
        let lease = millis(lease).to_string();
        let claimed = &hold.claimed;
        let args = [hold.worker.as_str(), claimed.entry.as_str(), &lease];
        let reply = match self.fenced(&TRANSITIONS.renew_lease, hold, &args).await {
            Err(error) if error.is_no_group() => {
                self.ensure_group(claimed.stream()).await?;
                self.fenced(&TRANSITIONS.renew_lease, hold, &args).await?
            }
            reply => reply?,
        };
        match reply.tag.as_str() {
            "OK" => Ok(RenewReply::Renewed(reply.pairs()?)),
            _ => refused(&reply).map(RenewReply::Refused),
        }
    }

    /// Shows pollers how far the attempt is. Numbers that are not finite are left out.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn report_progress(
        &self,
        hold: &HeldAttempt,
        report: &ProgressReport,
    ) -> Result<Result<(), Refused>, Error> {
        let number = |n: Option<f64>| {
            n.filter(|n| n.is_finite())
                .map_or_else(String::new, |n| n.to_string())
        };
        let (progress, total) = (number(report.progress), number(report.total));
        let message = report.message.as_deref().unwrap_or("");
        let args = [progress.as_str(), &total, message];
        let reply = self
            .fenced(&TRANSITIONS.report_progress, hold, &args)
            .await?;
        match reply.tag.as_str() {
            "OK" => Ok(Ok(())),
            _ => refused(&reply).map(Err),
        }
    }

    /// Stores questions for the client, all in one step, so that the client gets them together. A key is asked once in the life of a job; asked again, it brings the
    /// stored answer.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn ask_input(
        &self,
        hold: &HeldAttempt,
        questions: &[NewQuestion<'_>],
    ) -> Result<AskReply, Error> {
        let args: Vec<&str> = questions
            .iter()
            .flat_map(|question| [question.key, question.request])
            .collect();
        let reply = self.fenced(&TRANSITIONS.ask_input, hold, &args).await?;
        match reply.tag.as_str() {
            "ASKED" => Ok(AskReply::Asked(reply.pairs()?)),
            "ANSWERED" => Ok(AskReply::Answered(reply.pairs()?)),
            _ => refused(&reply).map(AskReply::Refused),
        }
    }

    /// Gives the job back while its questions are open; the last answer queues it again.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn park(&self, hold: &HeldAttempt) -> Result<ParkReply, Error> {
        let reply = self.fenced(&TRANSITIONS.park, hold, &[]).await?;
        match reply.tag.as_str() {
            "OK" => Ok(ParkReply::Parked),
            "ANSWERED" => Ok(ParkReply::Answered),
            _ => refused(&reply).map(ParkReply::Refused),
        }
    }

    /// Stores the outcome and ends the job.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe: it is refused as [`Refused::AlreadyTerminal`].
    pub async fn finish(
        &self,
        hold: &HeldAttempt,
        outcome: &Outcome,
    ) -> Result<FinishReply, Error> {
        let parts = OutcomeParts::of(outcome);
        let args = [
            hold.claimed.entry.as_str(),
            parts.status,
            parts.field,
            parts.payload,
            parts.is_error,
            parts.message,
        ];
        let reply = self.fenced(&TRANSITIONS.finish, hold, &args).await?;
        match reply.tag.as_str() {
            "OK" => Ok(FinishReply::Stored),
            _ => refused(&reply).map(FinishReply::Refused),
        }
    }

    /// Queues another attempt, due after `delay`. `message` says why this one failed. If no attempt is left, ends the job
    /// with `last` and writes a dead letter.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn schedule_retry(
        &self,
        hold: &HeldAttempt,
        delay: Duration,
        message: &str,
        last: &Outcome,
    ) -> Result<RetryReply, Error> {
        let delay = millis(delay).to_string();
        let parts = OutcomeParts::of(last);
        let args = [
            hold.claimed.entry.as_str(),
            &delay,
            message,
            parts.status,
            parts.field,
            parts.payload,
            parts.is_error,
        ];
        let mut reply = self
            .fenced(&TRANSITIONS.schedule_retry, hold, &args)
            .await?;
        match reply.tag.as_str() {
            "RETRY" => Ok(RetryReply::Scheduled {
                due_ms: reply.integer()?,
            }),
            "DEAD" => Ok(RetryReply::Dead),
            _ => refused(&reply).map(RetryReply::Refused),
        }
    }

    /// Queues the job again, due after `delay`, with a `message` for pollers, without counting this attempt as failed. For
    /// an attempt whose handler had begun.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn release_after_run(
        &self,
        hold: &HeldAttempt,
        delay: Duration,
        message: Option<&str>,
    ) -> Result<FinishReply, Error> {
        self.release_with(hold, delay, message, true).await
    }

    /// As [`Self::release_after_run`], for an attempt whose handler never began: the job's waiting time goes on as if it had not been
    /// claimed.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn release_unrun(
        &self,
        hold: &HeldAttempt,
        delay: Duration,
        message: Option<&str>,
    ) -> Result<FinishReply, Error> {
        self.release_with(hold, delay, message, false).await
    }

    async fn release_with(
        &self,
        hold: &HeldAttempt,
        delay: Duration,
        message: Option<&str>,
        ran: bool,
    ) -> Result<FinishReply, Error> {
        let delay = millis(delay).to_string();
        let (message, ran) = (message.unwrap_or(""), if ran { "1" } else { "0" });
        let args = [hold.claimed.entry.as_str(), &delay, message, ran];
        let reply = self.fenced(&TRANSITIONS.release, hold, &args).await?;
        match reply.tag.as_str() {
            "OK" => Ok(FinishReply::Stored),
            _ => refused(&reply).map(FinishReply::Refused),
        }
    }

    /// Calls a script on behalf of an attempt. KEYS: record, queue. ARGV: base, id, attempt number, then `args`.
    pub(super) async fn fenced(
        &self,
        transition: &Transition,
        hold: &HeldAttempt,
        args: &[&str],
    ) -> Result<ScriptReply, Error> {
        let claimed = &hold.claimed;
        let shard = claimed.id.shard();
        let (base, id) = (self.keys.base(shard), claimed.id.to_string());
        let attempt = hold.attempt.to_string();
        let (record, queue) = (
            self.keys.record(claimed.id),
            self.keys.queue(shard, &claimed.queue),
        );
        let mut script_args = vec![base.as_str(), &id, &attempt];
        script_args.extend(args);
        self.call(transition, &[&record, &queue], &script_args)
            .await
    }
}

/// How large the arguments are that a claim left out, if it did.
fn bytes_apart(pairs: &[(String, String)]) -> Option<u64> {
    let mut pairs = pairs.iter();
    let (_, bytes) = pairs.find(|(name, _)| name == "arguments_bytes")?;
    bytes.parse().ok()
}

fn read_lost(reply: &mut ScriptReply) -> Result<Lost, Error> {
    Ok(Lost {
        crashes: reply.integer()?,
        tool: reply.text()?,
        attempt: reply.integer()?,
        worker: reply.text()?,
    })
}
