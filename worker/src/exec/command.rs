//! A command as its manifest describes it.

use std::path::PathBuf;
use std::time::Duration;

use super::environment::{Environment, PassedNames};
use super::limits::ResourceLimits;
use super::output::OutputMode;
use super::sandbox::Sandbox;
use super::template::CommandTemplate;

/// A command as a manifest describes it.
#[derive(Debug, Clone)]
pub struct ExecCommand {
    /// The program and its arguments.
    pub template: CommandTemplate,
    /// The folder it runs in.
    pub cwd: PathBuf,
    /// Which of the worker's variables it inherits.
    pub env_pass: PassedNames,
    /// Files of variables, which are read at each start; of a name that comes again, the last counts.
    pub env_files: Vec<PathBuf>,
    /// Variables beside these.
    pub env: Environment,
    /// What each of its processes may use up.
    pub limits: ResourceLimits,
    /// Who it runs as, and what it may read and write.
    pub sandbox: Sandbox,
    /// How its standard output becomes a result.
    pub output: OutputMode,
    /// The most standard output, in bytes; more kills the command. A manifest allows 1 B to 64 MiB, 4 MiB by default.
    pub max_output: usize,
    /// How long it may go on after SIGTERM; zero kills at once. Three seconds by default of a manifest.
    pub stop_grace: Duration,
    /// Whether the manifest lets the command ask questions (`asks = true`): then its standard input stays open for the
    /// answers.
    pub asks: bool,
}
