//! Taskferry's front end: MCP over HTTP on one side, jobs in Redis on the other.
//!
//! `transport` takes requests, has `identity` say who sent them, and hands them to `mcp`, which picks the protocol era and speaks it on top of `bridge`, the use
//! cases; those call `taskferry_contract`. `audit` notes what callers do on the way. Beside them, `cli` shows what the use cases of `operator` find. The arrows run in
//! this direction only; `serve` puts a front end together.
//!
//! The program is [`run`]; it is a library so that fuzz targets can be linked against its parsers, too.

mod audit;
mod bridge;
mod cli;
mod config;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod identity;
mod mcp;
mod operator;
mod serve;
mod transport;

use std::process::ExitCode;

/// Does what the command line says. To be called once, in a runtime of several threads.
pub async fn run() -> ExitCode {
    taskferry_process::deny_inspection();
    let code = cli::run().await;
    taskferry_process::output::flush_log();
    code
}
