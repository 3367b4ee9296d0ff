//! Following a job to its end on behalf of a request that waits: as one JSON answer if it ends soon, else as a stream
//! with what happens on the way.

mod cut_off;
mod ending;
mod telling;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;
use taskferry_contract::{SessionId, Status, TaskView};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bridge::{Bridge, BridgeError, Watch};
use crate::mcp::Mcp;
use crate::mcp::legacy::{Carrier, Sessions, Trail};
use crate::mcp::protocol::answer::Answer;
use crate::mcp::protocol::call_line::CallLine;
use crate::mcp::protocol::log::LogTeller;
use crate::mcp::protocol::outgoing::Addressable;
use crate::mcp::protocol::progress::ProgressTeller;
use crate::mcp::protocol::reply::{Event, Reply};

/// How often a job whose client left, or a client's task that nothing waits for, is tried to be cancelled while the store
/// fails; and how long after one another.
const CANCELS_TRIED: u32 = 5;
const CANCEL_AGAIN: Duration = Duration::from_millis(500);

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
pub(super) enum OnQuestion {
    /// They end the request, which the client makes again with the answers.
    Return {
        /// Says which call that is.
        call: String,
        /// What the client can be asked, a JSON object.
        capabilities: Box<RawValue>,
    },
    /// They go out as requests on this request's stream.
    Send {
        /// That connection.
        carrier: Box<Carrier>,
        /// Whether they go out here only if the session has no stream of its own, as for a task.
        own_stream_first: bool,
    },
}

impl OnQuestion {
    pub(super) fn send(carrier: Carrier, own_stream_first: bool) -> Self {
        Self::Send {
            carrier: Box::new(carrier),
            own_stream_first,
        }
    }
}

/// What a request that waits sees next.
enum Next {
    /// The state of the job.
    State(Box<TaskView>),
    /// Nothing new; it waits no longer.
    Late,
    /// Nothing new; there is something to send to the client.
    Due,
}

/// Makes the answer of an ended job; nothing while it has not ended.
pub(crate) type Finish = fn(&RawValue, &TaskView) -> Option<Answer>;

/// Makes the answer of a tool's result.
pub(crate) type Write = fn(&RawValue, Value) -> Answer;

/// What is answered when the job has not ended in time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Late {
    /// Its handle: from now on the job is a task, which stays for `keep` after its end at least. `typed` says whether its
    /// tool has an output schema.
    HandOut { keep: Duration, typed: bool },
    /// How it stands.
    Status,
}

/// How a plain call is answered by a task.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AsTask {
    /// How long the task stays after its end at least.
    pub(crate) keep: Duration,
    /// Makes the answer.
    pub(crate) write: fn(&RawValue, &TaskView) -> Answer,
}

/// Until when a request waits.
#[derive(Debug)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    pub(crate) late: Late,
    pub(crate) write: Write,
}

/// What a request waits for, which says how it is answered when the record of the job is gone.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Awaits {
    /// The result of a plain call: its time ran out, or Redis lost it.
    Call,
    /// A task, which is not found.
    Task,
    /// How a task stands, for a model, which reads a tool's result better than an error.
    Status(Write),
}

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
    pub(super) on_question: OnQuestion,
    /// What the client may be sent on the way.
    pub(super) client: Addressable,
    pub(crate) finish: Finish,
    pub(crate) awaits: Awaits,
    /// Makes the stream one that can be resumed.
    pub(super) trail: Option<Trail>,
    /// When it waits no longer, if that ever comes.
    pub(crate) deadline: Option<Deadline>,
    /// How it is answered by a task, if its client takes one.
    pub(crate) as_task: Option<AsTask>,
}

impl Mcp {
    /// Answers when the job ends; as a stream if that takes longer than a moment, or a message comes first.
    pub(crate) fn follow(&self, follow: Follow) -> Reply {
        let line = CallLine::about(follow.watch.id());
        let (first, rest) = self.begin(follow);
        let within = self.settings.stream_after;
        Reply::Soon {
            first,
            rest,
            within,
            line,
        }
    }

    /// Answers as a stream, however soon the job ends.
    pub(crate) fn follow_as_stream(&self, follow: Follow) -> Reply {
        let line = CallLine::about(follow.watch.id());
        let (first, rest) = self.begin(follow);
        Reply::Stream { first, rest, line }
    }

