//! The exec protocol, with real commands.

mod documented;
mod results;
mod signals;
mod streams;
mod support;
