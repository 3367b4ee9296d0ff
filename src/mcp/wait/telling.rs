//! What goes out to the client while a request waits: progress, log lines, questions, and what becomes of its own tasks.

use std::time::Duration;

use taskferry_contract::TaskView;

use crate::bridge::{Bridge, BridgeError};
use crate::mcp::protocol::answer::Answer;
use crate::mcp::protocol::event_queue::EventQueue;
use crate::mcp::protocol::log::{LogTeller, TOLD_IN_A_ROW};
use crate::mcp::protocol::outgoing::Outgoing;
use crate::mcp::protocol::reply::Event;
use crate::mcp::wait::delivery::{Asked, Delivered, Delivery};
use crate::mcp::wait::state::Wait;

/// How often a job whose client left, or a client's task that nothing waits for, is tried to be cancelled while the store
/// fails; and how long after one another.
pub(super) const CANCELS_TRIED: u32 = 5;
pub(super) const CANCEL_AGAIN: Duration = Duration::from_millis(500);

impl<D: Delivery> Wait<D> {
    pub(super) async fn tell_progress(&mut self, view: &TaskView, events: &EventQueue) {
        let Some(teller) = &mut self.progress else {
            return;
        };
        let Some(progress) = teller.tell(view) else {
            return;
        };
        self.delivery.tells_progress(teller.last_sent());
        self.send(progress, events).await;
    }

    pub(super) async fn tell_log(&mut self, bridge: &Bridge, view: &TaskView, events: &EventQueue) {
        for _some_lines in 0..TOLD_IN_A_ROW {
            let Some(log) = &mut self.log else {
                return;
            };
            match log.tell(bridge, view.id).await {
                Ok(lines) if lines.is_empty() => return,
                Ok(lines) => {
                    for line in lines {
                        self.delivery.tells_line(line.place);
                        self.send(line.message, events).await;
                    }
                }
                // The next state of the job brings what was missed.
                Err(error) => {
                    tracing::warn!(task = %view.id.digest(), error = error.sentence(), "the log could not be read");
                    return;
                }
            }
        }
    }

    /// Puts the questions of the job. The answer, if that ends the request.
    pub(super) async fn ask(
        &mut self,
        bridge: &Bridge,
        view: &TaskView,
        events: &EventQueue,
    ) -> Result<Option<Answer>, BridgeError> {
        let asked = Asked {
            request: &self.request,
            view,
            watch: &self.watch,
            log: self.log.as_ref().and_then(LogTeller::last_sent),
        };
        match self.delivery.ask(bridge, asked).await? {
            Delivered::ByAnswer(answer) => Ok(Some(answer)),
            Delivered::ByMessages(messages) => {
                self.tell(messages, events).await;
                Ok(None)
            }
        }
    }

    /// Cancels the client's own tasks that were to answer questions of the job, if nothing waits for them any more.
    pub(super) async fn cancel_client_tasks(
        &mut self,
        bridge: &Bridge,
        view: &TaskView,
        events: &EventQueue,
    ) {
        // After the end the job is read no more, so a failure must be made up for here.
        let tries = if view.status.is_terminal() {
            CANCELS_TRIED
        } else {
            1
        };
        let job = (view.id, &view.owner);
        let mut messages = Vec::new();
        for last in (0..tries).rev() {
            match self.delivery.cancellations(bridge, job).await {
                Ok(cancellations) => {
                    messages = cancellations;
                    break;
                }
                Err(error) => {
                    tracing::warn!(task = %view.id.digest(), error = error.sentence(), "the client's tasks are not cancelled yet");
                }
            }
            if last > 0 {
                tokio::time::sleep(CANCEL_AGAIN).await;
            }
        }
        self.tell(messages, events).await;
    }

    /// Cancels the client's own tasks for a job that is gone.
    pub(super) async fn forget(&mut self, events: &EventQueue) {
        let messages = self.delivery.forget(self.watch.id());
        self.tell(messages, events).await;
    }

    async fn tell(&mut self, messages: Vec<Outgoing>, events: &EventQueue) {
        for message in messages {
            self.send(message, events).await;
        }
    }

    /// Sends a message that its client knows; if the reader is gone, waits for whoever sees that to end this.
    async fn send(&mut self, message: Outgoing, events: &EventQueue) {
        let Some(message) = self.client.admit(message) else {
            return;
        };
        let event = self.delivery.numbered(Event::message(message));
        if events.send(event).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
