//! Ends every process that descends from this one.

use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};
use tokio::time::{Instant, sleep};

/// A pause between two rounds; what is killed is gone much sooner, but on a busy machine.
const PAUSE: Duration = Duration::from_millis(1);

/// How long it may take. A process that hangs in the kernel is left to it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Kills children until there are none. The children of one that is gone become this process's own, and are next. `ended`
/// is told of each end.
pub(super) async fn kill_all(mut ended: impl FnMut(Pid, WaitStatus)) {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        for child in children() {
            let _gone_already = kill_process(child, Signal::KILL);
        }
        if bury(&mut ended).is_none() {
            return;
        }
        sleep(PAUSE).await;
    }
}

/// Takes note of every child that has ended. `None` if no child is left at all.
pub(super) fn bury(ended: &mut impl FnMut(Pid, WaitStatus)) -> Option<()> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((child, status))) => ended(child, status),
            Ok(None) => return Some(()),
            Err(Errno::INTR) => {}
            Err(_no_child) => return None,
        }
    }
}

/// The children of all threads of this process. Empty where the system does not tell.
fn children() -> Vec<Pid> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let lists = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let children = lists.flat_map(|list| {
        let ids = list.split_ascii_whitespace().map(str::parse);
        ids.filter_map(|id| Pid::from_raw(id.ok()?))
            .collect::<Vec<_>>()
    });
    children.collect()
}
