//! The exec protocol, with real commands.

mod cgroups;
mod confined;
mod documented;
mod env_files;
mod questions;
mod results;
mod signals;
mod streams;
mod supervised;
mod support;
