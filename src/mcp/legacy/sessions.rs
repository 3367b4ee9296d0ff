//! What this front end knows of the sessions that are used here.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use taskferry_contract::{SenderId, SessionId, TaskId};
use taskferry_process::{Share, Shares};
use tokio::sync::mpsc;

use crate::bridge::Bridge;

/// How many GET streams a session may have open here. Only one of them speaks.
pub(super) const MOST_STREAMS: usize = 8;
/// With fewer touched sessions than this, old ones are not removed.
const SWEPT_FROM: usize = 10_000;

/// When this front end last wrote to Redis that a session is in use: a request reads its session, but only a few write.
#[derive(Debug)]
pub(super) struct Sessions {
    idle: Duration,
    touched: Mutex<Touched>,
    /// The GET stream of each session that speaks for it, if that is here.
    streams: Mutex<HashMap<SessionId, OpenStream>>,
    /// How many GET streams each session has open here.
    open: Shares<SessionId>,
}

/// When sessions were touched. Old ones are swept out whenever there are twice as many as the last sweep left, so that the
/// scans cost no more than the entries did.
#[derive(Debug)]
struct Touched {
    at: HashMap<SessionId, Instant>,
    sweep_at: usize,
}

impl Default for Touched {
    fn default() -> Self {
        Self {
            at: HashMap::new(),
            sweep_at: SWEPT_FROM,
        }
    }
}

impl Touched {
    /// Whether a session was not touched within `every` before `now`; it is now.
    fn is_due(&mut self, id: SessionId, now: Instant, every: Duration) -> bool {
        let fresh = |at: &Instant| now.duration_since(*at) < every;
        if self.at.get(&id).is_some_and(fresh) {
            return false;
        }
        if self.at.len() >= self.sweep_at {
            self.at.retain(|_, at| fresh(at));
            self.sweep_at = SWEPT_FROM.max(self.at.len() * 2);
        }
        self.at.insert(id, now);
        true
    }
}

/// A GET stream that speaks for its session.
#[derive(Debug)]
struct OpenStream {
    sender: SenderId,
    rings: mpsc::Sender<TaskId>,
}

impl Sessions {
    pub(super) fn new(idle: Duration) -> Self {
        Self {
            idle,
            touched: Mutex::default(),
            streams: Mutex::default(),
            open: Shares::default(),
        }
    }

    /// Counts a GET stream that a session opens. `None` if it has as many open here as it may.
    pub(super) fn count_stream(&self, id: SessionId) -> Option<Share<SessionId>> {
        self.open.take(id, MOST_STREAMS)
    }

    /// Whether the session's expiry should be moved now: at most ten times in its idle time.
    pub(super) fn is_due(&self, id: SessionId, now: Instant) -> bool {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        touched.is_due(id, now, self.idle / 10)
    }

    /// Keeps a session in use for as long as this is waited for, which never ends.
    pub(super) async fn keep(&self, bridge: &Bridge, id: SessionId) -> Infallible {
        loop {
            tokio::time::sleep(self.idle / 3).await;
            if let Err(error) = bridge.sessions().touch(id, self.idle).await {
                tracing::warn!(session = %id.digest(), error = error.sentence(), "a session in use could not be kept");
            }
        }
    }

    /// Lets a GET stream, named by its sender, be rung.
    pub(super) fn open_stream(
        &self,
        id: SessionId,
        sender: &SenderId,
        rings: mpsc::Sender<TaskId>,
    ) {
        let sender = sender.clone();
        self.streams().insert(id, OpenStream { sender, rings });
    }

    /// Whether any GET stream is open here.
    pub(super) fn has_streams(&self) -> bool {
        !self.streams().is_empty()
    }

    /// Makes the session's stream, if it is here, read a task again. One that is too busy does so by itself soon.
    pub(super) fn ring(&self, id: SessionId, task: TaskId) {
        if let Some(open) = self.streams().get(&id) {
            let _looks_by_itself = open.rings.try_send(task);
        }
    }

    /// Rings a GET stream no longer.
    pub(super) fn close_stream(&self, id: SessionId, sender: &SenderId) {
        let mut streams = self.streams();
        if streams.get(&id).is_some_and(|open| open.sender == *sender) {
            streams.remove(&id);
        }
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<SessionId, OpenStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_in_use_is_kept_by_a_few_of_its_requests() {
        let (sessions, id) = (Sessions::new(Duration::from_secs(60)), SessionId::random());
        let start = Instant::now();
        let due = |seconds| sessions.is_due(id, start + Duration::from_secs(seconds));
        let written: Vec<u64> = (0..=60).filter(|second| due(*second)).collect();
        assert_eq!(written, [0, 6, 12, 18, 24, 30, 36, 42, 48, 54, 60]);
    }

    #[test]
    fn touched_sessions_are_swept_seldom_and_the_old_ones_go() {
        let (mut touched, every) = (Touched::default(), Duration::from_secs(60));
        let start = Instant::now();
        let mut sweeps = 0;
        for _ in 0..SWEPT_FROM * 5 {
            let before = touched.sweep_at;
            assert!(touched.is_due(SessionId::random(), start, every));
            sweeps += usize::from(touched.sweep_at != before);
        }
        assert_eq!((sweeps, touched.at.len()), (3, SWEPT_FROM * 5));

        let (id, later) = (SessionId::random(), start + every);
        touched.sweep_at = touched.at.len();
        assert!(touched.is_due(id, later, every));
        assert!(!touched.is_due(id, later, every));
        assert_eq!((touched.at.len(), touched.sweep_at), (1, SWEPT_FROM));
    }
}
