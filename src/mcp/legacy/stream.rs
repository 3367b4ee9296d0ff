//! The session's own stream: opened by GET, for messages that belong to no request. It tells how the session's tasks
//! go, puts their questions, and says when the tools change.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use serde_json::json;
use serde_json::value::RawValue;
use taskferry_contract::{Owner, SessionId, Status, TaskId};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::super::jsonrpc::{self, RpcError};
use super::super::log::LogTeller;
use super::super::progress::ProgressTeller;
use super::super::reply::{Event, Refusal, Reply};
use super::super::{Caller, Mcp};
use super::question::Carrier;
use super::resume;
use super::session::Sessions;
use super::task::LegacyTask;
use crate::bridge::{Bridge, BridgeError};

/// An open stream keeps its session alive, and looks this often at its tasks even if no bell rang.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A stream whose replica vanished counts as open for this long.
const HELD_FOR: Duration = Duration::from_secs(15);
/// The most tasks of a session that its stream tells of.
const TASKS_TOLD: usize = 1000;

impl Mcp {
    pub(in super::super) async fn legacy_stream(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
    ) -> Reply {
        if !accepts_stream(headers) {
            let text = "a GET opens an event stream; send Accept: text/event-stream";
            let error = RpcError::invalid_request(text);
            return super::refused(Refusal::new(StatusCode::NOT_ACCEPTABLE, error));
        }
        let session = match self.legacy_session(caller, headers).await {
            Ok(session) => session,
            Err(refusal) => return super::refused(refusal),
        };
        if let Some(last) = resume::last_event_id(headers) {
            let resumed = self.legacy_resume(caller, &session, last).await;
            return resumed.unwrap_or_else(super::refused);
        }
        let id = session.id;
        let (rings, tasks) = mpsc::channel(256);
        let (events, rest) = mpsc::channel(64);
        let stream = Stream {
            id,
            number: self.sessions.open_stream(id, rings),
            idle: self.settings.session_idle,
            owner: caller.owner.clone(),
            carrier: Carrier::new(&self.bridge, &session),
            bridge: self.bridge.clone(),
            sessions: Arc::clone(&self.sessions),
            events,
            told: HashMap::new(),
        };
        let changes = self.bridge.catalog().changes();
        self.tracker
            .spawn(stream.run(tasks, changes, self.stop.clone()));
        Reply::Stream {
            first: Vec::new(),
            rest,
        }
    }

    /// Passes what the bell rings to the streams of the sessions that asked for it, until `stop`.
    pub(in super::super) async fn legacy_rings(&self, stop: &CancellationToken) {
        let mut rings = self.bridge.rings();
        loop {
            let ring = tokio::select! {
                () = stop.cancelled() => return,
                ring = rings.recv() => ring,
            };
            // Rings that were missed are made up for by each stream's own look.
            let Ok(task) = ring else { continue };
            if self.sessions.has_streams()
                && let Ok(Some(asker)) = self.bridge.store().asker(task).await
            {
                self.sessions.ring(asker.session, task);
            }
        }
    }
}

fn accepts_stream(headers: &HeaderMap) -> bool {
    let values: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    values.is_empty()
        || values
            .iter()
            .any(|value| value.contains("text/event-stream") || value.contains("*/*"))
}

/// One open stream.
struct Stream {
    id: SessionId,
    number: u64,
    idle: Duration,
    owner: Owner,
    carrier: Carrier,
    bridge: Bridge,
    sessions: Arc<Sessions>,
    events: mpsc::Sender<Event>,
    told: HashMap<TaskId, Told>,
}

/// What the client was told of a task.
struct Told {
    status: &'static str,
    message: Option<String>,
    ended: bool,
    asked: bool,
    progress: Option<ProgressTeller>,
    log: Option<LogTeller>,
}

