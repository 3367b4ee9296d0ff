//! The session's own stream: opened by GET, for messages that belong to no request. It sends how the session's tasks go,
//! their questions, and when the tools change. Of several that are open, at whichever front ends, the newest speaks; the
//! others are silent until it closes.

mod telling;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use taskferry_contract::{DeliveryCursor, Owner, SenderId, SessionId, StreamHold, TaskId};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::bridge::{Bridge, BridgeError};
use crate::identity::{Caller, Scopes, Validity};
use crate::mcp::jsonrpc::RpcError;
use crate::mcp::legacy::exchange::Legacy;
use crate::mcp::legacy::sender::QuestionSender;
use crate::mcp::legacy::session::Opened;
use crate::mcp::legacy::sessions::{MOST_STREAMS, Sessions};
use crate::mcp::legacy::stream::telling::Announced;
use crate::mcp::protocol::answer::RefusalKind;
use crate::mcp::protocol::call_line::CallLine;
use crate::mcp::protocol::event_queue::EventQueue;
use crate::mcp::protocol::inbound::{Inbound, Stated};
use crate::mcp::protocol::outgoing::{Addressable, Method, Outgoing};
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::reply::{Event, Reply};

/// An open stream keeps its session alive, and reads its tasks this often even if no bell rang.
const READ_EVERY: Duration = Duration::from_secs(5);
/// The sessions of so many tasks are remembered.
const ASKERS_KEPT: usize = 10_000;

/// Opens a session's own stream, or goes on with that of a request.
pub(super) async fn open(era: &Legacy, inbound: &Inbound<'_>) -> Result<Reply, Refusal> {
    let session = era.session(inbound).await?;
    match inbound.facts.last_event {
        Stated::Absent | Stated::Once("") => {}
        last => return era.resume(inbound.caller, &session, last).await,
    }
    let counted = era.sessions.count_stream(session.id).ok_or_else(too_many)?;
    let (events, rest) = EventQueue::new(64, &era.edge.event_memory);
    let (mut stream, tasks) = opened(era, inbound.caller, &session, events);
    if let Err(error) = stream.speaks().await {
        tracing::warn!(session = %session.id.digest(), error = error.sentence(), "a session's stream speaks as soon as Redis answers");
    }
    let changes = era.edge.bridge.catalog().changes();
    let ends = (
        era.edge.stopping.begun.clone(),
        inbound.caller.validity.clone(),
    );
    era.edge.tracker.spawn(async move {
        let _until_its_end = counted;
        stream.run(tasks, changes, ends).await;
    });
    Ok(Reply::Stream {
        first: Vec::new(),
        rest,
        line: CallLine::default(),
    })
}

fn too_many() -> Refusal {
    let text = format!(
        "this session has {MOST_STREAMS} streams open here, as many as it may; only the newest of them speaks, so close one"
    );
    Refusal::new(RefusalKind::TooMany, RpcError::invalid_request(text))
}

/// A new stream, and the ids of tasks that it must read again.
fn opened(
    era: &Legacy,
    caller: &Caller,
    session: &Opened,
    events: EventQueue,
) -> (Stream, mpsc::Receiver<TaskId>) {
    let (rings, tasks) = mpsc::channel(256);
    let stream = Stream {
        id: session.id,
        idle: era.edge.settings.session_idle,
        owner: caller.owner.clone(),
        scopes: caller.scopes.clone(),
        sender: QuestionSender::new(&era.edge.bridge, session),
        client: session.client(),
        bridge: era.edge.bridge.clone(),
        sessions: Arc::clone(&era.sessions),
        events,
        rings,
        hold: Hold::Opened,
        before: None,
        since_ms: 0,
        places: HashMap::new(),
        told: HashMap::new(),
        tools_changed: false,
    };
    (stream, tasks)
}

/// Passes what the bell rings to the streams of the sessions that asked for it, until `stop`.
pub(super) async fn pass_rings(era: &Legacy, stop: &CancellationToken) {
    let mut rings = era.edge.bridge.rings();
    // A record's session never changes, and a job may ring many times a second.
    let mut askers: HashMap<TaskId, Option<SessionId>> = HashMap::new();
    loop {
        let ring = tokio::select! {
            () = stop.cancelled() => return,
            ring = rings.recv() => ring,
        };
        // Each stream also reads its tasks regularly, which makes up for missed rings.
        let Ok(task) = ring else { continue };
        if !era.sessions.has_streams() {
            continue;
        }
        let session = match askers.get(&task) {
            Some(known) => *known,
            None => {
                let Ok(requestor) = era.edge.bridge.tasks().requestor(task).await else {
                    continue;
                };
                if askers.len() >= ASKERS_KEPT {
                    askers.clear();
                }
                let session = requestor.map(|requestor| requestor.session);
                askers.insert(task, session);
                session
            }
        };
        if let Some(session) = session {
            era.sessions.ring(session, task);
        }
    }
}

/// Whether an open stream is the one that speaks for its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// It will be, once Redis knows of it.
    Opened,
    /// It is, as far as is known here.
    Speaks,
    /// Another one is.
    Silent,
}

/// One open stream.
pub(super) struct Stream {
    pub(super) id: SessionId,
    idle: Duration,
    pub(super) owner: Owner,
    /// What who opened it may do.
    pub(super) scopes: Scopes,
    pub(super) sender: QuestionSender,
    client: Addressable,
    pub(super) bridge: Bridge,
    sessions: Arc<Sessions>,
    events: EventQueue,
    rings: mpsc::Sender<TaskId>,
    hold: Hold,
    /// The sender of the stream that spoke before this one.
    pub(super) before: Option<SenderId>,
    /// Since when it speaks, ms since the epoch.
    pub(super) since_ms: i64,
    /// How far other streams had got with the tasks when this one took over.
    pub(super) places: HashMap<TaskId, DeliveryCursor>,
    told: HashMap<TaskId, Announced>,
    /// Whether there is to be said that the tools changed.
    tools_changed: bool,
}

