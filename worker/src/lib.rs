//! The worker runtime of Taskferry.
//!
//! Two ways lead to a tool: a [`manifest`] maps a tool to a command that
//! [`exec`] runs, and a Rust handler is an async function.

pub mod exec;
pub mod manifest;
pub mod units;