impl Stream {
    async fn run(
        mut self,
        mut tasks: mpsc::Receiver<TaskId>,
        mut changes: watch::Receiver<u64>,
        stop: CancellationToken,
    ) {
        let mut look = tokio::time::interval(LOOK_EVERY.min(self.idle / 3));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let outcome = tokio::select! {
                () = self.events.closed() => break,
                () = stop.cancelled() => break,
                Ok(()) = changes.changed() => {
                    self.say("notifications/tools/list_changed", &json!({})).await;
                    Ok(true)
                }
                Some(task) = tasks.recv() => self.rung(task).await.map(|()| true),
                task = self.carrier.due() => {
                    self.carrier.leave(task);
                    self.look(task).await.map(|()| true)
                }
                _ = look.tick() => self.keep().await,
            };
            match outcome {
                Ok(true) => {}
                Ok(false) => break,
                // A failure says nothing about the session; the next look tries again.
                Err(error) => {
                    tracing::warn!(session = %self.id, %error, "a session's stream could not look")
                }
            }
        }
        self.close().await;
    }

    /// Keeps the session and its stream known, and looks at every task that has not ended. False if the session ended.
    async fn keep(&mut self) -> Result<bool, BridgeError> {
        let bridge = self.bridge.clone();
        let store = bridge.store();
        if store.session(self.id).await?.is_none() {
            return Ok(false);
        }
        store.touch_session(self.id, self.idle).await?;
        if self.speaks() {
            store
                .hold_session_stream(self.id, bridge.replica(), HELD_FOR)
                .await?;
            let tasks = store.session_tasks(self.id, TASKS_TOLD).await?;
            self.told.retain(|task, _| tasks.contains(task));
            for task in tasks {
                self.look(task).await?;
            }
        }
        Ok(true)
    }

    /// Looks at a task that changed. After its end that can only be a task of the client's own that came too late.
    async fn rung(&mut self, task: TaskId) -> Result<(), BridgeError> {
        if !self.told.get(&task).is_some_and(|told| told.ended) {
            return self.look(task).await;
        }
        let job = (task, &self.owner);
        for message in self.carrier.cancellations(&self.bridge, job).await? {
            self.send(message).await;
        }
        Ok(())
    }

    /// Tells what changed of a task, and puts its questions.
    async fn look(&mut self, task: TaskId) -> Result<(), BridgeError> {
        if !self.speaks() || self.told.get(&task).is_some_and(|told| told.ended) {
            return Ok(());
        }
        let view = match self.bridge.poll(task, &self.owner).await {
            Ok(view) => view,
            Err(BridgeError::NotFound) => {
                self.told.remove(&task);
                for message in self.carrier.forget(task) {
                    self.send(message).await;
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if !self.told.contains_key(&task) {
            let told = self.first_told(task).await?;
            self.told.insert(task, told);
        }
        let shown = LegacyTask::new(&view);
        let (status, message) = (shown.status, view.message.clone());
        let Some(told) = self.told.get_mut(&task) else {
            return Ok(());
        };
        let changed = told.status != status || told.message != message;
        (told.status, told.message, told.ended) = (status, message, view.status.is_terminal());
        let progress = told.progress.as_mut().and_then(|teller| teller.tell(&view));
        let asks = view.status == Status::InputRequired;
        told.asked |= asks;
        let lines = match &mut told.log {
            Some(log) => log.tell(&self.bridge, task).await?,
            None => Vec::new(),
        };
        let lines = lines.into_iter().map(|line| line.message);
        for message in progress.into_iter().chain(lines) {
            self.send(message).await;
        }
        if changed {
            self.say("notifications/tasks/status", &shown).await;
        }
        let mut messages = self
            .carrier
            .cancellations(&self.bridge, (task, &self.owner))
            .await?;
        if asks {
            messages.extend(self.carrier.questions(&self.bridge, &view).await?);
        }
        for message in messages {
            self.send(message).await;
        }
        Ok(())
    }

    /// A task begins as working, which its creation told.
    async fn first_told(&self, task: TaskId) -> Result<Told, BridgeError> {
        let store = self.bridge.store();
        // From now on this replica is rung when the task changes, though it may have been created before.
        let view = store
            .watch(task, &self.owner, self.bridge.replica())
            .await?;
        let tool = view.map(|view| view.tool).unwrap_or_default();
        let log_level = store
            .session(self.id)
            .await?
            .and_then(|session| session.log_level);
        // A task that several sessions share tells its progress to the one that began it.
        let asker = store.asker(task).await?;
        let asker = asker.filter(|asker| asker.session == self.id);
        let token = asker.and_then(|asker| asker.progress_token);
        let token = token.and_then(|token| RawValue::from_string(token).ok());
        Ok(Told {
            status: "working",
            message: None,
            ended: false,
            asked: false,
            progress: token.map(ProgressTeller::new),
            log: log_level.map(|least| LogTeller::new(&tool, least)),
        })
    }

    /// A message goes to one stream of a session only, the newest (2025-11-25, transports, Multiple Connections).
    fn speaks(&self) -> bool {
        self.sessions.is_newest(self.id, self.number)
    }

    async fn say(&self, method: &str, params: &impl serde::Serialize) {
        if self.speaks() {
            self.send(jsonrpc::notification(method, params)).await;
        }
    }

    async fn send(&self, message: String) {
        // If the client left, `run` sees that.
        let _client_left = self.events.send(Event::message(message)).await;
    }

    /// Leaves the session to its next stream, with the questions that were sent here and not answered.
    async fn close(self) {
        if self.sessions.close_stream(self.id, self.number)
            && let Err(error) = self.bridge.store().drop_session_stream(self.id).await
        {
            tracing::debug!(session = %self.id, %error, "the stream counts as open for a while");
        }
        for (task, told) in &self.told {
            if told.asked && !told.ended {
                let job = (*task, &self.owner);
                self.carrier.recall(&self.bridge, job).await;
            }
        }
    }
}
