//! What a command may reach: as which user it runs, and which files it may read and write.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// As `/etc/passwd` has it.
    pub name: String,
    /// The number of the user.
    pub uid: u32,
    /// The number of the user's own group; the command has no other.
    pub gid: u32,
    /// The home folder.
    pub home: String,
}

/// What a command may reach. Without anything set it may what its worker may, but for new privileges.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// Who it runs as; the worker's user if there is none.
    pub user: Option<User>,
    /// Files and folders that it may read, and run programs from, beside those of the system and those in `write`; all if
    /// there is none.
    pub read: Option<Vec<PathBuf>>,
    /// Files and folders that it may read and write; all if neither this nor `read` is set.
    pub write: Option<Vec<PathBuf>>,
    /// Whether it may not start where the system cannot bound what it reads and writes.
    pub required: bool,
    /// Whether it may get privileges that its user has not, as by `sudo`.
    pub new_privileges: bool,
}

impl Sandbox {
    /// Whether it bounds which files are read or written.
    #[must_use]
    pub fn bounds_files(&self) -> bool {
        self.read.is_some() || self.write.is_some()
    }

    /// Whether only a supervisor can see to it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.user.is_none() && !self.bounds_files()
    }
}
