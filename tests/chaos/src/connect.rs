//! The harness's own way to Redis.

use std::time::Duration;

use taskferry_testing::redis::aio::MultiplexedConnection;
use taskferry_testing::redis::{self, AsyncConnectionConfig, RedisError};

use crate::topology::Topology;

/// How long the harness waits for a command of its own.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection of the harness's own, past every proxy.
pub(crate) async fn connect(topology: &Topology) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    redis::Client::open(topology.url.as_str())?
        .get_multiplexed_async_connection_with_config(&config)
        .await
}
