//! Waiting for a job on behalf of a request: until its end, as one JSON answer if that comes soon, else as a stream with what
//! happens on the way.

pub(super) mod answers;
mod cut_off;
pub(super) mod delivery;
mod ending;
mod state;
mod telling;

use taskferry_contract::{Status, TaskView};
use tokio::sync::mpsc;

use crate::bridge::{Bridge, BridgeError};
use crate::mcp::edge::Edge;
use crate::mcp::protocol::answer::Answer;
use crate::mcp::protocol::call_line::CallLine;
use crate::mcp::protocol::reply::{Event, Reply};
use answers::OnDisconnect;
use delivery::Delivery;
pub(super) use state::Wait;

/// What a request that waits sees next.
enum Next {
    /// The state of the job.
    State(Box<TaskView>),
    /// Nothing new; it waits no longer.
    Late,
    /// Nothing new; there is something to send to the client.
    Due,
}

/// How the wait of a request ends.
enum End {
    /// With an answer.
    Answer(Answer),
    /// Its client left, or waits elsewhere.
    Left,
    /// The server stops.
    Stops,
}

impl<D: Delivery> Wait<D> {
    /// Answers when the job ends; as a stream if that takes longer than a moment, or a message comes first.
    pub(super) fn reply(self, edge: &Edge) -> Reply {
        let line = CallLine::about(self.watch.id());
        let (first, rest) = self.begin(edge);
        Reply::Soon {
            first,
            rest,
            within: edge.settings.stream_after,
            line,
        }
    }

    /// Answers as a stream, however soon the job ends.
    pub(super) fn reply_as_stream(self, edge: &Edge) -> Reply {
        let line = CallLine::about(self.watch.id());
        let (first, rest) = self.begin(edge);
        Reply::Stream { first, rest, line }
    }

    /// What a stream begins with, and what comes then.
    fn begin(mut self, edge: &Edge) -> (Vec<Event>, mpsc::Receiver<Event>) {
        let primer = self.delivery.primer();
        let (events, rest) = mpsc::channel(16);
        edge.tracker.spawn(self.run(edge.clone(), events));
        (primer.into_iter().collect(), rest)
    }

    async fn run(mut self, edge: Edge, events: mpsc::Sender<Event>) {
        let bridge = &edge.bridge;
        let answer = match self.wait(&edge, &events).await {
            End::Answer(answer) => Some(answer),
            End::Left => None,
            End::Stops => self.cut_off(bridge, &events).await,
        };
        let gone = match answer {
            Some(answer) => events.send(self.delivery.last(answer)).await.is_err(),
            None => true,
        };
        // The stream ends here, whatever is still to be done.
        drop(events);
        if !gone {
            return;
        }
        match self.on_disconnect {
            OnDisconnect::Cancel => self.cancel(bridge).await,
            OnDisconnect::Leave => {
                let job = (self.watch.id(), self.watch.owner());
                self.delivery.recall(bridge, job).await;
            }
        }
    }

    async fn wait(&mut self, edge: &Edge, events: &mpsc::Sender<Event>) -> End {
        let session_kept = self.delivery.keep_session(&edge.bridge);
        tokio::select! {
            () = events.closed() => End::Left,
            never = session_kept => match never {},
            answer = self.answer(&edge.bridge, events) => answer.map_or(End::Left, End::Answer),
            () = edge.stopping.over.cancelled() => End::Stops,
        }
    }

    /// The answer; none if the client waits for it over another connection, or not at all any more.
    async fn answer(&mut self, bridge: &Bridge, events: &mpsc::Sender<Event>) -> Option<Answer> {
        loop {
            let view = match self.next().await {
                Ok(Next::State(view)) => view,
                Ok(Next::Due) => continue,
                Ok(Next::Late) if self.delivery.is_over(bridge).await => return None,
                Ok(Next::Late) => match self.give_up(bridge, events).await {
                    Some(answer) => return Some(answer),
                    None => continue,
                },
                Err(error) => {
                    self.forget(events).await;
                    return Some(self.refused(error));
                }
            };
            if !view.status.is_terminal() && self.delivery.is_over(bridge).await {
                return None;
            }
            if view.status == Status::Cancelled {
                let waiting = self.awaited.waiting;
                match self.delivery.took_back(bridge, view.id, waiting).await {
                    Ok(false) => {}
                    Ok(true) => return None,
                    Err(error) => {
                        tracing::warn!(task = %view.id, error = error.sentence(), "whether a call was taken back is not known yet");
                        continue;
                    }
                }
            }
            self.tell_progress(&view, events).await;
            self.tell_log(bridge, &view, events).await;
            self.cancel_client_tasks(bridge, &view, events).await;
            if let Some(answer) = (self.awaited.finish)(&self.request, &view) {
                return Some(answer);
            }
            if view.status != Status::InputRequired {
                continue;
            }
            match self.ask(bridge, &view, events).await {
                Ok(None) => {}
                Ok(Some(answer)) => return Some(answer),
                // The questions stay open; the next look tries again.
                Err(error) => {
                    tracing::warn!(task = %view.id, error = error.sentence(), "questions could not be put")
                }
            }
        }
    }

    /// What comes next: the state of the job, the time to give up, or the time to ask the client again.
    async fn next(&mut self) -> Result<Next, BridgeError> {
        let late = async {
            match &self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            view = self.watch.next() => return view.map(|view| Next::State(Box::new(view))),
            () = late => return Ok(Next::Late),
            () = self.delivery.due() => {}
        }
        self.delivery.looked_at(self.watch.id());
        // While the store fails, the next look by itself makes up for this one.
        let seen = self.watch.look().await?;
        Ok(seen.map_or(Next::Due, |view| Next::State(Box::new(view))))
    }
}
