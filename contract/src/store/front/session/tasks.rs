//! The tasks a session asked for, and up to where progress and log of each were delivered to its client.

use std::collections::HashMap;

use crate::error::Error;
use crate::model::ids::{SessionId, TaskId};
use crate::model::session::{DeliveryCursor, Lifetime};
use crate::store::Store;

impl Store {
    /// Notes that a session asked for a task, and forgets those that had expired when it was made.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn note_session_task(
        &self,
        id: SessionId,
        task: TaskId,
        lives: Lifetime,
    ) -> Result<(), Error> {
        let key = self.keys.session_tasks(id);
        let mut note = redis::pipe();
        note.cmd("ZREMRANGEBYSCORE")
            .arg(&key)
            .arg("-inf")
            .arg(lives.from_ms)
            .ignore()
            .cmd("ZADD")
            .arg(&key)
            .arg(lives.until_ms)
            .arg(task.to_string())
            .ignore();
        outlive(&mut note, &key, lives.until_ms);
        self.connections.pipeline("note_session_task", &note).await
    }

    /// The tasks a session asked for that have not expired, at most `limit` of those that live longest.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn session_tasks(&self, id: SessionId, limit: usize) -> Result<Vec<TaskId>, Error> {
        let now = self.now_ms().await?;
        let mut read = redis::cmd("ZRANGE");
        read.arg(self.keys.session_tasks(id))
            .arg("+inf")
            .arg(now)
            .arg("BYSCORE")
            .arg("REV")
            .arg("LIMIT")
            .arg(0)
            .arg(limit);
        let tasks: Vec<String> = self.connections.command("session_tasks", &read).await?;
        Ok(tasks.iter().filter_map(|task| task.parse().ok()).collect())
    }

    /// Whether a session asked for a task, and its client does not know yet how it ended.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn has_session_task(&self, id: SessionId, task: TaskId) -> Result<bool, Error> {
        let mut read = redis::cmd("ZSCORE");
        read.arg(self.keys.session_tasks(id)).arg(task.to_string());
        let score: Option<f64> = self.connections.command("has_session_task", &read).await?;
        Ok(score.is_some())
    }

    /// Forgets tasks of which nothing more will be sent to a session.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn forget_session_tasks(&self, id: SessionId, tasks: &[TaskId]) -> Result<(), Error> {
        if tasks.is_empty() {
            return Ok(());
        }
        let tasks: Vec<String> = tasks.iter().map(ToString::to_string).collect();
        let mut forget = redis::pipe();
        forget
            .cmd("ZREM")
            .arg(self.keys.session_tasks(id))
            .arg(&tasks)
            .ignore()
            .cmd("HDEL")
            .arg(self.keys.session_told(id))
            .arg(&tasks)
            .ignore();
        self.connections
            .pipeline("forget_session_tasks", &forget)
            .await
    }

    /// Notes up to where progress and log of a task that expires at `until_ms` were delivered to a session's client.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn note_delivery_cursor(
        &self,
        id: SessionId,
        task: TaskId,
        told: &DeliveryCursor,
        until_ms: i64,
    ) -> Result<(), Error> {
        let key = self.keys.session_told(id);
        let mut note = redis::pipe();
        note.atomic()
            .cmd("HSET")
            .arg(&key)
            .arg(task.to_string())
            .arg(told.write(until_ms))
            .ignore();
        outlive(&mut note, &key, until_ms);
        self.connections
            .pipeline("note_delivery_cursor", &note)
            .await
    }

    /// Up to where progress and log of each task were delivered to a session's client. Forgets tasks that have expired at
    /// `now_ms`.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn delivery_cursors(
        &self,
        id: SessionId,
        now_ms: i64,
    ) -> Result<HashMap<TaskId, DeliveryCursor>, Error> {
        let mut read = redis::cmd("HGETALL");
        read.arg(self.keys.session_told(id));
        let fields: HashMap<String, String> =
            self.connections.command("delivery_cursors", &read).await?;
        let (mut all, mut expired) = (HashMap::new(), Vec::new());
        for (task, told) in &fields {
            match (task.parse(), DeliveryCursor::read(told)) {
                (Ok(task), Some((until_ms, told))) if until_ms > now_ms => {
                    all.insert(task, told);
                }
                _ => expired.push(task),
            }
        }
        if !expired.is_empty() {
            let mut forget = redis::cmd("HDEL");
            forget.arg(self.keys.session_told(id)).arg(&expired);
            self.connections
                .command::<i64>("delivery_cursors", &forget)
                .await?;
        }
        Ok(all)
    }
}

/// Lets a key live as long as its longest-lived member.
fn outlive(pipe: &mut redis::Pipeline, key: &str, until_ms: i64) {
    for which in ["NX", "GT"] {
        pipe.cmd("PEXPIREAT")
            .arg(key)
            .arg(until_ms)
            .arg(which)
            .ignore();
    }
}
