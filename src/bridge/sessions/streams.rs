//! The stream of its own that a session may have open: of several, at whichever front ends, one sends. How far it got with
//! the session's tasks is noted, so that the next one goes on there.

use std::collections::HashMap;
use std::time::Duration;

use taskferry_contract::{
    DeliveryCursor, SenderId, SessionId, Store, StreamHold, TaskId, TaskView,
};

use crate::bridge::BridgeError;

/// A stream whose front end vanished counts as open for this long.
const HELD_FOR: Duration = Duration::from_secs(15);

/// The most tasks of a session that are read for its stream.
const TASKS_READ: usize = 1000;

/// Up to where progress and log of its tasks were delivered to the client of a session.
#[derive(Debug)]
pub(crate) struct DeliveredSoFar {
    /// When this was read, ms since the epoch.
    pub(crate) at_ms: i64,
    /// Of each task of which something was delivered.
    pub(crate) of: HashMap<TaskId, DeliveryCursor>,
}

/// The own streams of sessions.
#[derive(Debug)]
pub(crate) struct SessionStreams {
    store: Store,
}

impl SessionStreams {
    pub(in crate::bridge) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Makes a stream that was just opened the one that sends for its session, whichever did before.
    pub(crate) async fn open(
        &self,
        id: SessionId,
        sender: &SenderId,
    ) -> Result<StreamHold, BridgeError> {
        Ok(self.store.open_session_stream(id, sender, HELD_FOR).await?)
    }

    /// Keeps a stream the one that sends for its session, unless another does by now. To be called every few seconds.
    pub(crate) async fn keep(
        &self,
        id: SessionId,
        sender: &SenderId,
    ) -> Result<StreamHold, BridgeError> {
        Ok(self.store.keep_session_stream(id, sender, HELD_FOR).await?)
    }

    /// Notes that a stream closed.
    pub(crate) async fn close(&self, id: SessionId, sender: &SenderId) -> Result<(), BridgeError> {
        self.store.drop_session_stream(id, sender).await?;
        Ok(())
    }

    /// Whether a session has a stream of its own, at any front end.
    pub(crate) async fn is_open(&self, id: SessionId) -> Result<bool, BridgeError> {
        Ok(self.store.session_stream(id).await?.is_some())
    }

    /// Up to where progress and log of its tasks were delivered to the session's client.
    pub(crate) async fn delivered(&self, id: SessionId) -> Result<DeliveredSoFar, BridgeError> {
        let at_ms = i64::try_from(self.store.now_ms().await?).unwrap_or(i64::MAX);
        Ok(DeliveredSoFar {
            at_ms,
            of: self.store.delivery_cursors(id, at_ms).await?,
        })
    }

    /// Notes up to where progress and log of a task were delivered to the session's client.
    pub(crate) async fn note_delivered(
        &self,
        id: SessionId,
        view: &TaskView,
        told: &DeliveryCursor,
    ) -> Result<(), BridgeError> {
        let until_ms = view.created_ms.saturating_add(view.ttl_ms);
        let note = self.store.note_delivery_cursor(id, view.id, told, until_ms);
        Ok(note.await?)
    }

    /// The tasks that the session asked for and whose end its client does not know, those that live longest.
    pub(crate) async fn tasks(&self, id: SessionId) -> Result<Vec<TaskId>, BridgeError> {
        Ok(self.store.session_tasks(id, TASKS_READ).await?)
    }

    /// Whether the session asked for a task, and its client does not know its end.
    pub(crate) async fn has_task(&self, id: SessionId, task: TaskId) -> Result<bool, BridgeError> {
        Ok(self.store.has_session_task(id, task).await?)
    }

    /// Forgets tasks whose end the session's client knows.
    pub(crate) async fn forget_tasks(
        &self,
        id: SessionId,
        tasks: &[TaskId],
    ) -> Result<(), BridgeError> {
        Ok(self.store.forget_session_tasks(id, tasks).await?)
    }
}
