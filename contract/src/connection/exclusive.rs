//! Connections that one task uses alone while it waits for Redis: for blocking reads, and for WAIT.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, FromRedisValue, Value};

use super::primary::Primary;
use super::{CONNECT, Connections, one_hash_slot, within};
use crate::error::Error;
use crate::model::durability::Replication;
use crate::script::TransitionCall;

/// How long a blocking read may take to end by itself after its server was given up.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A connection that one reader holds while it blocks. Never drop a read halfway: the server may have delivered an entry
/// already; end it with [`Connections::unblock`].
pub struct BlockingConnection {
    /// `None` after a command got no answer.
    connection: Option<deadpool_redis::Connection>,
    client_id: i64,
    primary: Arc<Primary>,
    response_timeout: Duration,
}

impl std::fmt::Debug for BlockingConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockingConnection")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl BlockingConnection {
    /// What [`Connections::unblock`] needs.
    #[must_use]
    pub fn client_id(&self) -> i64 {
        self.client_id
    }

    /// Runs a command that Redis answers within `block`. Without an answer long after that, or soon after the server was
    /// given up, the connection is dead: entries that were delivered into it are pending, and are read again.
    pub(crate) async fn command<T: FromRedisValue>(
        &mut self,
        during: &'static str,
        command: &Cmd,
        block: Duration,
    ) -> Result<T, Error> {
        one_hash_slot::check_command(command);
        let left = || Error::Connection {
            during,
            reason: "the server was given up; looking for the primary again".to_owned(),
        };
        let Some(connection) = self.connection.as_mut().filter(|_| !self.primary.is_over()) else {
            return Err(left());
        };
        let reply = command.query_async(connection);
        let outcome = tokio::select! {
            outcome = within(during, block + self.response_timeout, reply) => outcome,
            () = async {
                self.primary.given_up().await;
                tokio::time::sleep(LAST_WORDS).await;
            } => Err(left()),
        };
        if matches!(outcome, Err(Error::Connection { .. })) {
            // A read that got no answer may block still: a server that lives would deliver entries into it.
            drop(self.connection.take().map(deadpool_redis::Connection::take));
        }
        self.primary.note_result(outcome)
    }
}

impl Connections {
    /// An exclusive connection for reads that block.
    ///
    /// # Errors
    ///
    /// If Redis cannot be reached, or all exclusive connections are in use.
    pub async fn blocking(&self) -> Result<BlockingConnection, Error> {
        let during = "a blocking read";
        let primary = self.primary().await?;
        let mut connection = primary.take(during).await?;
        let mut command = redis::cmd("CLIENT");
        command.arg("ID");
        let id = within(during, CONNECT, command.query_async(&mut connection)).await;
        Ok(BlockingConnection {
            connection: Some(connection),
            client_id: primary.note_result(id)?,
            primary,
            response_timeout: self.response_timeout(),
        })
    }

    /// Runs a transition, and then waits until Redis replicas have what it wrote, if `matters` says so of its reply. Both
    /// go over one exclusive connection: WAIT speaks of the writes of its connection, and holds up whatever comes behind
    /// it.
    ///
    /// # Errors
    ///
    /// [`Error::NotReplicated`] if too few acknowledged in time; others if Redis fails. It may have run in both cases.
    pub(crate) async fn replicated_transition(
        &self,
        call: TransitionCall<'_>,
        replication: Replication,
        matters: impl FnOnce(&Value) -> bool,
    ) -> Result<Value, Error> {
        one_hash_slot::check_transition(call);
        let (during, timeout) = (call.transition.name, self.response_timeout());
        let primary = self.primary().await?;
        primary.check_size(during, call.largest()).await?;
        let mut connection = primary.take(during).await?;
        let value = within(during, timeout, call.run(&mut connection)).await;
        let value = primary.note_result(value)?;
        if !matters(&value) {
            return Ok(value);
        }
        let mut wait = redis::cmd("WAIT");
        wait.arg(replication.replicas)
            .arg(replication.timeout.as_millis().max(1));
        let patience = replication.timeout + timeout;
        let acknowledged: u64 = primary
            .note_result(within("WAIT", patience, wait.query_async(&mut connection)).await)?;
        if acknowledged < u64::from(replication.replicas) {
            return Err(Error::NotReplicated {
                during,
                wanted: replication.replicas,
                acknowledged,
            });
        }
        Ok(value)
    }
}
