//! The way to a client of this era: the stream of its request, on which questions go out too.

use std::convert::Infallible;
use std::sync::Arc;

use taskferry_contract::{Owner, TaskId};

use crate::bridge::{Bridge, BridgeError};
use crate::mcp::legacy::event_ids::EventIds;
use crate::mcp::legacy::exchange::Legacy;
use crate::mcp::legacy::sender::QuestionSender;
use crate::mcp::legacy::sessions::Sessions;
use crate::mcp::protocol::answer::Answer;
use crate::mcp::protocol::outgoing::Outgoing;
use crate::mcp::protocol::reply::Event;
use crate::mcp::wait::answers::Waiting;
use crate::mcp::wait::delivery::{Asked, Delivered, Delivery};

/// The stream of one request of a session.
#[derive(Debug)]
pub(super) struct SessionDelivery {
    sessions: Arc<Sessions>,
    sender: QuestionSender,
    /// Whether questions go out here only if the session has no stream of its own.
    own_stream_first: bool,
    /// Make the stream one that can be resumed.
    ids: Option<EventIds>,
}

impl SessionDelivery {
    /// Of a call, whose questions belong to this stream.
    pub(super) fn for_call(era: &Legacy, sender: QuestionSender, ids: Option<EventIds>) -> Self {
        Self {
            sessions: Arc::clone(&era.sessions),
            sender,
            own_stream_first: false,
            ids,
        }
    }

    /// Of a request for the result of a task, whose questions belong to the session's own stream.
    pub(super) fn for_task(era: &Legacy, sender: QuestionSender, ids: Option<EventIds>) -> Self {
        Self {
            own_stream_first: true,
            ..Self::for_call(era, sender, ids)
        }
    }
}

impl Delivery for SessionDelivery {
    async fn ask(&mut self, bridge: &Bridge, asked: Asked<'_>) -> Result<Delivered, BridgeError> {
        let (streams, sender) = (bridge.session_streams(), &mut self.sender);
        let messages = if self.own_stream_first && streams.is_open(sender.session()).await? {
            sender.renew(bridge, asked.view).await?
        } else {
            sender.questions(bridge, asked.view).await?
        };
        Ok(Delivered::ByMessages(messages))
    }

    fn primer(&mut self) -> Option<Event> {
        self.ids.as_mut().and_then(EventIds::primer)
    }

    fn numbered(&mut self, event: Event) -> Event {
        Event {
            id: self.ids.as_mut().map(EventIds::next_id),
            ..event
        }
    }

    fn last(&mut self, answer: Answer) -> Event {
        Event {
            id: self.ids.as_mut().map(EventIds::last_id),
            ..Event::last(answer)
        }
    }

    async fn answered(&self, bridge: &Bridge) {
        self.sender.request_was_answered(bridge).await;
    }

    fn tells_progress(&mut self, progress: f64) {
        if let Some(ids) = &mut self.ids {
            ids.tells_progress(progress);
        }
    }

    fn tells_line(&mut self, place: String) {
        if let Some(ids) = &mut self.ids {
            ids.tells_line(place);
        }
    }

    fn keep_session(&self, bridge: &Bridge) -> impl Future<Output = Infallible> + Send + use<> {
        let (sessions, bridge) = (Arc::clone(&self.sessions), bridge.clone());
        let session = self.sender.session();
        async move { sessions.keep(&bridge, session).await }
    }

    async fn is_over(&self, bridge: &Bridge) -> bool {
        let taken_over = async {
            match &self.ids {
                Some(ids) => ids.is_taken_over(bridge).await,
                None => Ok(false),
            }
        };
        let (taken_over, cancelled) =
            tokio::join!(taken_over, self.sender.request_was_cancelled(bridge));
        taken_over.unwrap_or(false) || cancelled.unwrap_or(false)
    }

    /// A call that its client cancelled gets no answer (2025-11-25, Cancellation). A call whose job another caller
    /// cancelled does.
    async fn must_not_answer(
        &self,
        bridge: &Bridge,
        job: TaskId,
        waiting: Waiting,
    ) -> Result<bool, BridgeError> {
        match waiting {
            Waiting::Call => self.sender.must_not_answer(bridge, job).await,
            Waiting::Task | Waiting::Status => self.sender.request_was_cancelled(bridge).await,
        }
    }

    async fn due(&self) {
        let _this_job = self.sender.due().await;
    }

    fn clear_due(&mut self, job: TaskId) {
        self.sender.pause_polls(job);
    }

    async fn cancellations(
        &mut self,
        bridge: &Bridge,
        job: (TaskId, &Owner),
    ) -> Result<Vec<Outgoing>, BridgeError> {
        self.sender.cancellations(bridge, job).await
    }

    fn forget(&mut self, job: TaskId) -> Vec<Outgoing> {
        self.sender.cancel_all_client_tasks(job)
    }

    async fn recall(&self, bridge: &Bridge, job: (TaskId, &Owner)) {
        self.sender.recall(bridge, job).await;
    }
}
