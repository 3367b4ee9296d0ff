//! The worker runtime of Taskferry.
//!
//! Two ways lead to a tool: a [`manifest`] maps a tool to a command that
//! [`exec`] runs, and a Rust [`Handler`] is an async function.

/// The examples in the handbook compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/WORKERS.md")]
struct Handbook;

pub mod cli;
mod config;
mod core;
pub mod exec;
mod exec_tool;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod manifest;
mod open_files;
mod result;
mod runtime;
mod sdk;
mod sums;
mod trial;
pub mod units;
mod worker;

pub use exec::supervise_if_told;
pub use manifest::QueueShare;
pub use sdk::{
    AskError, AskRequest, Handler, HandlerFuture, HandlerResult, JobContext, ToolError, ToolOutput,
};
pub use taskferry_contract as contract;
pub use worker::{
    BuildError, Builder, Drained, LONGEST_LEASE, MAX_RESULT, MOST_SLOTS, SHORTEST_LEASE, Worker,
};
