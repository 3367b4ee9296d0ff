//! Large replies. On the shared connection every other reply would wait behind one, and a slow one would count as a broken
//! wire for all. So each is read over an exclusive connection, few at a time.

use std::time::Duration;

use redis::{Cmd, FromRedisValue};
use tokio::sync::Semaphore;

use super::{Connections, one_hash_slot, within};
use crate::error::Error;

/// The largest reply that is read over the shared connection, bytes.
const SMALL: u64 = 64 << 10;
/// So many large replies are read at a time: Redis sends no faster if there are more, and each takes memory here.
pub(super) const AT_ONCE: usize = 2;
/// A reply counts as late if it comes slower than this, bytes in a millisecond, beside the time that any reply has.
const LEAST_PACE: u64 = 1024;

impl Connections {
    /// Runs a command with a reply of about `bytes`. If a large reply is late or breaks off, only the connection that it has
    /// for itself is given up: whether the server still is the primary is found out by everything else that is asked of it.
    ///
    /// # Errors
    ///
    /// If Redis cannot be reached, refuses, or is too slow; also if too many large replies are read already.
    pub(crate) async fn read_sized<T: FromRedisValue>(
        &self,
        during: &'static str,
        command: &Cmd,
        bytes: u64,
    ) -> Result<T, Error> {
        if bytes <= SMALL {
            return self.command(during, command).await;
        }
        one_hash_slot::check_command(command);
        let primary = self.primary().await?;
        let _turn = self.turn(during, &primary.large).await?;
        // Closed in the end, and also if the caller leaves in the middle: what is still to come is not read then. A connection
        // that is kept keeps the buffer into which it read, too.
        let mut connection = deadpool_redis::Connection::take(primary.take(during).await?);
        let limit = self.response_timeout() + Duration::from_millis(bytes / LEAST_PACE);
        within(during, limit, command.query_async(&mut connection)).await
    }

    async fn turn<'a>(
        &self,
        during: &'static str,
        turns: &'a Semaphore,
    ) -> Result<tokio::sync::SemaphorePermit<'a>, Error> {
        let busy = || Error::Connection {
            during,
            reason: "too many large replies are being read".to_owned(),
        };
        let turn = tokio::time::timeout(self.response_timeout(), turns.acquire()).await;
        turn.ok().and_then(Result::ok).ok_or_else(busy)
    }
}
