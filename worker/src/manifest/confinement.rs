//! What a command may use up and reach: `limits` and `sandbox`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::geteuid;

use super::table::TableReader;
use crate::exec::{ResourceLimits, Sandbox, User};
use crate::units::LONGEST;

const MIB: usize = 1 << 20;
const MOST_MEMORY: usize = 1 << 44;

/// The users of this machine.
const USERS: &str = "/etc/passwd";

/// What `limits` sets, and for the rest `base`.
pub(super) fn read_limits(
    reader: &mut TableReader<'_, '_>,
    base: ResourceLimits,
) -> ResourceLimits {
    let read = reader.inner("limits", "limits.", |limits| ResourceLimits {
        cpu_time: limits
            .duration("cpu_time", Duration::from_secs(1)..=LONGEST)
            .or(base.cpu_time),
        memory: limits.size("memory", MIB..=MOST_MEMORY).or(base.memory),
        open_files: limits.count("open_files", 8..=1 << 20).or(base.open_files),
        processes: limits.count("processes", 1..=1 << 22).or(base.processes),
        file_size: limits.size("file_size", 1..=MOST_MEMORY).or(base.file_size),
    });
    read.unwrap_or(base)
}

/// What `sandbox` sets, and for the rest `base`. Relative paths start at `folder`.
pub(super) fn read_sandbox(
    reader: &mut TableReader<'_, '_>,
    base: &Sandbox,
    folder: &Path,
) -> Sandbox {
    let read = reader.inner("sandbox", "sandbox.", |sandbox| Sandbox {
        user: read_user(sandbox).or_else(|| base.user.clone()),
        read: read_paths(sandbox, "read", folder).or_else(|| base.read.clone()),
        write: read_paths(sandbox, "write", folder).or_else(|| base.write.clone()),
        required: sandbox.flag("required").unwrap_or(base.required),
        new_privileges: sandbox
            .flag("new_privileges")
            .unwrap_or(base.new_privileges),
    });
    read.unwrap_or_else(|| base.clone())
}

/// What can hold only together.
pub(super) fn check_together(
    reader: &mut TableReader<'_, '_>,
    limits: ResourceLimits,
    sandbox: &Sandbox,
) {
    let uid = sandbox.user.as_ref().map(|user| user.uid);
    let runs_as_root = uid.unwrap_or_else(|| geteuid().as_raw()) == 0;
    if limits.processes.is_some() && runs_as_root {
        reader.problem(
            "limits.processes",
            "does not hold for root: let the tool run as another user (sandbox.user)",
        );
    }
    if sandbox.required && !sandbox.bounds_files() {
        reader.problem(
            "sandbox.required",
            "bounds nothing without sandbox.read or sandbox.write",
        );
    }
}

fn read_user(sandbox: &mut TableReader<'_, '_>) -> Option<User> {
    let name = sandbox.string("user")?;
    let users = std::fs::read_to_string(USERS).unwrap_or_default();
    let Some(user) = find_user(&users, name) else {
        sandbox.problem("user", format!("there is no user {name:?} in {USERS}"));
        return None;
    };
    let own = geteuid();
    if !own.is_root() && own.as_raw() != user.uid {
        sandbox.problem(
            "user",
            format!("only a worker that runs as root can run tools as {name}"),
        );
    }
    Some(user)
}

/// The user of this name, in text of the form of `passwd(5)`.
fn find_user(users: &str, name: &str) -> Option<User> {
    users.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [found, _, uid, gid, _, home, ..] = fields.as_slice() else {
            return None;
        };
        Some(User {
            name: name.to_owned(),
            uid: uid.parse().ok().filter(|_| *found == name)?,
            gid: gid.parse().ok()?,
            home: (*home).to_owned(),
        })
    })
}

fn read_paths(
    sandbox: &mut TableReader<'_, '_>,
    key: &'static str,
    folder: &Path,
) -> Option<Vec<PathBuf>> {
    let paths = sandbox.strings(key)?;
    let paths: Vec<PathBuf> = paths.into_iter().map(|path| folder.join(path)).collect();
    for path in &paths {
        if let Err(error) = path.metadata() {
            sandbox.problem(key, format!("`{}`: {error}", path.display()));
        }
    }
    Some(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_as_the_system_writes_them() {
        let text = "root:x:0:0:root:/root:/bin/bash\n+::::::\nbroken:x:one:2::/:\nann:x:7:8:Ann, B:/home/ann:\n";
        let ann = find_user(text, "ann").unwrap();
        assert_eq!((ann.uid, ann.gid, ann.home.as_str()), (7, 8, "/home/ann"));
        for name in ["an", "", "x", "broken", "+"] {
            assert_eq!(find_user(text, name), None, "{name}");
        }
    }
}
