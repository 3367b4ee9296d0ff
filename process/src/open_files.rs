//! How many files, connections and pipes among them, a process may have open.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What this process was started with, once its own limit is raised.
static AT_START: OnceLock<Rlimit> = OnceLock::new();

/// Raises the limit of this process to what the system allows, and returns what it is now. `None` if there is none.
pub fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let at_start = AT_START.get_or_init(|| limit);
    let most = Rlimit {
        current: at_start.maximum,
        maximum: at_start.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::debug!(%error, "the limit of open files cannot be raised");
    }
    getrlimit(Resource::Nofile).current
}

/// Gives a child the limit that this process was started with: programs that go through every file they may have open are
/// slow, or wrong, with a high one. Only where the system has a call for it, which is Linux.
pub fn lower_open_files(child: u32) {
    #[cfg(target_os = "linux")]
    if let Some(limit) = AT_START.get()
        && let Some(pid) = i32::try_from(child)
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        && let Err(error) = rustix::process::prlimit(Some(pid), Resource::Nofile, *limit)
    {
        tracing::debug!(%error, "the limit of open files of a child stays as high as this process's");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = child;
}
