//! Taskferry's front end: MCP over HTTP on one side, jobs in Redis on the other.
//!
//! `transport` takes requests, has `identity` say who sent them, and hands them to `mcp`, which picks the protocol era and speaks it on top of `bridge`, the use
//! cases; those call `taskferry_contract`. `audit` notes what callers do on the way. Beside them, `cli` shows what the use cases of `operator` find. The arrows run in
//! this direction only; `serve` puts a front end together.

mod audit;
mod bridge;
mod cli;
mod config;
mod identity;
mod mcp;
mod operator;
mod serve;
mod transport;

use std::process::ExitCode;

/// Its threads pass what they allocate from one to another, at every request: the system's allocator spends a fifth of a
/// poll on that, and keeps more after a burst.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    taskferry_process::deny_inspection();
    let code = cli::run().await;
    taskferry_process::output::flush_log();
    code
}
