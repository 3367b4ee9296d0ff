//! Why a command did not start.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::env_file::EnvFileError;
use super::fault::{StartFault, error_of};
use super::template::RenderError;
use crate::result::ToolResult;

/// The command could not be started, so nothing of it ran.
///
/// The text is for the caller: it names what the manifest names, and shows no
/// arguments and no environment.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no such program, or no such interpreter for a script.
    #[error(
        "the command could not be started: `{program}`, or the interpreter it asks for, was not found"
    )]
    NotFound {
        /// The program, as the manifest names it.
        program: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The program is there, but may not be run.
    #[error(
        "the command could not be started: `{program}`, or the interpreter it asks for, is not executable"
    )]
    NotExecutable {
        /// The program, as the manifest names it.
        program: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A folder that leads to the program, or the one to run in, is closed to the user that it runs as.
    #[error(
        "the command could not be started: the folder `{}` may not be entered by the user that it runs as (permission denied)",
        folder.display()
    )]
    Closed {
        /// The folder.
        folder: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The folder to run in is missing.
    #[error("the command could not be started: its working directory `{}` is no directory", cwd.display())]
    WorkingDirectory {
        /// The folder.
        cwd: PathBuf,
    },
    /// The operating system bounds the length of a command line.
    #[error(
        "the command could not be started: the arguments are too large for a command line; it can read them from its standard input instead"
    )]
    ArgumentsTooLarge {
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Its limits or its sandbox could not be had, so it was not started without them.
    #[error("the command could not be started: {reason}")]
    Unconfined {
        /// What could not be had.
        reason: String,
    },
    /// An argument cannot go onto a command line.
    #[error("the command could not be started: {0}")]
    Argument(#[from] RenderError),
    /// A file of variables cannot be used; another attempt may find it mended.
    #[error("the command could not be started: {0}")]
    EnvFile(#[from] EnvFileError),
    /// This machine is short of something that a process needs; another attempt may find it.
    #[error(
        "the command could not be started: this machine is short of processes, memory or open files: {source}"
    )]
    Exhausted {
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Anything else.
    #[error("the command could not be started: {source}")]
    Other {
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl StartError {
    pub(super) fn from_spawn(program: &str, source: io::Error) -> Self {
        let program = program.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound { program, source },
            io::ErrorKind::PermissionDenied => Self::NotExecutable { program, source },
            io::ErrorKind::ArgumentListTooLong => Self::ArgumentsTooLarge { source },
            _ => match Errno::from_io_error(&source) {
                Some(Errno::NOEXEC) => Self::NotExecutable { program, source },
                Some(Errno::MFILE | Errno::NFILE | Errno::AGAIN | Errno::NOMEM) => {
                    Self::Exhausted { source }
                }
                _ => Self::Other { source },
            },
        }
    }

    pub(super) fn from_fault(program: &str, cwd: &Path, fault: StartFault) -> Self {
        match fault {
            StartFault::Closed { folder, errno } => {
                let source = error_of(errno, "permission denied".to_owned());
                Self::Closed { folder, source }
            }
            StartFault::NoFolder => Self::WorkingDirectory {
                cwd: cwd.to_owned(),
            },
            StartFault::Refused { errno, text } => Self::from_spawn(program, error_of(errno, text)),
            StartFault::Unconfined(reason) => Self::Unconfined { reason },
        }
    }

    /// Nothing came as far as the program.
    pub(super) fn of_supervisor(program: &str, source: io::Error) -> Self {
        match Self::from_spawn(program, source) {
            Self::NotFound { source, .. } | Self::NotExecutable { source, .. } => {
                Self::Other { source }
            }
            told => told,
        }
    }

    /// Whether another attempt may start where this one did not: false when
    /// the manifest or the arguments must change.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::EnvFile(_) | Self::Exhausted { .. } | Self::Other { .. } => true,
            Self::NotFound { .. }
            | Self::NotExecutable { .. }
            | Self::Closed { .. }
            | Self::WorkingDirectory { .. }
            | Self::Unconfined { .. }
            | Self::ArgumentsTooLarge { .. }
            | Self::Argument(_) => false,
        }
    }

    /// The error as the result of the tool.
    #[must_use]
    pub fn to_result(&self) -> ToolResult {
        let text = self.to_string();
        ToolResult::error(&text).because(text)
    }
}
