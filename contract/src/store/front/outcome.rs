//! How an ended job's outcome is read: apart from the record, since it may be large.

use crate::error::Error;
use crate::model::ids::TaskId;
use crate::model::job::TaskView;
use crate::model::status::Status;
use crate::store::Store;
use crate::store::record::{VIEW_FIELDS, malformed, view_from_values};

/// An outcome as the record of an ended job has it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredOutcome {
    /// The result, byte for byte as the worker wrote it: a JSON object.
    pub result: Option<String>,
    /// The JSON-RPC error object of a failed job.
    pub error: Option<String>,
}

impl Store {
    /// Reads a task with result and error; no write. One Redis read while it has not ended, then one more for the outcome,
    /// which if large travels over a connection of its own.
    ///
    /// # Errors
    ///
    /// As [`Self::view`].
    pub async fn view_with_outcome(&self, id: TaskId) -> Result<Option<TaskView>, Error> {
        let Some((mut view, bytes)) = self.view_with_size(id).await? else {
            return Ok(None);
        };
        if bytes == 0 {
            return Ok(Some(view));
        }
        let outcome = self.outcome(id, bytes).await?;
        Ok(outcome.map(|outcome| {
            view.result = outcome.result.map(Into::into);
            view.error = outcome.error.map(Into::into);
            view
        }))
    }

    /// Reads the outcome of an ended job, of which [`Self::view_with_size`] said that it is of `bytes`. `None` if the record
    /// has expired.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn outcome(&self, id: TaskId, bytes: u64) -> Result<Option<StoredOutcome>, Error> {
        let mut read = redis::cmd("HMGET");
        read.arg(self.keys.record(id))
            .arg(&["status", "result", "error"]);
        let values = self.connections.read_sized("outcome", &read, bytes);
        let (status, result, error): (Option<String>, _, _) = values.await?;
        Ok(status.map(|_ended| StoredOutcome { result, error }))
    }

    /// Reads a task without its outcome, and how large that is, bytes: 0 if there is none, or none yet.
    ///
    /// # Errors
    ///
    /// As [`Self::view`].
    pub async fn view_with_size(&self, id: TaskId) -> Result<Option<(TaskView, u64)>, Error> {
        let mut read = redis::cmd("HMGET");
        read.arg(self.keys.record(id))
            .arg(&VIEW_FIELDS[..])
            .arg("outcome_bytes");
        let mut values: Vec<Option<String>> = self.connections.command("view", &read).await?;
        let size = values.pop().flatten();
        let Some(view) = view_from_values(id, values)? else {
            return Ok(None);
        };
        let bytes = match (view.status, size) {
            (_, Some(size)) => {
                let unreadable = |_| malformed(id, "outcome_bytes", &size);
                size.parse().map_err(unreadable)?
            }
            (Status::Completed | Status::Failed, None) => self.measure_outcome(id).await?,
            (_, None) => 0,
        };
        Ok(Some((view, bytes)))
    }

    /// How large the outcome is of a job that ended under a version which did not note that.
    async fn measure_outcome(&self, id: TaskId) -> Result<u64, Error> {
        let mut measure = redis::pipe();
        for field in ["result", "error"] {
            measure.cmd("HSTRLEN").arg(self.keys.record(id)).arg(field);
        }
        let (result, error): (u64, u64) = self.connections.pipeline("outcome", &measure).await?;
        Ok(result.saturating_add(error))
    }
}
