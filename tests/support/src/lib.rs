//! What the test suites share: private Redis servers, real processes, waiting for a condition, and the checks every
//! test ends with. Everything here fails a test by panicking with what to do about it.
#![expect(
    clippy::panic,
    reason = "a helper of tests tells what is wrong by failing the test"
)]

mod at_end;
mod certificates;
mod cgroup;
mod config;
mod connect;
mod eventually;
pub mod fuzz;
pub mod invariants;
mod ports;
mod process;
mod proxy;
mod sentinel;
mod server;

pub use certificates::{Authority, Certificate};
pub use cgroup::TestCgroup;
pub use eventually::{eventually, eventually_some, let_begin, promptly, stays};
pub use ports::free_port;
pub use process::{Process, command, group_lives};
pub use proxy::Proxy;
pub use redis;
pub use sentinel::Sentinels;
pub use server::{AppendOnly, ServerOptions, TestServer, server_speaks_tls};
