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

use crate::audit::{self, Act, Done};
use crate::bridge::{Bridge, BridgeError};
use crate::mcp::edge::Edge;
use crate::mcp::protocol::answer::Answer;
use crate::mcp::protocol::call_line::CallLine;
use crate::mcp::protocol::event_queue::EventQueue;
use crate::mcp::protocol::reply::{Event, Reply};
use answers::{OnDisconnect, Waiting};
use cut_off::CutOff;
use delivery::Delivery;
pub(super) use state::Wait;

/// What happened next while a request waits.
enum Next {
    /// The state of the job.
    State(Box<TaskView>),
    /// The deadline has come.
    Deadline,
    /// Something was due, but the store did not answer.
    NotSeen,
}

/// How the wait of a request ends.
enum End {
    /// With an answer.
    Answer(Answer),
    /// Without an answer: the client disconnected, cancelled its request, or resumed it over another connection.
    Left,
    /// Before its job, for this reason.
    CutOff(&'static CutOff),
}

impl<D: Delivery> Wait<D> {
    /// Answers when the job ends. As one JSON body if that is soon (`stream_after`) and no message comes before; else as an
    /// event stream.
    pub(super) fn reply(self, edge: &Edge) -> Reply {
        let log_line = CallLine::about(self.watch.id());
        let (first, rest) = self.spawn(edge);
        Reply::Soon {
            first,
            rest,
            within: edge.settings.stream_after,
            line: log_line,
        }
    }

    /// Answers as a stream, however soon the job ends.
    pub(super) fn reply_as_stream(self, edge: &Edge) -> Reply {
        let log_line = CallLine::about(self.watch.id());
        let (first, rest) = self.spawn(edge);
        Reply::Stream {
            first,
            rest,
            line: log_line,
        }
    }

    /// Starts the wait as a task of its own. Returns the events a stream begins with, and a channel for the rest.
    fn spawn(mut self, edge: &Edge) -> (Vec<Event>, mpsc::Receiver<Event>) {
        // An empty event with an id: the client can resume the stream after it.
        let primer = self.delivery.primer();
        let (events, rest) = EventQueue::new(16, &edge.event_memory);
        edge.tracker
            .spawn(audit::carried(self.run(edge.clone(), events)));
        (primer.into_iter().collect(), rest)
    }

    async fn run(mut self, edge: Edge, events: EventQueue) {
        let bridge = &edge.bridge;
        let answer = match self.wait(&edge, &events).await {
            End::Answer(answer) => Some(answer),
            End::Left => None,
            End::CutOff(why) => self.cut_off(why, bridge, &events).await,
        };
        let unanswered = match answer {
            Some(answer) => events.send(self.delivery.last(answer)).await.is_err(),
            None => true,
        };
        // Close the stream now; what follows needs no client.
        drop(events);
        if !unanswered {
            return self.delivery.answered(bridge).await;
        }
        match self.on_disconnect {
            OnDisconnect::Cancel => self.cancel(bridge).await,
            OnDisconnect::Leave => {
                let job = (self.watch.id(), self.watch.owner());
                self.delivery.recall(bridge, job).await;
            }
        }
    }

    async fn wait(&mut self, edge: &Edge, events: &EventQueue) -> End {
        let session_kept = self.delivery.keep_session(&edge.bridge);
        let validity = self.validity.clone();
        tokio::select! {
            () = events.closed() => End::Left,
            // `keep_session` never returns: it only renews the session while this waits.
            never = session_kept => match never {},
            answer = self.answer(&edge.bridge, events) => answer.map_or(End::Left, End::Answer),
            () = edge.stopping.over.cancelled() => End::CutOff(&cut_off::STOP),
            () = validity.ended() => End::CutOff(&cut_off::CREDENTIAL_ENDED),
        }
    }

    /// The answer. `None` if the client resumed the request over another connection, or cancelled it.
    async fn answer(&mut self, bridge: &Bridge, events: &EventQueue) -> Option<Answer> {
        loop {
            let view = match self.next().await {
                Ok(Next::State(view)) => view,
                Ok(Next::NotSeen) => continue,
                Ok(Next::Deadline) if self.delivery.is_over(bridge).await => return None,
                Ok(Next::Deadline) => match self.give_up(bridge, events).await {
                    Some(answer) => return Some(answer),
                    None => continue,
                },
                Err(error) => {
                    self.forget(events).await;
                    return Some(self.refused(error));
                }
            };
            // Checked for every state, so that this connection stops sending once another has resumed the stream or the
            // client has cancelled the request. If the job has ended, its answer goes out here all the same.
            if !view.status.is_terminal() && self.delivery.is_over(bridge).await {
                return None;
            }
            if view.status == Status::Cancelled {
                // If the client's own `notifications/cancelled` cancelled the job, the request gets no answer.
                let waiting = self.awaited.waiting;
                match self
                    .delivery
                    .must_not_answer(bridge, view.id, waiting)
                    .await
                {
                    Ok(false) => {}
                    Ok(true) => return None,
                    Err(error) => {
                        tracing::warn!(task = %view.id.digest(), error = error.sentence(), "could not read whether the client cancelled this request; trying again");
                        continue;
                    }
                }
            }
            self.tell_progress(&view, events).await;
            self.tell_log(bridge, &view, events).await;
            self.cancel_client_tasks(bridge, &view, events).await;
            if let Some(answer) = (self.awaited.finish)(&self.request, &view) {
                if self.awaited.waiting != Waiting::Status {
                    bridge.audit().done(Done::to(Act::Read, &view));
                }
                return Some(answer);
            }
            if view.status != Status::InputRequired {
                continue;
            }
            match self.ask(bridge, &view, events).await {
                Ok(None) => {}
                Ok(Some(answer)) => return Some(answer),
                // The questions stay open; the next state of the job brings them again.
                Err(error) => {
                    tracing::warn!(task = %view.id.digest(), error = error.sentence(), "the questions of a job could not be sent to the client; trying again")
                }
            }
        }
    }

    /// Waits for the first of: a new state of the job, the deadline, something due to be sent to the client.
    async fn next(&mut self) -> Result<Next, BridgeError> {
        let deadline = async {
            match &self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            view = self.watch.next() => return view.map(|view| Next::State(Box::new(view))),
            () = deadline => return Ok(Next::Deadline),
            () = self.delivery.due() => {}
        }
        self.delivery.clear_due(self.watch.id());
        // If the store does not answer now, `watch.next` reads the job again within a few seconds.
        let seen = self.watch.read_now().await?;
        Ok(seen.map_or(Next::NotSeen, |view| Next::State(Box::new(view))))
    }
}
