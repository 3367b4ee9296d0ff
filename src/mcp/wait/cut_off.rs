//! How a request ends whose server stops before its job has: its client learns how to go on.

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::bridge::Bridge;
use crate::mcp::edge::stopping::Stopping;
use crate::mcp::protocol::answer::Answer;
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::reply::Event;
use crate::mcp::wait::answers::Waiting;
use crate::mcp::wait::delivery::Delivery;
use crate::mcp::wait::state::Wait;

/// When the caller may try again, s: at another front end, or at the one that takes the place of this.
const AGAIN: u16 = 1;

const AS_ANOTHER: &str = "this server stops, and its job goes on: make the call again, with the same idempotency key if it had one, and it waits for the same job";
const CANCELLED: &str = "this server stops before the job of this call ended. The call is given up and its job cancelled, unless other calls wait for it; its work may be partly done. Make the call again if that does no harm";
const GOES_ON: &str = "this server stops, and the task goes on: send the request again";
const UNKNOWN: &str = "this server stops, and the task store does not answer: the job of this call may still run. Make the call again in a moment, if the work may be done twice";

impl<D: Delivery> Wait<D> {
    /// The answer to a request that cannot wait any longer; none if its client comes back for it.
    pub(super) async fn cut_off(
        &mut self,
        bridge: &Bridge,
        events: &mpsc::Sender<Event>,
    ) -> Option<Answer> {
        if let Some(primer) = self.delivery.primer() {
            // After this event its client comes back for the rest, to another front end (2025-11-25, transports, Sending
            // Messages to the Server).
            let _unread = timeout(Stopping::LAST_EVENT, events.send(primer)).await;
            return None;
        }
        let answer = timeout(Stopping::LAST_READ, self.last_answer(bridge, events)).await;
        Some(answer.unwrap_or_else(|_elapsed| self.given_up(UNKNOWN)))
    }

    async fn last_answer(&mut self, bridge: &Bridge, events: &mpsc::Sender<Event>) -> Answer {
        let task = self.watch.id();
        if let Some(as_task) = self.as_task {
            match bridge.calls().promote(&mut self.watch, as_task.keep).await {
                Ok(Some(view)) => return (as_task.write)(&self.request, &view),
                // It ended just now.
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%task, error = error.sentence(), "a call could not be made a task, and the server stops");
                    return self.given_up(UNKNOWN);
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
            Ok(None) => return self.given_up(UNKNOWN),
            Err(error) => return self.refused(error),
        }
        if self.deadline.is_some() || self.as_task.is_some() {
            return self.given_up(UNKNOWN);
        }
        if self.awaited.waiting == Waiting::Task {
            return self.given_up(GOES_ON);
        }
        if self.watch.is_found_again() {
            return self.given_up(AS_ANOTHER);
        }
        match bridge.calls().leave(&self.watch).await {
            Ok(()) => self.given_up(CANCELLED),
            Err(error) => {
                tracing::warn!(%task, error = error.sentence(), "a call could not be cancelled, and the server stops");
                self.given_up(UNKNOWN)
            }
        }
    }

    fn given_up(&self, text: &str) -> Answer {
        Refusal::unavailable(text, AGAIN).answer(&self.request)
    }
}
