//! A cgroup of its own for each command, where the system lets a worker make some: it bounds all processes of a command
//! together, and ends them at once.
//!
//! The worker has a *home* among the cgroups (version 2): the one that it was started in, if that was handed over to it, or
//! the one that its settings name. Below it each supervisor makes one, which the launcher enters before it becomes the
//! command. A supervisor holds a lock on the folder of its cgroup, so that a worker that starts can tell what a dead one left
//! behind from what still runs.

mod attempt;
mod events;
mod folder;
mod home;
mod place;

pub(in crate::exec) use attempt::AttemptCgroup;
pub(in crate::exec) use events::MetLimits;
pub(in crate::exec) use folder::{end, enter};
pub use home::{CgroupHome, CgroupSetting};
