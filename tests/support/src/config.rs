//! What the environment says to the tests.
#![expect(
    clippy::disallowed_methods,
    reason = "the one module of the tests that reads the environment"
)]

use std::path::PathBuf;

/// Names the server to test against: a path, or a name on PATH.
pub(crate) const REDIS_SERVER: &str = "TASKFERRY_TEST_REDIS";

/// What [`REDIS_SERVER`] says; `redis-server` if it is unset.
pub(crate) fn redis_server() -> PathBuf {
    std::env::var(REDIS_SERVER).map_or_else(|_unset| "redis-server".into(), PathBuf::from)
}
