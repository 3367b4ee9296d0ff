//! Where this process's cgroup is among the files, as `/proc/self/cgroup` and `/proc/self/mountinfo` tell it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// The folder of this process's cgroup of version 2; `None` if there is none, or if it is not mounted here.
pub(super) fn own_folder() -> Option<PathBuf> {
    let cgroups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    folder_of(&cgroups, &mounts)
}

fn folder_of(cgroups: &str, mounts: &str) -> Option<PathBuf> {
    // The hierarchy of version 2 has the number 0 and no controllers here.
    let own = cgroups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mut mounts = mounts.lines().filter_map(mount);
    mounts.find_map(|(root, point)| {
        let below = Path::new(own).strip_prefix(&root).ok()?;
        // A cgroup outside of the namespace of this process is shown as one above its root.
        let is_outside = below.components().any(|part| part.as_os_str() == "..");
        (!is_outside).then(|| point.join(below))
    })
}

/// Which cgroup is mounted where, if a line is of a mount of version 2.
fn mount(line: &str) -> Option<(PathBuf, PathBuf)> {
    let (mount, filesystem) = line.split_once(" - ")?;
    if filesystem.split(' ').next()? != "cgroup2" {
        return None;
    }
    let mut fields = mount.split(' ').skip(3);
    Some((unescaped(fields.next()?), unescaped(fields.next()?)))
}

/// A path as mountinfo has it: white space and backslashes are three octal digits after a backslash.
fn unescaped(text: &str) -> PathBuf {
    let mut parts = text.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part
            .get(..3)
            .and_then(|code| u8::from_str_radix(code, 8).ok());
        bytes.extend(code);
        let rest = if code.is_some() {
            part.get(3..)
        } else {
            Some(part)
        };
        bytes.extend(rest.unwrap_or_default().as_bytes());
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
";
    const UNIFIED: &str = "25 24 0:22 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_folder_of_a_cgroup_is_found_below_its_mount() {
        let of = |cgroups, mounts| folder_of(cgroups, mounts).map(PathBuf::into_os_string);
        let own = "0::/system.slice/taskferry-worker.service\n";
        let service = "/sys/fs/cgroup/system.slice/taskferry-worker.service";
        assert_eq!(of(own, UNIFIED), Some(service.into()));
        let hybrid = "8:pids:/a\n4:memory:/b/0::/c\n0::/d e\n";
        assert_eq!(
            of(hybrid, HYBRID),
            Some("/sys/fs/cgroup/unified/d e".into())
        );
        // In a container with a namespace of its own, and in one without, into which its part alone is mounted.
        assert_eq!(of("0::/\n", UNIFIED), Some("/sys/fs/cgroup/".into()));
        let part = "9 8 0:22 /docker/a\\040b /sys/fs\\040x/cgroup ro - cgroup2 cgroup rw\n";
        assert_eq!(
            of("0::/docker/a b/c\n", part),
            Some("/sys/fs x/cgroup/c".into())
        );
    }

    #[test]
    fn a_cgroup_that_cannot_be_seen_here_has_no_folder() {
        let part = "9 8 0:22 /docker/a /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        let only_one = "39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";
        for (cgroups, mounts) in [
            ("", UNIFIED),
            ("8:pids:/a\n", UNIFIED),
            ("0::/\n", ""),
            ("0::/\n", only_one),
            ("0::/docker/ab\n", part),
            ("0::/../other\n", UNIFIED),
            ("0::/a\n", "nonsense\n- cgroup2\n1 2 3 - cgroup2 x y\n"),
        ] {
            assert_eq!(folder_of(cgroups, mounts), None, "{cgroups} {mounts}");
        }
    }
}