impl Stream {
    async fn run(
        mut self,
        mut tasks: mpsc::Receiver<TaskId>,
        mut changes: watch::Receiver<u64>,
        (stop, validity): (CancellationToken, Validity),
    ) {
        let mut rounds = tokio::time::interval(READ_EVERY.min(self.idle / 3));
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let outcome = tokio::select! {
                () = self.events.closed() => break,
                () = stop.cancelled() => break,
                () = validity.ended() => break,
                Ok(()) = changes.changed() => {
                    self.tools_changed = true;
                    self.tell_tools().await.map(|()| true)
                }
                Some(task) = tasks.recv() => self.rung(task).await.map(|()| true),
                task = self.sender.due() => {
                    self.sender.pause_polls(task);
                    self.read_task(task).await.map(|()| true)
                }
                _ = rounds.tick() => self.keep().await,
            };
            match outcome {
                Ok(true) => {}
                Ok(false) => break,
                // A failure says nothing about the session; the next round tries again.
                Err(error) => {
                    tracing::warn!(session = %self.id.digest(), error = error.sentence(), "a session's stream could not read its tasks");
                }
            }
        }
        self.close().await;
    }

    /// Keeps the session and its stream known, and reads every task that has not ended. False if the session ended.
    async fn keep(&mut self) -> Result<bool, BridgeError> {
        let bridge = self.bridge.clone();
        if bridge.sessions().find(self.id).await?.is_none() {
            return Ok(false);
        }
        bridge.sessions().touch(self.id, self.idle).await?;
        self.tell_tools().await?;
        if !self.speaks().await? {
            return Ok(true);
        }
        let streams = bridge.session_streams();
        let mut tasks = streams.tasks(self.id).await?;
        let over = |task: &&TaskId| self.told.get(task).is_some_and(Announced::is_over);
        let over: Vec<TaskId> = tasks.iter().filter(over).copied().collect();
        streams.forget_tasks(self.id, &over).await?;
        tasks.retain(|task| !over.contains(task));
        self.told
            .retain(|task, told| !told.has_ended() || tasks.contains(task));
        // Tasks that are known only by their rings, since others live longer, or since a call became a task.
        let others = self.told.keys().filter(|task| !tasks.contains(task));
        let others: Vec<TaskId> = others.copied().collect();
        for task in tasks.into_iter().chain(others) {
            self.read_task(task).await?;
        }
        Ok(true)
    }

    /// Says that the tools changed, if they did. A stream that is silent leaves that to the one that speaks.
    async fn tell_tools(&mut self) -> Result<(), BridgeError> {
        if self.tools_changed && self.speaks().await? {
            let params = json!({});
            let changed = Outgoing::notification(Method::ToolsChanged, &params);
            self.send_all(vec![changed]).await;
        }
        self.tools_changed = false;
        Ok(())
    }

    /// Whether it is the one that speaks, as far as is known here.
    pub(super) fn is_speaking(&self) -> bool {
        self.hold == Hold::Speaks
    }

    /// Whether it is the one that speaks: asked before anything is sent. One that finds none becomes it.
    pub(super) async fn speaks(&mut self) -> Result<bool, BridgeError> {
        let (streams, sender) = (self.bridge.session_streams(), self.sender.id());
        let held = if self.hold == Hold::Opened {
            streams.open(self.id, sender).await?
        } else {
            streams.keep(self.id, sender).await?
        };
        match held {
            StreamHold::Held { before } => {
                if !self.is_speaking() {
                    self.begin(before).await?;
                }
                // Another one that opened here at the same time may have been noted instead.
                let (sender, rings) = (self.sender.id(), self.rings.clone());
                self.sessions.open_stream(self.id, sender, rings);
            }
            StreamHold::Taken => self.fall_silent().await,
        }
        Ok(self.is_speaking())
    }

    /// Goes on where the stream before this one stopped.
    async fn begin(&mut self, before: Option<SenderId>) -> Result<(), BridgeError> {
        self.before = before.or(self.before.take());
        let told = self.bridge.session_streams().delivered(self.id).await?;
        (self.places, self.since_ms) = (told.of, told.at_ms);
        self.hold = Hold::Speaks;
        Ok(())
    }

    async fn fall_silent(&mut self) {
        if self.hold != Hold::Silent {
            tracing::debug!(session = %self.id.digest(), "a newer stream of the session speaks");
            self.hold = Hold::Silent;
            self.leave().await;
            self.sender.forget_all();
            self.told.clear();
            self.places.clear();
        }
    }

    pub(super) async fn send_all(&self, messages: Vec<Outgoing>) {
        let known = messages
            .into_iter()
            .filter_map(|message| self.client.admit(message));
        for message in known {
            // If the client left, `run` sees that.
            let _client_left = self.events.send(Event::message(message)).await;
        }
    }

    /// Leaves to another stream the questions that were sent here and not answered, and the rings.
    async fn leave(&self) {
        self.sessions.close_stream(self.id, self.sender.id());
        for (task, told) in &self.told {
            if told.asked && !told.has_ended() {
                let job = (*task, &self.owner);
                self.sender.recall(&self.bridge, job).await;
            }
        }
    }

    /// Leaves the session to its next stream.
    async fn close(self) {
        let streams = self.bridge.session_streams();
        if let Err(error) = streams.close(self.id, self.sender.id()).await {
            tracing::debug!(session = %self.id.digest(), error = error.sentence(), "the stream counts as open for a while");
        }
        self.leave().await;
    }
}
