//! Large replies and requests. On the shared connection every other would wait behind one, and a slow one would count as a
//! broken wire for all. So each travels over an exclusive connection, few at a time.

use std::time::Duration;

use redis::{Cmd, FromRedisValue, Value};
use tokio::sync::Semaphore;

use super::{Connections, misplaced, name_wrong_keys, one_hash_slot, within};
use crate::error::Error;
use crate::script::TransitionCall;

/// The largest reply or piece of a request that travels over the shared connection, bytes.
const SMALL: u64 = 64 << 10;
/// So many large replies are read at a time, and so many large requests sent: it goes no faster if there are more, and each
/// takes memory here.
pub(super) const AT_ONCE: usize = 2;
/// A reply counts as late if it comes slower than this, bytes in a millisecond, beside the time that any reply has.
const LEAST_PACE: u64 = 1024;

/// Whether a transition has a piece that travels over a connection of its own.
pub(super) fn is_large(call: TransitionCall<'_>) -> bool {
    call.largest() as u64 > SMALL
}

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
        let _turn = self.turn(during, &primary.large_replies).await?;
        // Closed in the end, and also if the caller leaves in the middle: what is still to come is not read then. A connection
        // that is kept keeps the buffer into which it read, too.
        let mut connection = deadpool_redis::Connection::take(primary.take(during).await?);
        let limit = self.response_timeout() + Duration::from_millis(bytes / LEAST_PACE);
        within(during, limit, command.query_async(&mut connection)).await
    }

    /// Runs a transition with a large piece. If it is late or breaks off, the server is given up only if it does not answer
    /// others either.
    pub(super) async fn large_transition(&self, call: TransitionCall<'_>) -> Result<Value, Error> {
        let (during, bytes) = (call.transition.name, call.largest());
        let primary = self.primary().await?;
        primary.check_size(during, bytes).await?;
        let _turn = self.turn(during, &primary.large_requests).await?;
        // A connection that is kept keeps the buffer of what it sent.
        let mut connection = deadpool_redis::Connection::take(primary.take(during).await?);
        let limit = self.response_timeout() + Duration::from_millis(bytes as u64 / LEAST_PACE);
        let outcome = within(during, limit, call.run(&mut connection)).await;
        let outcome = primary.note_further(outcome).await;
        name_wrong_keys(&primary, outcome, || misplaced::touched(call)).await
    }

    async fn turn<'a>(
        &self,
        during: &'static str,
        turns: &'a Semaphore,
    ) -> Result<tokio::sync::SemaphorePermit<'a>, Error> {
        let waited = self.response_timeout();
        let turn = tokio::time::timeout(waited, turns.acquire()).await;
        let busy = || Error::Busy { during, waited };
        turn.ok().and_then(Result::ok).ok_or_else(busy)
    }
}
