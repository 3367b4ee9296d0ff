//! The connections to one server, which are given up together when it is no longer the primary.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, RedisError};
use tokio_util::sync::CancellationToken;

use super::CONNECT;
use crate::error::{Error, has_code};

/// How long is waited between two tries of one connection.
const BETWEEN_TRIES: Duration = Duration::from_millis(300);

/// A shared connection, a pool of exclusive ones, and whether the server they lead to is still the right one.
pub(super) struct Line {
    pub(super) client: Client,
    pub(super) manager: ConnectionManager,
    pub(super) exclusive: deadpool_redis::Pool,
    over: CancellationToken,
}

impl Line {
    /// Prepares connections; none is opened before the first command.
    pub(super) fn open(
        info: ConnectionInfo,
        response_timeout: Duration,
        exclusive: usize,
    ) -> Result<Arc<Self>, Error> {
        let during = "preparing connections";
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(response_timeout))
            .set_number_of_retries(1)
            .set_max_delay(BETWEEN_TRIES);
        let client = Client::open(info.clone()).map_err(Error::redis(during))?;
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), config)
            .map_err(Error::redis(during))?;
        // A response timeout would end a blocking read here while the server still hands the entry out.
        let blocking = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(None);
        let pool = deadpool_redis::Manager::new_with_config(info, blocking)
            .map_err(Error::redis(during))?;
        let exclusive = deadpool_redis::Pool::builder(pool)
            .max_size(exclusive)
            .runtime(deadpool_redis::Runtime::Tokio1)
            .wait_timeout(Some(CONNECT))
            .create_timeout(Some(CONNECT))
            .recycle_timeout(Some(CONNECT))
            .build()
            .map_err(|source| Error::Connection {
                during,
                reason: source.to_string(),
            })?;
        Ok(Arc::new(Self {
            client,
            manager,
            exclusive,
            over: CancellationToken::new(),
        }))
    }

    /// Whether it has been given up.
    pub(super) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Resolves when it is given up.
    pub(super) async fn given_up(&self) {
        self.over.cancelled().await;
    }

    /// Gives it up: whoever waits on it looks for the primary again.
    pub(super) fn give_up(&self) {
        self.over.cancel();
    }

    /// Passes an outcome on; gives the line up if it says that the primary may be elsewhere by now. A manager alone would
    /// reconnect to the same address, and stay on a server that became read-only or silent.
    pub(super) fn settle<T>(
        &self,
        during: &'static str,
        outcome: Result<T, RedisError>,
    ) -> Result<T, Error> {
        self.judge(outcome.map_err(Error::redis(during)))
    }

    /// As [`Self::settle`], for what has been given its context.
    pub(super) fn judge<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        let moved = match &outcome {
            Err(Error::Redis { source, .. }) => may_have_moved(source),
            Err(Error::Connection { .. }) => true,
            _ => false,
        };
        if moved {
            self.give_up();
        }
        outcome
    }

    /// An exclusive connection. One that cannot be had because all are in use says nothing of the server.
    pub(super) async fn take(
        &self,
        during: &'static str,
    ) -> Result<deadpool_redis::Connection, Error> {
        use deadpool_redis::{PoolError, TimeoutType};
        self.exclusive.get().await.map_err(|source| {
            if !matches!(source, PoolError::Timeout(TimeoutType::Wait)) {
                self.give_up();
            }
            Error::Connection {
                during,
                reason: source.to_string(),
            }
        })
    }
}

/// Whether an error is what one meets at a primary that died, froze or was demoted. UNBLOCKED ends the blocking reads of
/// a server that becomes a replica.
fn may_have_moved(source: &RedisError) -> bool {
    source.kind() == ErrorKind::Io || has_code(source, &["READONLY", "UNBLOCKED", "MASTERDOWN"])
}
