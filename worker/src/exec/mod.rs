//! Runs a tool that is a command: arguments in, result and progress out.
//!
//! The pure parts read text and know no process: [`template`] makes the
//! command line, [`stderr`] reads what the command reports while it runs,
//! [`output`] turns its standard output into a tool result. The [`Runner`]
//! starts the command in a process group of its own, under a [`Supervisor`], so
//! that its end, cancellation and timeout reach everything it has started.

mod cgroup;
mod command;
pub(crate) mod env_file;
mod environment;
mod error;
mod event;
mod fault;
mod folders;
mod group;
mod invocation;
pub(crate) mod landlock;
mod limits;
pub mod lines;
pub mod output;
mod pipes;
pub(crate) mod preflight;
mod process;
mod runner;
mod running;
mod sandbox;
pub(crate) mod script;
mod start;
pub mod stderr;
mod supervisor;
pub mod template;
mod verdict;

pub use crate::result::{SUMMARY_CHARS, ToolResult};
pub use cgroup::{CgroupHome, CgroupSetting};
pub use command::ExecCommand;
pub use env_file::{EnvFileError, EnvFileFault};
pub use environment::{Environment, PassedNames};
pub use error::StartError;
pub use event::ExecEvent;
pub(crate) use folders::closed_folder;
pub use invocation::Invocation;
pub use limits::ResourceLimits;
pub use output::OutputMode;
pub use runner::{Channels, QuestionChannel, Runner};
pub use sandbox::{Sandbox, User};
pub use supervisor::{Supervisor, supervise_if_told};
pub use taskferry_contract::LogLevel;
pub use template::CommandTemplate;
pub use verdict::CommandOutcome;
