//! Which workers serve the queues, so that callers can be shown what their jobs wait for.

use crate::error::Error;
use crate::model::worker::{Fleet, HELD};
use crate::store::{Store, millis};

/// At most so many workers are read at once.
const AT_ONCE: usize = 500;

impl Store {
    /// Which workers serve the queues: those that reported within three beats (30 s) and are not draining.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn fleet(&self) -> Result<Fleet, Error> {
        let now_ms = self.now_ms().await?;
        let mut beats = redis::cmd("ZRANGE");
        beats
            .arg(self.keys.workers())
            .arg(now_ms.saturating_sub(millis(HELD)))
            .arg("+inf")
            .arg("BYSCORE");
        let workers: Vec<String> = self.connections.command("fleet", &beats).await?;
        let workers: Vec<_> = workers.iter().filter_map(|id| id.parse().ok()).collect();
        let mut fleet = Fleet::at(i64::try_from(now_ms).unwrap_or(i64::MAX));
        for some in workers.chunks(AT_ONCE) {
            let mut read = redis::pipe();
            for worker in some {
                read.cmd("HMGET")
                    .arg(self.keys.worker(worker))
                    .arg(&["tools", "queues", "doing", "busy", "slots"]);
            }
            let told: Vec<[Option<String>; 5]> = self.connections.pipeline("fleet", &read).await?;
            told.into_iter().for_each(|one| fleet.add(one));
        }
        Ok(fleet)
    }
}
