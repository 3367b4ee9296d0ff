//! Runs a tool that is a command: arguments in, result and progress out.
//!
//! The pure parts read text and know no process: [`template`] makes the
//! command line, [`stderr`] reads what the command reports while it runs,
//! [`output`] turns its standard output into a tool result. The [`Runner`]
//! starts the command in a process group of its own, so that cancellation and
//! timeout reach everything the command has started.

mod command;
mod environment;
mod error;
mod event;
mod folders;
mod group;
mod invocation;
pub mod lines;
pub mod output;
mod pipes;
pub(crate) mod preflight;
mod runner;
mod running;
pub(crate) mod script;
pub mod stderr;
pub mod template;
mod verdict;

pub use crate::result::{SUMMARY_CHARS, ToolResult};
pub use command::ExecCommand;
pub use environment::{Environment, PassedNames};
pub use error::StartError;
pub use event::ExecEvent;
pub(crate) use folders::closed_folder;
pub use invocation::Invocation;
pub use output::OutputMode;
pub use runner::{Channels, QuestionChannel, Runner};
pub use taskferry_contract::LogLevel;
pub use template::CommandTemplate;
pub use verdict::CommandOutcome;
