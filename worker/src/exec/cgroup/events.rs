//! What a cgroup counted of its limits.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// The limits of its cgroup that a command has met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::exec) struct MetLimits {
    /// It was killed, since all its processes together had more memory than they may.
    pub(in crate::exec) memory: bool,
    /// A process or thread was refused to it.
    pub(in crate::exec) processes: bool,
}

impl MetLimits {
    /// Those that a cgroup tells of; none where it has no such files.
    pub(super) fn of(cgroup: &Path) -> Self {
        let text = |name| std::fs::read_to_string(cgroup.join(name)).unwrap_or_default();
        Self::told(&text("memory.events"), &text("pids.events"))
    }

    /// `oom` counts how often the limit of the cgroup itself, or of one below, left no room. Without it a process was killed
    /// since the machine, or a cgroup above, had no room.
    fn told(memory: &str, processes: &str) -> Self {
        Self {
            memory: counted(memory, "oom") && counted(memory, "oom_kill"),
            processes: counted(processes, "max"),
        }
    }
}

/// Whether an event was counted at all: each has a line, with its name and its number.
fn counted(events: &str, name: &str) -> bool {
    let mut lines = events.lines().filter_map(|line| line.split_once(' '));
    lines.any(|(event, number)| event == name && number.trim().parse::<u64>().unwrap_or(0) > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_were_met_are_told_by_their_events() {
        let told = |memory, processes| {
            let met = MetLimits::told(memory, processes);
            (met.memory, met.processes)
        };
        let killed = "low 0\nhigh 0\nmax 31\noom 1\noom_kill 3\noom_group_kill 1\n";
        assert_eq!(told(killed, "max 0\n"), (true, false));
        let by_the_machine = "low 0\nhigh 0\nmax 0\noom 0\noom_kill 1\noom_group_kill 0\n";
        assert_eq!(told(by_the_machine, "max 7\n"), (false, true));
        let reclaimed = "low 0\nhigh 0\nmax 900\noom 0\noom_kill 0\n";
        assert_eq!(told(reclaimed, ""), (false, false));
        assert_eq!(told("", "max many\n"), (false, false));
    }
}
