//! One attempt while it runs: what its handler, its heartbeat and its executor share.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::value::RawValue;
use taskferry_contract::{HeldAttempt, Job, Refused};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::relay::Relay;
use super::reports::Reports;
use super::slot_guard::SlotGuard;
use super::slots::{Permit, Slots};

/// What an attempt begins with.
pub(crate) struct Beginning {
    pub(crate) hold: HeldAttempt,
    pub(crate) job: Job,
    pub(crate) arguments: Box<RawValue>,
    pub(crate) bell: Arc<Notify>,
    pub(crate) permit: Permit,
    pub(crate) relay: Arc<dyn Relay>,
}

/// A running attempt.
pub(crate) struct RunningAttempt {
    pub(crate) hold: HeldAttempt,
    pub(crate) job: Job,
    pub(crate) arguments: Box<RawValue>,
    /// When the record expires at the latest, by this machine's monotonic clock, unless it ends before.
    pub(crate) expires: Instant,
    /// When its tool began.
    pub(crate) began: Instant,
    /// Tells the handler to stop.
    pub(crate) cancel: CancellationToken,
    /// Notified when the job's record may have changed: an answer came, or the task was cancelled.
    pub(crate) bell: Arc<Notify>,
    /// The answers that came so far: key to JSON.
    pub(crate) answers: watch::Sender<HashMap<String, String>>,
    pub(crate) reports: Reports,
    /// Where its reports and questions go.
    pub(crate) relay: Arc<dyn Relay>,
    pub(crate) clock: Clock,
    pub(crate) slot: SlotGuard,
    refused: OnceLock<Refused>,
    is_refused: CancellationToken,
}

/// When the record of a job that was just claimed expires at the latest. Its ttl has run since the task was created, so
/// this is late rather than early.
pub(crate) fn expires(job: &Job) -> Instant {
    let ttl = Duration::from_millis(u64::try_from(job.ttl_ms).unwrap_or(0));
    Instant::now() + ttl.min(FAR)
}

/// Used for a ttl that is too long to be added to the present time.
const FAR: Duration = Duration::from_secs(u32::MAX as u64);

impl RunningAttempt {
    pub(crate) fn new(beginning: Beginning) -> Self {
        let Beginning {
            hold,
            job,
            arguments,
            bell,
            permit,
            relay,
        } = beginning;
        let limit = Duration::from_millis(job.timeout_ms);
        Self {
            hold,
            arguments,
            expires: expires(&job),
            began: Instant::now(),
            cancel: CancellationToken::new(),
            bell,
            answers: watch::Sender::new(job.answers.clone()),
            reports: Reports::default(),
            relay,
            clock: Clock::start(limit),
            slot: SlotGuard::new(permit),
            refused: OnceLock::new(),
            is_refused: CancellationToken::new(),
            job,
        }
    }

    /// Notes that the attempt may not write any more, and stops the handler.
    pub(crate) fn refuse(&self, refused: Refused) {
        if self.refused.set(refused).is_ok() {
            self.is_refused.cancel();
            self.cancel.cancel();
        }
    }

    /// Cancelled once the attempt is refused.
    pub(crate) fn is_refused(&self) -> &CancellationToken {
        &self.is_refused
    }

    /// Why the attempt is refused, if it is.
    pub(crate) fn refusal(&self) -> Option<Refused> {
        self.refused.get().copied()
    }

    /// Waits until the attempt is refused, and says why.
    pub(crate) async fn refused(&self) -> Refused {
        self.is_refused.cancelled().await;
        *self.refused.get().unwrap_or(&Refused::LeaseLost)
    }

    /// Gives the slot back while the handler waits for an answer.
    pub(crate) fn begin_wait(&self) {
        if self.clock.begin_wait() {
            self.slot.leave();
        }
    }

    /// Takes a slot again once the handler waits for no answer any more. Only then the attempt's time runs on.
    pub(crate) async fn end_wait(&self, slots: &Slots) {
        if self.clock.end_wait() {
            let permit = slots.acquire_now(&self.job.queue).await;
            if self.clock.go_on() {
                self.slot.take(permit);
            }
        }
    }
}
