//! What the environment says to the tests.
#![expect(
    clippy::disallowed_methods,
    reason = "the one module of the tests that reads the environment"
)]

use std::path::PathBuf;

/// The server to test against: `TASKFERRY_TEST_REDIS`, a path or a name on PATH. `redis-server` if unset.
pub(crate) fn redis_server() -> PathBuf {
    std::env::var("TASKFERRY_TEST_REDIS").map_or_else(|_unset| "redis-server".into(), PathBuf::from)
}
