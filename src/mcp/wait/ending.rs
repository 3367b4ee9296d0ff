//! How a request ends that is not answered with the end of its job: it waits too long, its job is gone, or its client is.

use std::time::Duration;

use taskferry_contract::Leaver;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Awaits, CANCEL_AGAIN, CANCELS_TRIED, Follow, Late, OnQuestion};
use crate::bridge::{Bridge, BridgeError};
use crate::mcp::background;
use crate::mcp::jsonrpc::RpcError;
use crate::mcp::protocol::answer::Answer;
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::reply::Event;
use crate::mcp::protocol::wire;

/// When a call is tried to be handed out again while the store fails.
const HAND_OUT_AGAIN: Duration = Duration::from_secs(1);

/// What a plain call is told that outlived its job's record.
const OUT_OF_TIME: &str =
    "nothing is left of the call: its time, which is its tool's ttl, ran out, or Redis lost it";

impl Follow {
    /// The answer to a caller who waits no longer; nothing if the next look has one, or if the store fails.
    pub(super) async fn give_up(
        &mut self,
        bridge: &Bridge,
        events: &mpsc::Sender<Event>,
    ) -> Option<Answer> {
        let deadline = self.deadline.as_mut()?;
        let view = match deadline.late {
            Late::Status => bridge.poll(self.watch.id(), self.watch.owner()).await,
            Late::HandOut { keep, .. } => match bridge.hand_out(&mut self.watch, keep).await {
                Ok(Some(view)) => Ok(view),
                Ok(None) => {
                    self.deadline = None;
                    return None;
                }
                Err(BridgeError::NotFound) => Err(BridgeError::NotFound),
                Err(error) => {
                    let task = self.watch.id();
                    tracing::warn!(%task, %error, "a call could not be handed out; trying again");
                    deadline.at = Instant::now() + HAND_OUT_AGAIN;
                    return None;
                }
            },
        };
        let (late, write) = (deadline.late, deadline.write);
        let view = match view {
            Ok(view) => view,
            Err(error) => return Some(self.refused(error)),
        };
        self.tell_progress(&view, events).await;
        let result = match late {
            Late::Status => background::status(&view),
            Late::HandOut { typed, .. } => background::handle(&view, typed),
        };
        Some(write(&self.request, result))
    }

    pub(super) fn refused(&self, error: BridgeError) -> Answer {
        let refusal = match (error, self.awaits) {
            (error @ BridgeError::NotFound, Awaits::Status(write)) => {
                return write(&self.request, wire::tool_error(&error.to_string()));
            }
            (BridgeError::NotFound, Awaits::Call) => Refusal::from(RpcError::internal(OUT_OF_TIME)),
            (error, _) => Refusal::from(error),
        };
        refusal.answer(&self.request)
    }

    /// Whether the client went on with this request over another connection, or took it back.
    pub(super) async fn is_over(&self, bridge: &Bridge) -> bool {
        let taken_over = async {
            match &self.trail {
                Some(trail) => trail.is_taken_over(bridge).await,
                None => Ok(false),
            }
        };
        let cancelled = async {
            match &self.on_question {
                OnQuestion::Send { carrier, .. } => carrier.is_cancelled(bridge).await,
                OnQuestion::Return { .. } => Ok(false),
            }
        };
        let (taken_over, cancelled) = tokio::join!(taken_over, cancelled);
        // Where either cannot be read, the next look asks again.
        taken_over.unwrap_or(false) || cancelled.unwrap_or(false)
    }

    /// Whether the job, which was cancelled, was so because the client took its call back: such a call gets no answer
    /// (2025-11-25, Cancellation). A call whose job another caller cancelled does.
    pub(super) async fn was_taken_back(&self, bridge: &Bridge) -> Result<bool, BridgeError> {
        match (&self.on_question, self.awaits) {
            (OnQuestion::Send { carrier, .. }, Awaits::Call) => {
                carrier.took_back(bridge, self.watch.id()).await
            }
            (OnQuestion::Send { carrier, .. }, _) => carrier.is_cancelled(bridge).await,
            (OnQuestion::Return { .. }, _) => Ok(false),
        }
    }

    pub(super) async fn cancel(&self, bridge: &Bridge) {
        let (id, owner) = (self.watch.id(), self.watch.owner());
        let leaver = Leaver {
            holder: self.watch.holder(),
            on_purpose: false,
        };
        for _ in 0..CANCELS_TRIED {
            match bridge.leave_call(id, owner, leaver).await {
                Ok(()) | Err(BridgeError::NotFound) => return,
                Err(error) => {
                    tracing::warn!(task = %id, %error, "a call whose client left could not be cancelled");
                }
            }
            tokio::time::sleep(CANCEL_AGAIN).await;
        }
    }
}
