//! Requests of a session that wait: the client can cancel them, or resume them over another connection, at any front end.

use std::time::Duration;

use taskferry_contract::{Leaver, Owner, RequestNote, SessionId, Store, TaskId};

use crate::audit::Audit;
use crate::bridge::error::retry_once;
use crate::bridge::plain_call::leave_call;
use crate::bridge::{BridgeError, Watch};

/// A connection whose client went on over another one learns of it within this time, or never needs to.
const TAKEN_OVER_FOR: Duration = Duration::from_secs(60);

/// How long the note of a request stays that was answered: longer than its client comes back for the answer.
const ANSWERED_KEPT: Duration = Duration::from_secs(120);

/// What is known of the requests of sessions. A request is named by a digest of its id.
#[derive(Debug)]
pub(crate) struct SessionRequests {
    store: Store,
    audit: Audit,
}

impl SessionRequests {
    pub(in crate::bridge) fn new(store: Store, audit: Audit) -> Self {
        Self { store, audit }
    }

    /// Notes for `lasts` that a request begins: from now on it can be cancelled at any front end, and an earlier cancel
    /// under its name does not count for it. If that cannot be noted, the request is served all the same.
    pub(crate) async fn begin(&self, session: SessionId, request: &str, lasts: Duration) {
        let begin = || self.store.begin_session_request(session, request, lasts);
        if let Err(error) = retry_once(begin).await {
            tracing::warn!(session = %session.digest(), %error, "a request cannot be cancelled by its client");
        }
    }

    /// Notes for `kept` which job stands behind a request, and by which id the request shares it. True if the request was
    /// cancelled since it began, by way of another front end: then it leaves the job here.
    pub(crate) async fn note_job(
        &self,
        session: SessionId,
        request: &str,
        watch: &Watch,
        kept: Duration,
    ) -> Result<bool, BridgeError> {
        let note = |name: String, job: TaskId| async move {
            let noted = retry_once(|| self.store.note_session_call(session, &name, job, kept));
            noted.await
        };
        if watch.has_joined() {
            note(sharer_note(watch.id(), request), watch.joined_as()).await?;
        }
        let was_cancelled = note(request.to_owned(), watch.id()).await?;
        if was_cancelled {
            self.leave(watch.id(), watch.owner(), on_purpose(watch.joined_as()))
                .await?;
        }
        Ok(was_cancelled)
    }

    /// Notes that a request was answered: what is known of it goes soon, so that what a session leaves behind is bounded by
    /// how often it asks. Until then its client may come back for the answer.
    pub(crate) async fn answered(&self, session: SessionId, request: &str) {
        let shorten = self
            .store
            .shorten_session_request(session, request, ANSWERED_KEPT);
        if let Err(error) = shorten.await {
            tracing::debug!(session = %session.digest(), %error, "what is known of a request stays until it expires");
        }
    }

    /// Cancels a request, and so takes it off the job behind it, if there is one. A request that did not begin is ignored.
    pub(crate) async fn cancel(
        &self,
        session: SessionId,
        request: &str,
        owner: &Owner,
    ) -> Result<(), BridgeError> {
        let job = self.store.cancel_session_request(session, request).await?;
        let Some(job) = job else {
            return Ok(());
        };
        let name = sharer_note(job, request);
        let sharer = self.store.session_call(session, &name).await?;
        let leaver = on_purpose(sharer.unwrap_or(job));
        self.leave(job, owner, leaver).await
    }

    async fn leave(&self, job: TaskId, owner: &Owner, leaver: Leaver) -> Result<(), BridgeError> {
        match leave_call((&self.store, &self.audit), job, owner, leaver).await {
            Ok(()) | Err(BridgeError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Which job stands behind a request, and whether it was cancelled.
    pub(crate) async fn find(
        &self,
        session: SessionId,
        request: &str,
    ) -> Result<RequestNote, BridgeError> {
        Ok(self.store.session_request(session, request).await?)
    }

    /// Notes that the client of a connection, which waits for a job, goes on over another one.
    pub(crate) async fn take_over(
        &self,
        session: SessionId,
        connection: u64,
        job: TaskId,
    ) -> Result<(), BridgeError> {
        let name = taken_over(connection);
        let note = self
            .store
            .note_session_call(session, &name, job, TAKEN_OVER_FOR);
        note.await?;
        Ok(())
    }

    /// Whether the client of a connection went on over another one.
    pub(crate) async fn is_taken_over(
        &self,
        session: SessionId,
        connection: u64,
    ) -> Result<bool, BridgeError> {
        let name = taken_over(connection);
        Ok(self.store.session_call(session, &name).await?.is_some())
    }
}

fn on_purpose(sharer: TaskId) -> Leaver {
    Leaver {
        sharer,
        on_purpose: true,
    }
}

/// The name under which is noted by which id a request shares a job that it joined.
fn sharer_note(job: TaskId, request: &str) -> String {
    format!("holding-{job}-{request}")
}

/// The name under which is noted that the client of a connection went on over another one.
fn taken_over(connection: u64) -> String {
    format!("resumed-{connection:016x}")
}
