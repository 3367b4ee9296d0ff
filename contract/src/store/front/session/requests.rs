//! Requests of a session that may be cancelled, on whichever front end the cancellation comes in.
//!
//! A cancellation counts for a request that began, and for nothing that begins later under the same id. So whoever serves a
//! request notes that it begins, before anything else; that also forgets what was cancelled under its id before.

use std::time::Duration;

use crate::error::Error;
use crate::model::ids::{SessionId, TaskId};
use crate::model::session::RequestNote;
use crate::store::{Store, millis};

/// Stands in place of the job behind a request that has none, or none yet.
const BEGUN: &str = "begun";

/// How long a cancellation is known: longer than a client comes back for the stream of the request.
const CANCEL_KEPT: Duration = Duration::from_secs(600);

/// Under which name a request was cancelled.
fn cancelled(request: &str) -> String {
    format!("cancelled-{request}")
}

impl Store {
    /// Notes for `kept` that a request began. `request` is a digest of its id.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn begin_session_request(
        &self,
        id: SessionId,
        request: &str,
        kept: Duration,
    ) -> Result<(), Error> {
        let mut begin = redis::pipe();
        begin
            .cmd("SET")
            .arg(self.keys.session_call(id, request))
            .arg(BEGUN)
            .arg("PX")
            .arg(millis(kept))
            .ignore()
            .cmd("DEL")
            .arg(self.keys.session_call(id, &cancelled(request)))
            .ignore();
        self.connections
            .pipeline("begin_session_request", &begin)
            .await
    }

    /// Notes for `kept` which job stands behind a plain call of a session. `request` is a digest of the request's id, or
    /// another name that the caller chose. True if the call was cancelled since it began.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn note_session_call(
        &self,
        id: SessionId,
        request: &str,
        task: TaskId,
        kept: Duration,
    ) -> Result<bool, Error> {
        let mut note = redis::pipe();
        note.cmd("SET")
            .arg(self.keys.session_call(id, request))
            .arg(task.to_string())
            .arg("PX")
            .arg(millis(kept))
            .ignore()
            .cmd("EXISTS")
            .arg(self.keys.session_call(id, &cancelled(request)));
        let (cancelled,): (bool,) = self
            .connections
            .pipeline("note_session_call", &note)
            .await?;
        Ok(cancelled)
    }

    /// Lets the note of a request live for `kept` at most from now on, since the request was answered.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn shorten_session_request(
        &self,
        id: SessionId,
        request: &str,
        kept: Duration,
    ) -> Result<(), Error> {
        let mut shorten = redis::cmd("PEXPIRE");
        shorten
            .arg(self.keys.session_call(id, request))
            .arg(millis(kept))
            .arg("LT");
        self.connections
            .command::<i64>("shorten_session_request", &shorten)
            .await
            .map(drop)
    }

    /// The job behind a plain call of a session.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn session_call(
        &self,
        id: SessionId,
        request: &str,
    ) -> Result<Option<TaskId>, Error> {
        let mut read = redis::cmd("GET");
        read.arg(self.keys.session_call(id, request));
        let noted: Option<String> = self.connections.command("session_call", &read).await?;
        Ok(noted.and_then(|noted| noted.parse().ok()))
    }

    /// Notes that a request is cancelled, and says which job stands behind it, if one does. A request that is not known
    /// cannot be cancelled: nothing is noted. The cancellation is written before the note is read, and who queues a job
    /// writes the note before it reads the cancellation: so one of the two sees the other.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn cancel_session_request(
        &self,
        id: SessionId,
        request: &str,
    ) -> Result<Option<TaskId>, Error> {
        let key = self.keys.session_call(id, &cancelled(request));
        let mut mark = redis::pipe();
        mark.cmd("SET")
            .arg(&key)
            .arg(1)
            .arg("PX")
            .arg(millis(CANCEL_KEPT))
            .ignore()
            .cmd("GET")
            .arg(self.keys.session_call(id, request));
        let (noted,): (Option<String>,) = self
            .connections
            .pipeline("cancel_session_request", &mark)
            .await?;
        if noted.is_none() {
            let mut forget = redis::cmd("DEL");
            forget.arg(&key);
            self.connections
                .command::<i64>("cancel_session_request", &forget)
                .await?;
        }
        Ok(noted.and_then(|noted| noted.parse().ok()))
    }

    /// What is known of a request. One that is not known was not cancelled.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn session_request(
        &self,
        id: SessionId,
        request: &str,
    ) -> Result<RequestNote, Error> {
        let mut read = redis::pipe();
        read.cmd("GET")
            .arg(self.keys.session_call(id, request))
            .cmd("EXISTS")
            .arg(self.keys.session_call(id, &cancelled(request)));
        let (noted, cancelled): (Option<String>, bool) =
            self.connections.pipeline("session_request", &read).await?;
        Ok(RequestNote {
            job: noted.and_then(|noted| noted.parse().ok()),
            cancelled,
        })
    }
}
