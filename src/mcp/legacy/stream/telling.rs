//! What a session's own stream sends about the session's tasks. How far it got with each is noted for the next stream,
//! which goes on there (2025-11-25, transports, Multiple Connections: no message goes out on two streams).

use std::time::Duration;

use serde_json::json;
use serde_json::value::RawValue;
use taskferry_contract::{DeliveryCursor, Status, TaskId, TaskView};
use tokio::time::Instant;

use crate::bridge::BridgeError;
use crate::identity::Needs;
use crate::mcp::legacy::related::{RELATED_TASK, related};
use crate::mcp::legacy::shown::LegacyTask;
use crate::mcp::legacy::stream::Stream;
use crate::mcp::protocol::log::{LogTeller, TOLD_IN_A_ROW};
use crate::mcp::protocol::outgoing::{Method, Outgoing};
use crate::mcp::protocol::progress::ProgressTeller;
use crate::mcp::protocol::standing;

/// A task's end is sent again for so long if another stream is opened: the client may have lost this one unseen.
const END_TOLD_AGAIN: Duration = Duration::from_secs(60);

/// What was sent to the client about a task.
#[derive(Debug, Clone)]
pub(super) struct Announced {
    status: &'static str,
    message: Option<String>,
    ended: Option<Instant>,
    pub(super) asked: bool,
    progress: Option<ProgressTeller>,
    log: Option<LogTeller>,
}

impl Announced {
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Whether no later stream has to send anything about it.
    pub(super) fn is_over(&self) -> bool {
        self.ended.is_some_and(|at| at.elapsed() > END_TOLD_AGAIN)
    }

    fn places(&self) -> DeliveryCursor {
        let progress = self.progress.as_ref().map(ProgressTeller::last_sent);
        let line = self.log.as_ref().and_then(LogTeller::last_sent);
        DeliveryCursor {
            progress: progress
                .filter(|told| told.is_finite())
                .map(|told| told.to_string()),
            line: line.map(ToOwned::to_owned),
        }
    }
}

impl Stream {
    /// Reads a task that changed. After its end that can only be a task of the client's own that came too late.
    pub(super) async fn rung(&mut self, task: TaskId) -> Result<(), BridgeError> {
        match self.told.get(&task) {
            Some(told) if told.has_ended() => self.cancel_client_tasks(task).await,
            _ => self.read_task(task).await,
        }
    }

    /// Sends what changed of a task, and its questions.
    pub(super) async fn read_task(&mut self, task: TaskId) -> Result<(), BridgeError> {
        if !self.is_speaking() || self.told.get(&task).is_some_and(Announced::has_ended) {
            return Ok(());
        }
        let view = match self.bridge.tasks().poll(task, &self.owner).await {
            Ok(view) => view,
            Err(BridgeError::NotFound) => return self.gone(task).await,
            Err(error) => return Err(error),
        };
        // Who opened the stream may have fewer scopes than who made the task.
        if self
            .scopes
            .lacks(Needs::of_tasks(&view.task_scopes))
            .is_some()
        {
            return Ok(());
        }
        let Some(told) = self.known(&view).await? else {
            return self.cancel_client_tasks(task).await;
        };
        let (asked, ended) = (told.asked, view.status.is_terminal());
        let asks = view.status == Status::InputRequired;
        if !self.tell(&view, told).await? {
            return Ok(());
        }
        self.cancel_client_tasks(task).await?;
        if ended {
            self.sender.forget_job(task);
        }
        if let Some(told) = self.told.get_mut(&task) {
            told.ended = ended.then(Instant::now);
            told.asked |= asks;
        }
        if asks {
            self.ask(&view, asked).await?;
        }
        Ok(())
    }

    /// Sends what is new about a task, and notes that. False if another stream of the session sends now.
    async fn tell(&mut self, view: &TaskView, mut told: Announced) -> Result<bool, BridgeError> {
        let mut messages = Vec::new();
        // Progress stops with the task (2025-11-25, tasks, Task Progress).
        if let Some(teller) = &mut told.progress
            && !view.status.is_terminal()
        {
            messages.extend(teller.tell(view));
        }
        if !self.deliver(view, &told, messages).await? {
            return Ok(false);
        }
        for _some_lines in 0..TOLD_IN_A_ROW {
            let lines = match &mut told.log {
                Some(log) => log.tell(&self.bridge, view.id).await?,
                None => Vec::new(),
            };
            if lines.is_empty() {
                break;
            }
            let messages = lines.into_iter().map(|line| line.message).collect();
            if !self.deliver(view, &told, messages).await? {
                return Ok(false);
            }
        }
        let mut messages = Vec::new();
        let shown = LegacyTask::new(view);
        let news = standing::news(view);
        if told.status != shown.status || told.message != news {
            messages.push(Outgoing::notification(Method::TaskStatus, &shown));
        }
        (told.status, told.message) = (shown.status, news);
        if !messages.is_empty() && !self.speaks().await? {
            return Ok(false);
        }
        self.told.insert(view.id, told);
        self.send_all(messages).await;
        Ok(true)
    }

