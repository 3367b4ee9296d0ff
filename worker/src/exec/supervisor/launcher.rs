//! The launcher: bounds itself, and then becomes the command.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{
    Gid, Resource, Rlimit, Signal, Uid, getrlimit, set_parent_process_death_signal, setrlimit,
};
use rustix::stdio::dup2_stdin;
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::order::{self, Order};
use super::process::fault;
use crate::exec::cgroup;
use crate::exec::fault::StartFault;
use crate::exec::landlock::FileRules;
use crate::exec::limits::ResourceLimits;
use crate::exec::sandbox::User;

/// Becomes the command; returns only if it could not.
pub(super) fn main(command: Vec<OsString>) -> bool {
    let Ok(mut control) = fcntl_dupfd_cloexec(io::stdin(), 3).map(UnixStream::from) else {
        return false;
    };
    let Some((program, arguments)) = command.split_first() else {
        return false;
    };
    let fault = become_command(&mut control, program, arguments);
    serde_json::to_writer(&control, &fault).is_ok() && control.flush().is_ok()
}

fn become_command(control: &mut UnixStream, program: &OsStr, arguments: &[OsString]) -> StartFault {
    let received = order::receive(control);
    let received = received.and_then(|(order, stdin)| {
        dup2_stdin(&stdin)?;
        Ok(order)
    });
    let order = match received {
        Ok(order) => order,
        Err(error) => return StartFault::Unconfined(error.to_string()),
    };
    if let Err(reason) = confine(&order) {
        return StartFault::Unconfined(reason);
    }
    let error = Command::new(program)
        .args(arguments)
        .current_dir(&order.cwd)
        .exec();
    let is_refused = error.kind() == io::ErrorKind::PermissionDenied;
    match fault(&error, &order, program) {
        StartFault::Refused { .. } if is_refused && order.sandbox.read.is_some() => {
            StartFault::Unconfined(format!(
                "`{}`, or what it needs to run, may not be read or is not executable in its sandbox: name its folder in sandbox.read",
                program.display()
            ))
        }
        fault => fault,
    }
}

/// In this order: files are opened for the rules while that is still allowed, and the rules come last.
fn confine(order: &Order) -> Result<(), String> {
    if let Some(path) = &order.cgroup {
        let entered = cgroup::enter(path);
        entered.map_err(|error| format!("its cgroup cannot be entered: {error}"))?;
    }
    let rules = FileRules::of(&order.sandbox)?;
    if let Some(user) = &order.sandbox.user {
        become_user(user).map_err(|error| format!("it cannot run as {}: {error}", user.name))?;
    }
    limit(&order.limits)?;
    // After the change of user, which would take it back.
    let tied = set_parent_process_death_signal(Some(Signal::KILL));
    tied.map_err(|error| format!("it cannot be tied to its supervisor: {error}"))?;
    rules.map_or(Ok(()), FileRules::enforce)
}

/// Of this thread alone, which is the one that becomes the command.
fn become_user(user: &User) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    if uid == rustix::process::geteuid() && !uid.is_root() {
        return Ok(());
    }
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)
}

fn limit(limits: &ResourceLimits) -> Result<(), String> {
    let bytes = |size: Option<usize>| size.map(|size| size as u64);
    let seconds = limits.cpu_time.map(|time| time.as_secs().max(1));
    for (name, resource, most) in [
        ("cpu_time", Resource::Cpu, seconds),
        ("memory", Resource::Data, bytes(limits.memory)),
        (
            "open_files",
            Resource::Nofile,
            limits.open_files.map(u64::from),
        ),
        (
            "processes",
            Resource::Nproc,
            limits.processes.map(u64::from),
        ),
        ("file_size", Resource::Fsize, bytes(limits.file_size)),
    ] {
        let Some(most) = most else { continue };
        let allowed = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let current = most.min(allowed);
        // A process that passes over the signal at its limit of processor time is killed a second later.
        let beyond = u64::from(resource == Resource::Cpu);
        let maximum = current.saturating_add(beyond).min(allowed);
        let new = Rlimit {
            current: Some(current),
            maximum: Some(maximum),
        };
        let set = setrlimit(resource, new);
        set.map_err(|error| format!("limits.{name} cannot be set: {error}"))?;
    }
    Ok(())
}
