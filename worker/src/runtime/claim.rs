//! Starts attempts, and buries what cannot be read.

use std::sync::Arc;
use std::time::Duration;

use taskferry_contract::{
    Attempt, ClaimReply, Claimed, EntryId, Error, Hold, Job, Outcome, QueueName, Shard,
};
use tokio::time::{Instant, sleep};

use super::Runtime;
use super::backoff::Backoff;
use super::ended;
use super::settle::persist;

/// A job that is free so soon is waited for.
const SOON: Duration = Duration::from_secs(2);

/// Starts an attempt; nothing if there is none to start, or Redis stays away for a lease.
pub(crate) async fn claim(runtime: &Arc<Runtime>, claimed: &Claimed) -> Option<Box<Job>> {
    let until = Instant::now() + runtime.lease;
    let mut backoff = Backoff::default();
    loop {
        let reply = runtime
            .store
            .claim(claimed, &runtime.worker, runtime.lease)
            .await;
        match reply {
            Ok(ClaimReply::Started(job)) => {
                ended::taken_over(&job);
                return Some(job);
            }
            Ok(reply) => {
                not_started(runtime, claimed, &reply);
                return None;
            }
            Err(error) if error.may_pass() && Instant::now() < until => {
                tracing::warn!(%error, "a job could not be claimed; trying again");
            }
            Err(error @ Error::Malformed { .. }) => {
                unreadable(runtime, claimed, &error).await;
                return None;
            }
            Err(error) => {
                tracing::error!(%error, "a job could not be claimed; it is left to its lease");
                return None;
            }
        }
        tokio::select! {
            () = backoff.wait() => {}
            () = runtime.phase.kill.cancelled() => return None,
        }
    }
}

fn not_started(runtime: &Arc<Runtime>, claimed: &Claimed, reply: &ClaimReply) {
    match reply {
        ClaimReply::Poison(lost) => {
            ended::lost(claimed.id, lost, "dead letter");
            let crashes = lost.crashes;
            tracing::error!(crashes, "a job that killed its workers is a dead letter");
        }
        ClaimReply::Waits(Some(lost)) => ended::lost(claimed.id, lost, "waits for a slot"),
        ClaimReply::Busy { until_ms } => {
            tracing::debug!(until_ms, "a job is held");
            let (until_ms, own) = (*until_ms, Arc::clone(runtime));
            runtime
                .jobs
                .spawn(async move { wake_when_free(&own, until_ms).await });
        }
        ClaimReply::Gone(Some(expired)) => ended::expired(claimed, expired),
        reply => tracing::debug!(?reply, "an entry was dropped"),
    }
}

/// A reclaim can come a moment before the lease ends, since an entry is idle from its delivery and the lease runs from
/// the claim. Then the job is looked at again when the lease ends, not a whole round later.
async fn wake_when_free(runtime: &Runtime, until_ms: u64) {
    let Ok(now_ms) = runtime.store.now_ms().await else {
        return;
    };
    let wait = Duration::from_millis(until_ms.saturating_sub(now_ms) + 1);
    if wait > SOON {
        return;
    }
    tokio::select! {
        () = sleep(wait) => {}
        () = runtime.phase.stop.cancelled() => {}
    }
    runtime.wake.reclaimer.notify_waiters();
    runtime.wake.forwarder.notify_waiters();
}

/// Ends a job whose record cannot be read: its entry is buried and its caller is told.
async fn unreadable(runtime: &Runtime, claimed: &Claimed, error: &Error) {
    tracing::error!(%error, "a record cannot be read; its job is a dead letter");
    let from = (claimed.id.shard(), &claimed.queue);
    let id = claimed.id.to_string();
    bury(runtime, from, &claimed.entry, (&id, "")).await;
    let until = Instant::now() + runtime.lease;
    let view = persist(runtime, until, || runtime.store.view(claimed.id)).await;
    let Some(view) = view.ok().and_then(|view| view.reply) else {
        return;
    };
    let hold = Hold {
        claimed: claimed.clone(),
        attempt: Attempt(view.attempt),
        worker: runtime.worker.clone(),
    };
    let message = "the job's record cannot be read".to_owned();
    let outcome = Outcome::Failed {
        error: serde_json::json!({ "code": -32603, "message": message }).to_string(),
        message,
    };
    let ended = persist(runtime, until, || runtime.store.finish(&hold, &outcome));
    if let Err(error) = ended.await {
        tracing::error!(?error, "it could not be ended");
    }
}

/// Buries an entry that cannot be read as a job.
pub(crate) async fn bury(
    runtime: &Runtime,
    from: (Shard, &QueueName),
    entry: &EntryId,
    found: (&str, &str),
) {
    let reason = "unreadable";
    match runtime.store.dead_letter(from, entry, found, reason).await {
        Ok(()) => {
            tracing::error!(queue = %from.1, entry = entry.as_str(), "an entry that cannot be read is a dead letter");
        }
        Err(error) => {
            tracing::warn!(%error, entry = entry.as_str(), "an entry could not be buried; it is met again after a lease");
        }
    }
}
