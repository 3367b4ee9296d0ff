//! Following a job to its end on behalf of a request that waits: as one JSON answer if it ends soon, else as a stream
//! with progress on the way.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use taskferry_contract::TaskView;
use tokio::sync::mpsc;

use super::Mcp;
use super::jsonrpc;
use super::reply::{Answer, Event, Refusal, Reply};
use crate::bridge::{Bridge, Watch};

/// What happens to the job when the client goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnDisconnect {
    /// It goes on.
    Leave,
    /// It is cancelled: the connection was the request (2026-07-28, Streamable HTTP, Cancellation).
    Cancel,
}

/// Makes the answer of an ended job; nothing while it has not ended.
pub(crate) type Finish = fn(&RawValue, &TaskView) -> Option<Answer>;

/// A request that waits for a job.
#[derive(Debug)]
pub(crate) struct Follow {
    pub(crate) request: Box<RawValue>,
    pub(crate) watch: Watch,
    /// The token of the progress the caller wants, if it does: a string or an integer, verbatim.
    pub(crate) progress_token: Option<Box<RawValue>>,
    pub(crate) on_disconnect: OnDisconnect,
    pub(crate) finish: Finish,
}

impl Mcp {
    /// Answers when the job ends; as a stream if that takes longer than a moment, or progress comes first.
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
        let gone = tokio::select! {
            () = events.closed() => true,
            last = self.answer_at_end(&events) => events.send(Event::Last(last)).await.is_err(),
        };
        if gone && self.on_disconnect == OnDisconnect::Cancel {
            self.cancel(&bridge).await;
        }
    }

    async fn answer_at_end(&mut self, events: &mpsc::Sender<Event>) -> Answer {
        let mut told = f64::NEG_INFINITY;
        loop {
            let view = match self.watch.next().await {
                Ok(view) => view,
                Err(error) => return Refusal::from(error).answer(&self.request),
            };
            if let Some(progress) = self.progress(&view, &mut told)
                && events.send(Event::Message(progress)).await.is_err()
            {
                // The reader is gone; `run` sees that too.
                std::future::pending::<()>().await;
            }
            if let Some(answer) = (self.finish)(&self.request, &view) {
                return answer;
            }
        }
    }

    /// Progress that the caller wants and has not been told; it only ever grows.
    fn progress(&self, view: &TaskView, told: &mut f64) -> Option<String> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Progress<'a> {
            progress_token: &'a RawValue,
            progress: f64,
            #[serde(skip_serializing_if = "Option::is_none")]
            total: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            message: Option<&'a str>,
        }
        let token = self.progress_token.as_deref()?;
        let progress: f64 = view.progress.as_deref()?.parse().ok()?;
        if progress <= *told {
            return None;
        }
        *told = progress;
        let params = Progress {
            progress_token: token,
            progress,
            total: view.total.as_deref().and_then(|total| total.parse().ok()),
            message: view.message.as_deref(),
        };
        Some(jsonrpc::notification("notifications/progress", &params))
    }

    async fn cancel(&self, bridge: &Bridge) {
        let (id, owner) = (self.watch.id(), self.watch.owner());
        for _ in 0..5 {
            match bridge.cancel(id, owner).await {
                Ok(_) => return,
                Err(crate::bridge::BridgeError::NotFound) => return,
                Err(error) => {
                    tracing::warn!(task = %id, %error, "a call whose client left could not be cancelled")
                }
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}
