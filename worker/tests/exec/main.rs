//! The exec protocol, with real commands.

mod documented;
mod questions;
mod results;
mod signals;
mod streams;
mod support;
