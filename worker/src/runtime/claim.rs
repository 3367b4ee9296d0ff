//! Starts attempts, and buries what cannot be read.

use std::sync::Arc;

use taskferry_contract::{
    AttemptNumber, ClaimReply, DeliveredEntry, Error, HeldAttempt, Job, Outcome, UnreadableEntry,
};
use taskferry_housekeeping::told;
use tokio::time::Instant;

use super::ended;
use super::settle::persist;
use crate::core::Core;
use crate::core::pause::GrowingPause;

/// Starts an attempt. `None` if there is none to start, or Redis fails for as long as a lease.
pub(crate) async fn claim(core: &Arc<Core>, claimed: &DeliveredEntry) -> Option<Box<Job>> {
    let until = Instant::now() + core.lease;
    let mut pause = GrowingPause::default();
    loop {
        let reply = core.store.claim(claimed, &core.worker, core.lease).await;
        match reply {
            Ok(ClaimReply::Started(job)) => {
                ended::taken_over(&job);
                return Some(job);
            }
            Ok(reply) => {
                not_started(claimed, &reply);
                return None;
            }
            Err(error) if error.may_pass() && Instant::now() < until => {
                tracing::warn!(%error, "a job could not be claimed; trying again");
            }
            Err(error @ Error::Malformed { .. }) => {
                unreadable(core, claimed, &error).await;
                return None;
            }
            Err(error) => {
                tracing::error!(%error, "a job could not be claimed; it is put back for another when the lease ends");
                return None;
            }
        }
        tokio::select! {
            () = pause.wait() => {}
            () = core.phase.kill.cancelled() => return None,
        }
    }
}

fn not_started(claimed: &DeliveredEntry, reply: &ClaimReply) {
    match reply {
        ClaimReply::Poison(lost) => told::buried(claimed.id, lost),
        ClaimReply::Waits(Some(lost)) => told::lost(claimed.id, lost, "waits for its turn"),
        ClaimReply::Busy { until_ms } => tracing::debug!(until_ms, "a job is held"),
        ClaimReply::Gone(Some(expired)) => ended::expired(claimed, expired),
        reply => tracing::debug!(?reply, "an entry was dropped"),
    }
}

/// Ends a job whose record cannot be read: buries its entry, and ends its task with an error.
async fn unreadable(core: &Core, claimed: &DeliveredEntry, error: &Error) {
    tracing::error!(%error, "a record cannot be read; its job is a dead letter");
    let entry = UnreadableEntry {
        shard: claimed.id.shard(),
        queue: claimed.queue.clone(),
        entry: claimed.entry.clone(),
        id: claimed.id.to_string(),
        tool: String::new(),
    };
    bury(core, &entry).await;
    let until = Instant::now() + core.lease;
    let view = persist(core, until, || core.store.view(claimed.id)).await;
    let Some(view) = view.ok().and_then(|view| view.reply) else {
        return;
    };
    let hold = HeldAttempt {
        claimed: claimed.clone(),
        attempt: AttemptNumber(view.attempt),
        worker: core.worker.clone(),
    };
    let message = "the job's record cannot be read".to_owned();
    let outcome = Outcome::Failed {
        error: serde_json::json!({ "code": -32603, "message": message }).to_string(),
        message,
    };
    let ended = persist(core, until, || core.store.finish(&hold, &outcome));
    if let Err(error) = ended.await {
        tracing::error!(
            ?error,
            "a job whose record cannot be read could not be ended"
        );
    }
}

/// Buries an entry that cannot be read as a job.
pub(crate) async fn bury(core: &Core, found: &UnreadableEntry) {
    let (queue, entry) = (&found.queue, found.entry.as_str());
    match core.store.dead_letter(found, "unreadable").await {
        Ok(()) => {
            tracing::error!(%queue, entry, "an entry that cannot be read is a dead letter");
        }
        Err(error) => {
            tracing::warn!(%error, entry, "an entry could not be buried; it is met again after a lease");
        }
    }
}
