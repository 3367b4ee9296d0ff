//! The cgroup of one command.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::events::MetLimits;
use super::folder::{PREFIX, held, kill, remove};
use super::home::CgroupHome;
use crate::exec::limits::ResourceLimits;

/// How often one is made until nobody takes it away at once.
const TRIES: usize = 8;

/// The cgroup of a command. Whoever has this is the one who ends it.
#[derive(Debug)]
pub(in crate::exec) struct AttemptCgroup {
    path: PathBuf,
    /// The folder, locked: it is looked after.
    _held: File,
}

impl AttemptCgroup {
    /// A new one, without processes, and with the limits of what all of them together may use up.
    pub(in crate::exec) fn bounded(home: &CgroupHome, limits: &ResourceLimits) -> io::Result<Self> {
        let made = Self::make(home)?;
        made.bound(home, limits)
            .inspect_err(|_cannot_be_set| remove(&made.path))?;
        Ok(made)
    }

    fn make(home: &CgroupHome) -> io::Result<Self> {
        for _try in 0..TRIES {
            let name = format!("{PREFIX}{:016x}", rand::random::<u64>());
            let path = home.path.join(name);
            fs::create_dir(&path)?;
            // Until it is locked it looks as if nobody cared for it, and a worker that starts may remove it.
            if let Some(held) = held(&path) {
                return Ok(Self { path, _held: held });
            }
        }
        Err(io::Error::other("it was taken away again and again"))
    }

    fn bound(&self, home: &CgroupHome, limits: &ResourceLimits) -> io::Result<()> {
        let set = |name: &str, value: &str| fs::write(self.path.join(name), value);
        if home.memory {
            // None goes on without the others.
            set("memory.oom.group", "1")?;
            if let Some(most) = limits.memory {
                set("memory.max", &most.to_string())?;
                // Kernels without swap have no such file.
                if self.path.join("memory.swap.max").exists() {
                    set("memory.swap.max", "0")?;
                }
            }
        }
        match limits.processes.filter(|_| home.processes) {
            Some(most) => set("pids.max", &most.to_string()),
            None => Ok(()),
        }
    }

    pub(in crate::exec) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves a process into it.
    pub(in crate::exec) fn take_in(&self, id: u32) -> io::Result<()> {
        fs::write(self.path.join("cgroup.procs"), id.to_string())
    }

    /// The limits that it has met until now.
    pub(in crate::exec) fn met(&self) -> MetLimits {
        MetLimits::of(&self.path)
    }

    /// Kills what is in it.
    pub(in crate::exec) fn kill(&self) {
        kill(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(path: &Path) -> CgroupHome {
        CgroupHome {
            path: path.to_owned(),
            memory: true,
            processes: true,
        }
    }

    #[test]
    fn limits_of_the_sum_are_written_where_their_controllers_are() {
        let folder = tempfile::tempdir().unwrap();
        let limits = ResourceLimits {
            memory: Some(64 << 20),
            processes: Some(9),
            ..ResourceLimits::default()
        };
        let written = |home: &CgroupHome, limits: &ResourceLimits| {
            let made = AttemptCgroup::make(home).unwrap();
            fs::write(made.path().join("memory.swap.max"), "max").unwrap();
            made.bound(home, limits).unwrap();
            let read = |name: &str| fs::read_to_string(made.path().join(name)).unwrap_or_default();
            [
                "memory.max",
                "memory.swap.max",
                "memory.oom.group",
                "pids.max",
            ]
            .map(read)
        };
        let all = home(folder.path());
        assert_eq!(written(&all, &limits), ["67108864", "0", "1", "9"]);
        let none = ResourceLimits::default();
        assert_eq!(written(&all, &none), ["", "max", "1", ""]);
        let bare = CgroupHome {
            memory: false,
            processes: false,
            ..all
        };
        assert_eq!(written(&bare, &limits), ["", "max", "", ""]);
    }

    #[test]
    fn one_that_is_looked_after_is_told_from_one_that_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let made = AttemptCgroup::make(&home(folder.path())).unwrap();
        let path = made.path().to_owned();
        assert!(held(&path).is_none());
        drop(made);
        assert!(held(&path).is_some());
        fs::remove_dir(&path).unwrap();
        assert!(held(&path).is_none());
    }
}
