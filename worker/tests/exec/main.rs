//! The exec protocol, with real commands.

mod confined;
mod documented;
mod questions;
mod results;
mod signals;
mod streams;
mod supervised;
mod support;
