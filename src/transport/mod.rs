//! Transports: each carries messages of clients to [`mcp`](crate::mcp), and its replies back.

pub(crate) mod http;
