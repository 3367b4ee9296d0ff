//! Files that whoever started the worker left open for it by mistake.

use std::path::Path;

/// `O_CLOEXEC` as `/proc/PID/fdinfo/N` shows it.
const CLOSED_BY_EXEC: u32 = 0o2_000_000;

/// Closes what a command would find open beside its three standard streams. What this process opened is not among it: that
/// is closed when the command begins.
pub(super) fn close() {
    for number in open_files() {
        if number > 2 && stays_open(number) {
            let _gone_already = nix::unistd::close(number);
        }
    }
}

fn open_files() -> Vec<i32> {
    let listed = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    let names = listed.flatten().map(|file| file.file_name());
    names
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect()
}

fn stays_open(number: i32) -> bool {
    let file = Path::new("/proc/self/fdinfo").join(number.to_string());
    let Ok(text) = std::fs::read_to_string(file) else {
        return false;
    };
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & CLOSED_BY_EXEC == 0)
}
