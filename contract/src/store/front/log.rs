//! Log lines of jobs, as front ends read them for the clients that want them.

use crate::error::Error;
use crate::model::ids::{SessionId, TaskId};
use crate::model::log::{LogLevel, LogLine};
use crate::script::TRANSITIONS;
use crate::store::Store;

impl Store {
    /// Up to `limit` lines of a job after the place `after`, from the first without one.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn log_lines(
        &self,
        id: TaskId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<LogLine>, Error> {
        let start = after.map_or_else(|| "-".to_owned(), |place| format!("({place}"));
        let mut read = redis::cmd("XRANGE");
        read.arg(self.keys.log(id))
            .arg(start)
            .arg("+")
            .arg("COUNT")
            .arg(limit);
        let entries: Vec<(String, Vec<String>)> =
            self.connections.command("log_lines", &read).await?;
        let line = |(place, fields): (String, Vec<String>)| match fields.as_slice() {
            [_, level, _, text] => Some(LogLine {
                place,
                level: level.parse().ok()?,
                text: text.clone(),
            }),
            _ => None,
        };
        Ok(entries.into_iter().filter_map(line).collect())
    }

    /// Sets from which level on a session gets its jobs' log lines. Returns whether there is such a session.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn set_session_level(&self, id: SessionId, level: LogLevel) -> Result<bool, Error> {
        let key = self.keys.session(id);
        let reply = self
            .call(&TRANSITIONS.set_session_level, &[&key], &[level.as_str()])
            .await?;
        match reply.tag.as_str() {
            "OK" => Ok(true),
            "GONE" => Ok(false),
            _ => Err(reply.unknown()),
        }
    }
}
