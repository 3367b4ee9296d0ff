//! How a program learns that it is to supervise a command.

use std::ffi::{OsStr, OsString};
use std::sync::OnceLock;

use super::order::{LAUNCH, SUPERVISE};
use super::{launcher, process};

/// Set in a program that can be started again as a supervisor.
static CAN_SUPERVISE: OnceLock<()> = OnceLock::new();

/// Does what a worker started this program again for, if that is so, and then ends the process. Otherwise it returns at
/// once, and from then on the commands of this program's workers are supervised.
///
/// [`Program`](crate::cli::Program) does it by itself. A program that builds a [`Worker`](crate::Worker) with the tools of a
/// manifest calls it first thing in `main`, before it reads its arguments. Only on Linux commands are supervised.
pub fn supervise_if_told() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let mut arguments = std::env::args_os().skip(1);
    let role = arguments.next();
    let role = role.as_deref().and_then(OsStr::to_str);
    let run: fn(Vec<OsString>) -> bool = match role {
        Some(SUPERVISE) => process::main,
        Some(LAUNCH) => launcher::main,
        _ => {
            let _again = CAN_SUPERVISE.set(());
            return;
        }
    };
    // The short name in lists of processes, which would be that of the link to this program.
    let _stays_as_it_is = rustix::thread::set_name(c"tf-supervisor");
    // On a thread without a runtime: this one may have one.
    let command = arguments.collect();
    let ended = std::thread::spawn(move || run(command)).join();
    std::process::exit(i32::from(!ended.unwrap_or(false)));
}

pub(super) fn can_supervise() -> bool {
    CAN_SUPERVISE.get().is_some()
}
