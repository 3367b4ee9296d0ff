//! The process group of a command, which dies with its owner.

use rustix::process::{Pid, Signal, kill_process_group};

/// The group that a command leads. Dropping it kills what is left of it, so
/// that nothing outlives the attempt, even one whose future was dropped.
///
/// A process that makes a group or session of its own has left the group and
/// is not reached.
#[derive(Debug)]
pub(super) struct ProcessGroup {
    leader: Option<Pid>,
}

impl ProcessGroup {
    /// The group of a child that was started with `process_group(0)`; its id
    /// is the child's.
    pub(super) fn of_child(pid: Option<u32>) -> Self {
        let leader = pid.and_then(|pid| i32::try_from(pid).ok());
        Self {
            leader: leader.and_then(Pid::from_raw),
        }
    }

    /// Asks everyone in the group to end. A stopped process is woken, for it
    /// would not see the request before its end.
    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
    }

    /// Ends everyone in the group.
    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(leader) = self.leader {
            // The only likely failure is that the group is already empty.
            let _ignored = kill_process_group(leader, signal);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}
