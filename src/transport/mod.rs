//! Transports: each carries messages of clients to [`mcp`](crate::mcp), and its replies back.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(crate) mod http;
