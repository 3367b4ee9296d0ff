//! What is done with a cgroup, by its folder.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use tokio::time::{Instant, sleep};

/// What the names of these cgroups begin with.
pub(super) const PREFIX: &str = "taskferry-";

/// A pause between two tries to remove one, and how long it is tried. A process that hangs in the kernel keeps its cgroup.
const PAUSE: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(5);

/// The folder of a cgroup, locked; `None` if another process has locked it, or it is gone.
pub(super) fn held(path: &Path) -> Option<File> {
    let folder = File::open(path).ok()?;
    flock(&folder, FlockOperation::NonBlockingLockExclusive).ok()?;
    path.exists().then_some(folder)
}

/// Moves this process into a cgroup.
pub(in crate::exec) fn enter(path: &Path) -> io::Result<()> {
    fs::write(path.join("cgroup.procs"), "0")
}

/// Kills every process of a cgroup and of those below it, at one time: none can begin another meanwhile.
pub(super) fn kill(path: &Path) {
    let _gone_already = fs::write(path.join("cgroup.kill"), "1");
}

/// Ends what is in a cgroup, and removes it.
pub(in crate::exec) async fn end(path: &Path) {
    let until = Instant::now() + PATIENCE;
    loop {
        kill(path);
        remove(path);
        if !path.exists() || Instant::now() >= until {
            return;
        }
        sleep(PAUSE).await;
    }
}

/// Removes an empty cgroup, and those that a command has made below it.
pub(super) fn remove(path: &Path) {
    let below = fs::read_dir(path).into_iter().flatten().flatten();
    let folders = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.for_each(|folder| remove(&folder.path()));
    let _has_processes = fs::remove_dir(path);
}
