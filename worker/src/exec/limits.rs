//! What a command may use up, as the operating system counts it: each process of it by itself, and where it has a cgroup of its
//! own, all of them together.

use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cgroup::MetLimits;
use crate::units::{format_duration, format_size};

/// SIGXCPU and SIGXFSZ of Linux on all its architectures but MIPS.
const TOO_MUCH_CPU: i32 = 24;
const FILE_TOO_LARGE: i32 = 25;
/// SIGABRT and SIGSEGV: how many programs end that are refused memory.
const ABORTED: i32 = 6;
const SEGMENT_FAULT: i32 = 11;

/// What programs say when a limit stops them.
const OF_MEMORY: [&str; 6] = [
    "MemoryError",
    "Cannot allocate memory",
    "memory allocation of",
    "out of memory",
    "Out of memory",
    "bad_alloc",
];
const OF_OPEN_FILES: [&str; 1] = ["Too many open files"];
const OF_PROCESSES: [&str; 4] = [
    "Resource temporarily unavailable",
    "Cannot fork",
    "can't fork",
    "can't start new thread",
];
const OF_FILE_SIZE: [&str; 2] = ["File too large", "File size limit exceeded"];

/// What each process of a command may use up; `None` is as much as the worker itself may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceLimits {
    /// Processor time, whole seconds; at least one.
    pub cpu_time: Option<Duration>,
    /// Bytes of memory of its own, stacks and shared memory aside (`RLIMIT_DATA`).
    pub memory: Option<usize>,
    /// Files, pipes and connections that are open at a time.
    pub open_files: Option<u32>,
    /// Processes and threads that its user may have on the machine at a time; root is not bounded.
    pub processes: Option<u32>,
    /// Bytes of the largest file it may write.
    pub file_size: Option<usize>,
}

impl ResourceLimits {
    /// Whether there is any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The limit that ended a command, where the system says so: the text for its caller.
    pub(super) fn that_ended(&self, status: ExitStatus, met: MetLimits) -> Option<String> {
        if let Some(size) = self.memory.filter(|_| met.memory && !status.success()) {
            let size = format_size(size);
            return Some(format!(
                "all its processes together took more than {size} of memory (the tool's limits.memory, set in its manifest)"
            ));
        }
        let signal = signal(status)?;
        if let Some(time) = self.cpu_time.filter(|_| signal == TOO_MUCH_CPU) {
            let time = format_duration(time);
            return Some(format!(
                "it took more than {time} of processor time (the tool's limits.cpu_time, set in its manifest)"
            ));
        }
        let size = self.file_size.filter(|_| signal == FILE_TOO_LARGE)?;
        let size = format_size(size);
        Some(format!(
            "it wrote a file of more than {size} (the tool's limits.file_size, set in its manifest)"
        ))
    }

    /// The limits that a failed command seems to have met, by its last words or the signal that ended it.
    pub(super) fn that_show(
        &self,
        last_words: &str,
        status: ExitStatus,
        met: MetLimits,
    ) -> Option<String> {
        let says = |words: &[&str]| words.iter().any(|words| last_words.contains(words));
        let broke = || matches!(signal(status), Some(ABORTED | SEGMENT_FAULT));
        let met = [
            self.memory
                .filter(|_| says(&OF_MEMORY) || broke())
                .map(|size| ("memory", format_size(size))),
            self.open_files
                .filter(|_| says(&OF_OPEN_FILES))
                .map(|count| ("open_files", count.to_string())),
            self.processes
                .filter(|_| met.processes || says(&OF_PROCESSES))
                .map(|count| ("processes", count.to_string())),
            self.file_size
                .filter(|_| says(&OF_FILE_SIZE))
                .map(|size| ("file_size", format_size(size))),
        ];
        let mut text = String::new();
        for (name, value) in met.into_iter().flatten() {
            let and = if text.is_empty() { "" } else { ", " };
            let _infallible = write!(text, "{and}limits.{name} of {value}");
        }
        (!text.is_empty())
            .then(|| format!("it seems to have met the tool's {text}, set in its manifest"))
    }
}

/// The signal that ended it, or a child of a shell that passed the end on as an exit code.
fn signal(status: ExitStatus) -> Option<i32> {
    let of_a_child = || status.code().map(|code| code - 128);
    status.signal().or_else(of_a_child)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: ResourceLimits = ResourceLimits {
        cpu_time: Some(Duration::from_secs(5)),
        memory: Some(64 << 20),
        open_files: Some(64),
        processes: Some(9),
        file_size: Some(1 << 10),
    };

    #[test]
    fn a_limit_is_told_by_the_signal_that_it_sends() {
        let told = |raw| ALL.that_ended(ExitStatus::from_raw(raw), MetLimits::default());
        for raw in [24, (128 + 24) << 8] {
            assert!(
                told(raw)
                    .unwrap()
                    .contains("more than 5s of processor time")
            );
        }
        assert!(told(25).unwrap().contains("a file of more than 1KiB"));
        for raw in [0, 9, 11, 1 << 8, 24 << 8] {
            assert_eq!(told(raw), None, "{raw}");
        }
        let none = ResourceLimits::default();
        assert_eq!(
            none.that_ended(ExitStatus::from_raw(24), MetLimits::default()),
            None
        );
    }

    #[test]
    fn limits_of_the_sum_are_told_by_what_the_cgroup_counted() {
        let (killed, failed) = (ExitStatus::from_raw(9), ExitStatus::from_raw(1 << 8));
        let memory = MetLimits {
            memory: true,
            processes: false,
        };
        let told = ALL.that_ended(killed, memory).unwrap();
        assert!(
            told.contains("together took more than 64MiB of memory"),
            "{told}"
        );
        assert_eq!(ALL.that_ended(ExitStatus::from_raw(0), memory), None);
        assert_eq!(ResourceLimits::default().that_ended(killed, memory), None);
        let processes = MetLimits {
            memory: false,
            processes: true,
        };
        let shown = ALL.that_show("no usual words", failed, processes).unwrap();
        assert!(shown.contains("limits.processes of 9"), "{shown}");
    }

    #[test]
    fn a_limit_is_guessed_from_last_words() {
        let (failed, none) = (ExitStatus::from_raw(1 << 8), MetLimits::default());
        for (words, told) in [
            ("MemoryError", "limits.memory of 64MiB"),
            (
                "OSError: [Errno 24] Too many open files: 'x'",
                "limits.open_files of 64",
            ),
            ("sh: 1: Cannot fork", "limits.processes of 9"),
            ("write error: File too large", "limits.file_size of 1KiB"),
        ] {
            let shown = ALL.that_show(words, failed, none).unwrap();
            assert!(shown.contains(told), "{shown}");
            assert_eq!(
                ResourceLimits::default().that_show(words, failed, none),
                None
            );
        }
        assert_eq!(ALL.that_show("no such month", failed, none), None);
        let broken = ALL.that_show("", ExitStatus::from_raw(11), none).unwrap();
        assert!(broken.contains("limits.memory"), "{broken}");
    }
}
