//! A test's own way to a server, past everything that is tested.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};

/// How long it waits for a connection, and for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A plain connection to a server.
pub(crate) async fn connect(url: &str) -> redis::RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    Client::open(url)?
        .get_multiplexed_async_connection_with_config(&config)
        .await
}