    /// What a stream begins with, and what comes then.
    fn begin(&self, mut follow: Follow) -> (Vec<Event>, mpsc::Receiver<Event>) {
        let primer = follow.trail.as_mut().and_then(Trail::primer);
        let (events, rest) = mpsc::channel(16);
        let edge = Edge {
            bridge: self.bridge.clone(),
            sessions: Arc::clone(&self.sessions),
            over: self.stopping.over.clone(),
        };
        self.tracker.spawn(follow.run(edge, events));
        (primer.into_iter().collect(), rest)
    }
}

/// What a request that waits needs of its replica.
struct Edge {
    bridge: Bridge,
    sessions: Arc<Sessions>,
    /// Cancelled when the server stops and waits no longer.
    over: CancellationToken,
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

impl Follow {
    async fn run(mut self, edge: Edge, events: mpsc::Sender<Event>) {
        let bridge = &edge.bridge;
        let end = match self.wait(&edge, &events).await {
            End::Stops => self.cut_off(bridge, &events).await,
            end => end,
        };
        let gone = match end {
            End::Answer(last) => {
                let last = Event {
                    id: self.trail.as_mut().map(Trail::last_id),
                    ..Event::last(last)
                };
                events.send(last).await.is_err()
            }
            End::Left | End::Stops => true,
        };
        // The stream ends here, whatever is still to be done.
        drop(events);
        if !gone {
            return;
        }
        match self.on_disconnect {
            OnDisconnect::Cancel => self.cancel(bridge).await,
            OnDisconnect::Leave => {
                if let OnQuestion::Send { carrier, .. } = &self.on_question {
                    let job = (self.watch.id(), self.watch.owner());
                    carrier.recall(bridge, job).await;
                }
            }
        }
    }

    async fn wait(&mut self, edge: &Edge, events: &mpsc::Sender<Event>) -> End {
        let session = self.session();
        // The client may have no other request to make until this one is answered.
        let session_kept = async {
            match session {
                Some(id) => edge.sessions.keep(edge.bridge.store(), id).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = events.closed() => End::Left,
            never = session_kept => match never {},
            last = self.answer(&edge.bridge, events) => last.map_or(End::Left, End::Answer),
            () = edge.over.cancelled() => End::Stops,
        }
    }

    /// The session of a legacy client.
    fn session(&self) -> Option<SessionId> {
        match &self.on_question {
            OnQuestion::Send { carrier, .. } => Some(carrier.session()),
            OnQuestion::Return { .. } => None,
        }
    }

    /// The answer; none if the client waits for it over another connection, or not at all any more.
    async fn answer(&mut self, bridge: &Bridge, events: &mpsc::Sender<Event>) -> Option<Answer> {
        loop {
            let view = match self.next().await {
                Ok(Next::State(view)) => view,
                Ok(Next::Due) => continue,
                Ok(Next::Late) if self.is_over(bridge).await => return None,
                Ok(Next::Late) => match self.give_up(bridge, events).await {
                    Some(answer) => return Some(answer),
                    None => continue,
                },
                Err(error) => {
                    self.forget(events).await;
                    return Some(self.refused(error));
                }
            };
            if !view.status.is_terminal() && self.is_over(bridge).await {
                return None;
            }
            if view.status == Status::Cancelled {
                match self.was_taken_back(bridge).await {
                    Ok(false) => {}
                    Ok(true) => return None,
                    Err(error) => {
                        tracing::warn!(task = %view.id, %error, "whether a call was taken back is not known yet");
                        continue;
                    }
                }
            }
            self.tell_progress(&view, events).await;
            self.tell_log(bridge, &view, events).await;
            self.cancel_remotes(bridge, &view, events).await;
            if let Some(answer) = (self.finish)(&self.request, &view) {
                return Some(answer);
            }
            if view.status != Status::InputRequired {
                continue;
            }
            match self.ask(bridge, &view, events).await {
                Ok(None) => {}
                Ok(Some(answer)) => return Some(answer),
                // The questions stay open; the next look tries again.
                Err(error) => tracing::warn!(task = %view.id, %error, "questions could not be put"),
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
        let due = async {
            match &self.on_question {
                OnQuestion::Send { carrier, .. } => carrier.due().await,
                OnQuestion::Return { .. } => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            view = self.watch.next() => return view.map(|view| Next::State(Box::new(view))),
            () = late => return Ok(Next::Late),
            _this_job = due => {}
        }
        if let OnQuestion::Send { carrier, .. } = &mut self.on_question {
            carrier.leave(self.watch.id());
        }
        // While the store fails, the next look by itself makes up for this one.
        let seen = self.watch.look().await?;
        Ok(seen.map_or(Next::Due, |view| Next::State(Box::new(view))))
    }
}
