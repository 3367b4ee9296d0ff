//! Following a job to its end on behalf of a request that waits: as one JSON answer if it ends soon, else as a stream
//! with what happens on the way.

use std::time::Duration;

use serde_json::value::RawValue;
use taskferry_contract::{SessionId, Status, TaskView};
use tokio::sync::mpsc;

use super::legacy::Carrier;
use super::log::LogTeller;
use super::progress::ProgressTeller;
use super::reply::{Answer, Event, Refusal, Reply};
use super::{Mcp, modern};
use crate::bridge::{Bridge, BridgeError, Watch};

/// How often a job whose client left is tried to be cancelled while the store fails.
const CANCELS_TRIED: u32 = 5;

/// What happens to the job when the client goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnDisconnect {
    /// It goes on.
    Leave,
    /// It is cancelled: the connection was the request (2026-07-28, Streamable HTTP, Cancellation).
    Cancel,
}

/// How the job's questions reach the client.
#[derive(Debug)]
pub(crate) enum OnQuestion {
    /// They end the request, which the client makes again with the answers. `call` says which call that is.
    Return { call: String },
    /// They go out as requests on this request's stream; where a session is named, only if it has no stream of its own.
    Send {
        /// The session whose own stream comes first, for a task.
        session: Option<SessionId>,
    },
}

/// Makes the answer of an ended job; nothing while it has not ended.
pub(crate) type Finish = fn(&RawValue, &TaskView) -> Option<Answer>;

/// A request that waits for a job.
#[derive(Debug)]
pub(crate) struct Follow {
    pub(crate) request: Box<RawValue>,
    pub(crate) watch: Watch,
    /// The progress the caller wants, if it does.
    pub(crate) progress: Option<ProgressTeller>,
    /// The log the caller wants, if it does.
    pub(crate) log: Option<LogTeller>,
    pub(crate) on_disconnect: OnDisconnect,
    pub(crate) on_question: OnQuestion,
    pub(crate) finish: Finish,
}

impl Mcp {
    /// Answers when the job ends; as a stream if that takes longer than a moment, or a message comes first.
    pub(crate) async fn follow(&self, follow: Follow) -> Reply {
        let (events, mut rest) = mpsc::channel(16);
        self.tracker.spawn(follow.run(self.bridge.clone(), events));
        let first = tokio::time::timeout(self.settings.stream_after, rest.recv()).await;
        match first {
            Ok(Some(Event::Last(answer))) => Reply::Json(answer),
            Ok(first) => Reply::Stream { first, rest },
            Err(_still_running) => Reply::Stream { first: None, rest },
        }
    }
}

impl Follow {
    async fn run(mut self, bridge: Bridge, events: mpsc::Sender<Event>) {
        let mut carrier = Carrier::new(&bridge);
        let gone = tokio::select! {
            () = events.closed() => true,
            last = self.answer(&bridge, &mut carrier, &events) => {
                events.send(Event::Last(last)).await.is_err()
            }
        };
        if !gone {
            return;
        }
        match self.on_disconnect {
            OnDisconnect::Cancel => self.cancel(&bridge).await,
            OnDisconnect::Leave => {
                bridge
                    .recall(self.watch.id(), self.watch.owner(), &carrier.name)
                    .await;
            }
        }
    }

    async fn answer(
        &mut self,
        bridge: &Bridge,
        carrier: &mut Carrier,
        events: &mpsc::Sender<Event>,
    ) -> Answer {
        loop {
            let view = match self.watch.next().await {
                Ok(view) => view,
                Err(error) => return Refusal::from(error).answer(&self.request),
            };
            if let Some(progress) = self.progress.as_mut().and_then(|teller| teller.tell(&view)) {
                send(events, progress).await;
            }
            self.tell_log(bridge, &view, events).await;
            if let Some(answer) = (self.finish)(&self.request, &view) {
                return answer;
            }
            if view.status != Status::InputRequired {
                continue;
            }
            match self.ask(bridge, carrier, &view, events).await {
                Ok(None) => {}
                Ok(Some(answer)) => return answer,
                // The questions stay open; the next look tries again.
                Err(error) => tracing::warn!(task = %view.id, %error, "questions could not be put"),
            }
        }
    }

    async fn tell_log(&mut self, bridge: &Bridge, view: &TaskView, events: &mpsc::Sender<Event>) {
        let Some(log) = &mut self.log else {
            return;
        };
        match log.tell(bridge, view.id).await {
            Ok(messages) => {
                for message in messages {
                    send(events, message).await;
                }
            }
            // The next look tells what was missed.
            Err(error) => tracing::warn!(task = %view.id, %error, "the log could not be read"),
        }
    }

    async fn ask(
        &self,
        bridge: &Bridge,
        carrier: &mut Carrier,
        view: &TaskView,
        events: &mpsc::Sender<Event>,
    ) -> Result<Option<Answer>, BridgeError> {
        match &self.on_question {
            OnQuestion::Return { call } => {
                modern::input_required(bridge, &self.request, view, call).await
            }
            OnQuestion::Send { session } => {
                let elsewhere = match session {
                    Some(session) => bridge.store().session_stream(*session).await?.is_some(),
                    None => false,
                };
                if !elsewhere {
                    for message in carrier.questions(bridge, view).await? {
                        send(events, message).await;
                    }
                }
                Ok(None)
            }
        }
    }

    async fn cancel(&self, bridge: &Bridge) {
        let (id, owner) = (self.watch.id(), self.watch.owner());
        for _ in 0..CANCELS_TRIED {
            match bridge.cancel(id, owner).await {
                Ok(_) | Err(BridgeError::NotFound) => return,
                Err(error) => {
                    tracing::warn!(task = %id, %error, "a call whose client left could not be cancelled");
                }
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Sends a message; if the reader is gone, waits for whoever sees that to end this.
async fn send(events: &mpsc::Sender<Event>, message: String) {
    if events.send(Event::Message(message)).await.is_err() {
        std::future::pending::<()>().await;
    }
}
