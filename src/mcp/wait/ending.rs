//! How a request ends that is not answered with the end of its job: it waits too long, or its client is gone.

use std::time::Duration;

use tokio::time::Instant;

use crate::bridge::{Bridge, BridgeError};
use crate::mcp::protocol::answer::Answer;
use crate::mcp::protocol::event_queue::EventQueue;
use crate::mcp::wait::answers::OnDeadline;
use crate::mcp::wait::delivery::Delivery;
use crate::mcp::wait::state::Wait;
use crate::mcp::wait::telling::{CANCEL_AGAIN, CANCELS_TRIED};

/// When a call is tried to be promoted again while the store fails.
const PROMOTE_AGAIN: Duration = Duration::from_secs(1);

impl<D: Delivery> Wait<D> {
    /// The answer to a caller who waits no longer. `None` if the next state of the job has one, or if the store fails.
    pub(super) async fn give_up(&mut self, bridge: &Bridge, events: &EventQueue) -> Option<Answer> {
        let deadline = self.deadline.as_mut()?;
        let view = match deadline.then {
            OnDeadline::Leave => {
                bridge
                    .tasks()
                    .poll(self.watch.id(), self.watch.owner())
                    .await
            }
            OnDeadline::Promote { keep } => {
                match bridge.calls().promote(&mut self.watch, keep).await {
                    Ok(Some(view)) => Ok(view),
                    Ok(None) => {
                        self.deadline = None;
                        return None;
                    }
                    Err(BridgeError::NotFound) => Err(BridgeError::NotFound),
                    Err(error) => {
                        let task = self.watch.id();
                        tracing::warn!(task = %task.digest(), error = error.sentence(), "a call could not be handed out; trying again");
                        deadline.at = Instant::now() + PROMOTE_AGAIN;
                        return None;
                    }
                }
            }
        };
        let tell = deadline.tell;
        let view = match view {
            Ok(view) => view,
            Err(error) => return Some(self.refused(error)),
        };
        self.tell_progress(&view, events).await;
        Some((self.awaited.write)(&self.request, tell(&view)))
    }

    /// Cancels the job, whose client is gone.
    pub(super) async fn cancel(&self, bridge: &Bridge) {
        for _ in 0..CANCELS_TRIED {
            match bridge.calls().leave(&self.watch).await {
                Ok(()) | Err(BridgeError::NotFound) => return,
                Err(error) => {
                    let task = self.watch.id();
                    tracing::warn!(task = %task.digest(), error = error.sentence(), "a call whose client left could not be cancelled");
                }
            }
            tokio::time::sleep(CANCEL_AGAIN).await;
        }
    }
}