    /// Sends what comes while a task is on its way, and notes how far that got. False if another stream of the session sends
    /// now.
    async fn deliver(
        &mut self,
        view: &TaskView,
        told: &Announced,
        messages: Vec<Outgoing>,
    ) -> Result<bool, BridgeError> {
        if messages.is_empty() {
            return Ok(true);
        }
        if !self.speaks().await? {
            return Ok(false);
        }
        let streams = self.bridge.session_streams();
        streams
            .note_delivered(self.id, view, &told.places())
            .await?;
        self.told.insert(view.id, told.clone());
        self.send_all(messages).await;
        Ok(true)
    }

    /// Puts the questions of a task. What the stream before this one put may not have reached the client.
    async fn ask(&mut self, view: &TaskView, asked: bool) -> Result<(), BridgeError> {
        if !self.speaks().await? {
            return Ok(());
        }
        if let Some(before) = &self.before
            && !asked
        {
            self.bridge
                .questions()
                .recall(view.id, &self.owner, before)
                .await;
        }
        let questions = self.sender.questions(&self.bridge, view).await?;
        self.send_all(questions).await;
        Ok(())
    }

    /// Cancels the client's own tasks that nothing waits for any more.
    async fn cancel_client_tasks(&mut self, task: TaskId) -> Result<(), BridgeError> {
        if !self.sender.can_cancel_client_tasks() || !self.speaks().await? {
            return Ok(());
        }
        let job = (task, &self.owner);
        let messages = self.sender.cancellations(&self.bridge, job).await?;
        self.send_all(messages).await;
        Ok(())
    }

    /// The record of a task is gone, or is none of a task.
    async fn gone(&mut self, task: TaskId) -> Result<(), BridgeError> {
        self.told.remove(&task);
        let messages = self.sender.cancel_all_client_tasks(task);
        if !messages.is_empty() && self.speaks().await? {
            self.send_all(messages).await;
        }
        Ok(())
    }

    /// What was sent about a task. `None` if an earlier stream has sent its end.
    async fn known(&self, view: &TaskView) -> Result<Option<Announced>, BridgeError> {
        if let Some(told) = self.told.get(&view.id) {
            return Ok(Some(told.clone()));
        }
        let ended = view.status.is_terminal();
        let streams = self.bridge.session_streams();
        if ended && !streams.has_task(self.id, view.id).await? {
            return Ok(None);
        }
        let mut told = Announced {
            status: "working",
            message: None,
            ended: None,
            asked: false,
            progress: None,
            log: None,
        };
        // Of a task that ended before this stream, only its end is sent.
        if !ended || view.created_ms >= self.since_ms {
            (told.progress, told.log) = self.tellers(view).await?;
        }
        Ok(Some(told))
    }

    /// Those that go on where the stream before stopped.
    async fn tellers(
        &self,
        view: &TaskView,
    ) -> Result<(Option<ProgressTeller>, Option<LogTeller>), BridgeError> {
        // It may have been created before, by another front end.
        self.bridge.tasks().have_rung(view.id, &self.owner).await?;
        let session = self.bridge.sessions().find(self.id).await?;
        // Progress of a task that several sessions share goes to the session that began it.
        let requestor = self.bridge.tasks().requestor(view.id).await?;
        let requestor = requestor.filter(|requestor| requestor.session == self.id);
        let token = requestor.and_then(|requestor| requestor.progress_token);
        let token = token.and_then(|token| RawValue::from_string(token).ok());
        let places = self.places.get(&view.id).cloned().unwrap_or_default();
        let meta = json!({ RELATED_TASK: related(view.id) });
        let progress = token.map(|token| {
            let told = places.progress.and_then(|told| told.parse().ok());
            ProgressTeller::new(token).after(told).marked(meta.clone())
        });
        let least = session.and_then(|session| session.log_level);
        let log = least.map(|least| {
            let log = LogTeller::new(&view.tool, least).of_session(self.id);
            log.after(places.line).marked(meta)
        });
        Ok((progress, log))
    }
}
