//! How a request ends before its job has, since the server stops or the caller's credential ended: its client learns how to go
//! on.

use tokio::time::timeout;

use crate::bridge::Bridge;
use crate::mcp::edge::stopping::Stopping;
use crate::mcp::jsonrpc::RpcError;
use crate::mcp::protocol::answer::{Answer, RefusalKind};
use crate::mcp::protocol::event_queue::EventQueue;
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::wait::answers::Waiting;
use crate::mcp::wait::delivery::Delivery;
use crate::mcp::wait::state::Wait;

/// When the caller may try again, s: at another front end, or at the one that takes the place of this.
const AGAIN: u16 = 1;

/// Why a request waits no longer, in the words for its client.
#[derive(Debug)]
pub(super) struct CutOff {
    kind: RefusalKind,
    /// The same call finds the job again.
    as_another: &'static str,
    /// The job was cancelled.
    cancelled: &'static str,
    /// It waited for a task.
    goes_on: &'static str,
    /// The store does not say what became of the job.
    unknown: &'static str,
}

/// The server stops.
pub(super) const STOP: CutOff = CutOff {
    kind: RefusalKind::Unavailable,
    as_another: "this server stops, and its job goes on: make the call again, with the same idempotency key if it had one, and it waits for the same job",
    cancelled: "this server stops before the job of this call ended. The call is given up and its job cancelled, unless other calls wait for it; its work may be partly done. Make the call again if that does no harm",
    goes_on: "this server stops, and the task goes on: send the request again",
    unknown: "this server stops, and the task store does not answer: the job of this call may still run. Make the call again in a moment, if the work may be done twice",
};

/// The caller's token or key is valid no more.
pub(super) const CREDENTIAL_ENDED: CutOff = CutOff {
    kind: RefusalKind::CredentialEnded,
    as_another: "your token or key ended while this call waited, and its job goes on: make the call again with a new one, with the same idempotency key if it had one, and it waits for the same job",
    cancelled: "your token or key ended before the job of this call did. The call is given up and its job cancelled, unless other calls wait for it; its work may be partly done. Make the call again with a new one if that does no harm",
    goes_on: "your token or key ended, and the task goes on: send the request again with a new one",
    unknown: "your token or key ended, and the task store does not answer: the job of this call may still run. Make the call again with a new one, if the work may be done twice",
};

impl<D: Delivery> Wait<D> {
    /// The answer to a request that cannot wait any longer; none if its client comes back for it.
    pub(super) async fn cut_off(
        &mut self,
        why: &CutOff,
        bridge: &Bridge,
        events: &EventQueue,
    ) -> Option<Answer> {
        if let Some(primer) = self.delivery.primer() {
            // After this event its client comes back for the rest, to another front end (2025-11-25, transports, Sending
            // Messages to the Server).
            let _unread = timeout(Stopping::LAST_EVENT, events.send(primer)).await;
            return None;
        }
        let answer = timeout(Stopping::LAST_READ, self.last_answer(why, bridge, events)).await;
        Some(answer.unwrap_or_else(|_elapsed| self.given_up(why.kind, why.unknown)))
    }

    async fn last_answer(&mut self, why: &CutOff, bridge: &Bridge, events: &EventQueue) -> Answer {
        let task = self.watch.id();
        if let Some(as_task) = self.as_task {
            match bridge.calls().promote(&mut self.watch, as_task.keep).await {
                Ok(Some(view)) => return (as_task.write)(&self.request, &view),
                // It ended just now.
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(task = %task.digest(), error = error.sentence(), "a call could not be made a task, and its request ends");
                    return self.given_up(why.kind, why.unknown);
                }
            }
        } else if self.deadline.is_some()
            && let Some(answer) = self.give_up(bridge, events).await
        {
            return answer;
        }
        match self.watch.read_now().await {
            Ok(Some(view)) => {
                if let Some(answer) = (self.awaited.finish)(&self.request, &view) {
                    return answer;
                }
            }
            Ok(None) => return self.given_up(why.kind, why.unknown),
            Err(error) => return self.refused(error),
        }
        if self.deadline.is_some() || self.as_task.is_some() {
            return self.given_up(why.kind, why.unknown);
        }
        if self.awaited.waiting == Waiting::Task {
            return self.given_up(why.kind, why.goes_on);
        }
        if self.watch.is_found_again() {
            return self.given_up(why.kind, why.as_another);
        }
        match bridge.calls().leave(&self.watch).await {
            Ok(()) => self.given_up(why.kind, why.cancelled),
            Err(error) => {
                tracing::warn!(task = %task.digest(), error = error.sentence(), "a call could not be cancelled, and its request ends");
                self.given_up(why.kind, why.unknown)
            }
        }
    }

    fn given_up(&self, kind: RefusalKind, text: &str) -> Answer {
        let refusal = match kind {
            RefusalKind::Unavailable => Refusal::unavailable(text, AGAIN),
            kind => Refusal::new(kind, RpcError::invalid_request(text)),
        };
        refusal.answer(&self.request)
    }
}
