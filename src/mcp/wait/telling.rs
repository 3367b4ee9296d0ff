//! What goes out to the client while a request waits: progress, log lines, questions, and what becomes of its own tasks.

use taskferry_contract::TaskView;
use tokio::sync::mpsc;

use super::{CANCEL_AGAIN, CANCELS_TRIED, Follow, OnQuestion};
use crate::bridge::{Bridge, BridgeError};
use crate::mcp::legacy::Trail;
use crate::mcp::modern;
use crate::mcp::protocol::answer::Answer;
use crate::mcp::protocol::log::LogTeller;
use crate::mcp::protocol::outgoing::Outgoing;
use crate::mcp::protocol::reply::Event;

impl Follow {
    /// An event with its id, if this stream has ids.
    pub(super) fn numbered(&mut self, event: Event) -> Event {
        Event {
            id: self.trail.as_mut().map(Trail::next_id),
            ..event
        }
    }

    pub(super) async fn tell_progress(&mut self, view: &TaskView, events: &mpsc::Sender<Event>) {
        let Some(teller) = &mut self.progress else {
            return;
        };
        let Some(progress) = teller.tell(view) else {
            return;
        };
        if let Some(trail) = &mut self.trail {
            trail.tells_progress(teller.told());
        }
        self.send(progress, events).await;
    }

    pub(super) async fn tell_log(
        &mut self,
        bridge: &Bridge,
        view: &TaskView,
        events: &mpsc::Sender<Event>,
    ) {
        let Some(log) = &mut self.log else {
            return;
        };
        match log.tell(bridge, view.id).await {
            Ok(lines) => {
                for line in lines {
                    if let Some(trail) = &mut self.trail {
                        trail.tells_line(line.place);
                    }
                    self.send(line.message, events).await;
                }
            }
            // The next look tells what was missed.
            Err(error) => tracing::warn!(task = %view.id, %error, "the log could not be read"),
        }
    }

    pub(super) async fn ask(
        &mut self,
        bridge: &Bridge,
        view: &TaskView,
        events: &mpsc::Sender<Event>,
    ) -> Result<Option<Answer>, BridgeError> {
        let messages = match &mut self.on_question {
            OnQuestion::Return { call, capabilities } => {
                let asked = modern::Asked {
                    watch: &self.watch,
                    call,
                    capabilities: capabilities.get(),
                    log: self.log.as_ref().and_then(LogTeller::told),
                };
                return modern::input_required(bridge, &self.request, view, &asked).await;
            }
            OnQuestion::Send {
                carrier,
                own_stream_first,
            } => {
                let store = bridge.store();
                if *own_stream_first && store.session_stream(carrier.session()).await?.is_some() {
                    carrier.begun(bridge, view).await?
                } else {
                    carrier.questions(bridge, view).await?
                }
            }
        };
        self.tell(messages, events).await;
        Ok(None)
    }

    /// Cancels the client's own tasks that were to answer questions of the job, if nothing waits for them any more.
    pub(super) async fn cancel_remotes(
        &mut self,
        bridge: &Bridge,
        view: &TaskView,
        events: &mpsc::Sender<Event>,
    ) {
        let OnQuestion::Send { carrier, .. } = &mut self.on_question else {
            return;
        };
        // After the end there is no next look that would make up for a failure.
        let tries = if view.status.is_terminal() {
            CANCELS_TRIED
        } else {
            1
        };
        let mut messages = Vec::new();
        for last in (0..tries).rev() {
            match carrier.cancellations(bridge, (view.id, &view.owner)).await {
                Ok(cancellations) => {
                    messages = cancellations;
                    break;
                }
                Err(error) => {
                    tracing::warn!(task = %view.id, %error, "the client's tasks are not cancelled yet");
                }
            }
            if last > 0 {
                tokio::time::sleep(CANCEL_AGAIN).await;
            }
        }
        self.tell(messages, events).await;
    }

    /// Cancels the client's own tasks for a job that is gone.
    pub(super) async fn forget(&mut self, events: &mpsc::Sender<Event>) {
        if let OnQuestion::Send { carrier, .. } = &mut self.on_question {
            let messages = carrier.forget(self.watch.id());
            self.tell(messages, events).await;
        }
    }

    async fn tell(&mut self, messages: Vec<Outgoing>, events: &mpsc::Sender<Event>) {
        for message in messages {
            self.send(message, events).await;
        }
    }

    /// Sends a message that its client knows; if the reader is gone, waits for whoever sees that to end this.
    async fn send(&mut self, message: Outgoing, events: &mpsc::Sender<Event>) {
        let Some(message) = self.client.admit(message) else {
            return;
        };
        let event = self.numbered(Event::message(message));
        if events.send(event).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
