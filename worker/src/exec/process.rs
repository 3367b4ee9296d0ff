//! The process that runs a command, under a supervisor or by itself.

use std::io;
use std::process::ExitStatus;

use tokio::process::Child;

use super::cgroup::MetLimits;
use super::group::ProcessGroup;
use super::supervisor::Handle;

/// A running command. Dropping it kills what is left.
#[derive(Debug)]
pub(super) enum Process {
    /// Under a supervisor: everything that it has started is ended with it.
    Supervised(Handle),
    /// By itself, in a group of its own, which is all that can be ended. The fields are dropped in this order.
    Alone {
        /// The group that it leads.
        group: ProcessGroup,
        /// The command.
        child: Child,
    },
}

impl Process {
    /// How it ended. Loses nothing if it is dropped.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        match self {
            Self::Supervised(handle) => handle.wait().await,
            Self::Alone { child, .. } => child.wait().await,
        }
    }

    /// The limits of its cgroup that it had met when it ended.
    pub(super) fn met(&self) -> MetLimits {
        match self {
            Self::Supervised(handle) => handle.met(),
            Self::Alone { .. } => MetLimits::default(),
        }
    }

    /// Asks everyone in its group to end.
    pub(super) fn terminate(&self) {
        match self {
            Self::Supervised(handle) => handle.terminate(),
            Self::Alone { group, .. } => group.terminate(),
        }
    }

    /// Ends everyone who can be reached.
    pub(super) fn kill(&self) {
        match self {
            Self::Supervised(handle) => handle.kill(),
            Self::Alone { group, .. } => group.kill(),
        }
    }

    /// Waits until nothing is left after a kill, where that can be known.
    pub(super) async fn gone(&mut self) {
        if let Self::Supervised(handle) = self {
            handle.gone().await;
        }
    }

    /// The process id of the supervisor, or else the command.
    pub(super) fn id(&self) -> Option<u32> {
        match self {
            Self::Supervised(handle) => handle.id(),
            Self::Alone { child, .. } => child.id(),
        }
    }
}
