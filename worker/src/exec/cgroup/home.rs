//! The cgroup below which commands get theirs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use rustix::fs::{Access, access, getxattr};
use rustix::process::getpid;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::folder::{PREFIX, end, enter, held};
use super::place::own_folder;

/// The cgroup in which a worker is, beside those of its commands: controllers work below a cgroup alone that has no
/// processes itself.
const WORKER: &str = "worker";

/// How long a start may take that finds cgroups of a worker that died.
const SWEEP: Duration = Duration::from_secs(5);

/// Which cgroup a worker is to make others in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CgroupSetting {
    /// Its own, if that was handed over to it.
    #[default]
    Auto,
    /// None.
    Off,
    /// The one with this folder.
    At(PathBuf),
}

/// A cgroup in which commands get cgroups of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupHome {
    /// Its folder.
    pub(super) path: PathBuf,
    /// Whether all of a command's processes together can be bounded in memory.
    pub(super) memory: bool,
    /// Whether they can be bounded in number.
    pub(super) processes: bool,
}

impl CgroupHome {
    /// The one that a setting leads to, as it would be: nothing changes.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn seen(setting: &CgroupSetting) -> Result<Self, String> {
        let path = match setting {
            CgroupSetting::Off => return Err("the setting cgroup is off".to_owned()),
            CgroupSetting::Auto => handed_over()?,
            CgroupSetting::At(path) => usable(path)?,
        };
        Ok(Self::of_controllers(path))
    }

    /// A controller works below a cgroup where that has it, and passes it on; which it can be told while it has no processes
    /// itself.
    fn of_controllers(path: PathBuf) -> Self {
        let there = words(&path, "cgroup.controllers");
        let below = words(&path, "cgroup.subtree_control");
        let can_add = members(&path).iter().all(|id| is_this_process(id));
        let has = |name: &str| listed(&below, name) || (can_add && listed(&there, name));
        Self {
            memory: has("memory"),
            processes: has("pids"),
            path,
        }
    }

    /// The same, made ready: this process moves into a cgroup below its own, if that is the one and nobody else is in it;
    /// the controllers that there are work for those of commands; and those that a worker left behind are ended.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn take(setting: &CgroupSetting) -> Result<Self, String> {
        let mut home = Self::seen(setting)?;
        let path = home.path.clone();
        if own_folder().as_ref() == Some(&path)
            && members(&path).iter().all(|id| is_this_process(id))
        {
            let below = path.join(WORKER);
            let moved = match fs::create_dir(&below) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                _there => enter(&below),
            };
            moved.map_err(|error| format!("{} cannot be entered: {error}", below.display()))?;
        }
        // One with processes would pass on pids alone, and none of those below it could have processes then.
        let can_add = members(&path).is_empty();
        for (name, has) in [("memory", &mut home.memory), ("pids", &mut home.processes)] {
            if can_add {
                let _refused = fs::write(path.join("cgroup.subtree_control"), format!("+{name}"));
            }
            *has = listed(&words(&path, "cgroup.subtree_control"), name);
        }
        let _elapsed = timeout(SWEEP, sweep(&path)).await;
        Ok(home)
    }

    /// What it is good for, and what not.
    #[must_use]
    pub fn sentence(&self) -> String {
        let path = self.path.display();
        let begin = format!("each command runs in a cgroup of its own below {path}");
        let together = "bound all of its processes together";
        let alone = "bounds each process by itself";
        match (self.memory, self.processes) {
            (true, true) => format!("{begin}: limits.memory and limits.processes {together}"),
            (true, false) => format!(
                "{begin}: limits.memory bounds all of its processes together, and without the controller pids limits.processes those of its user on this machine"
            ),
            (false, true) => format!(
                "{begin}: limits.processes bounds all of its processes together, and without the controller memory limits.memory {alone}"
            ),
            (false, false) => format!(
                "{begin}, but without the controllers memory and pids: limits.memory {alone}, and limits.processes those of its user on this machine"
            ),
        }
    }

    /// Whether it counts the processes of a command.
    pub(in crate::exec) fn bounds_processes(&self) -> bool {
        self.processes
    }
}

impl FromStr for CgroupSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            path if path.starts_with('/') => Ok(Self::At(path.into())),
            _ => Err("must be auto, off, or the absolute path of a cgroup".to_owned()),
        }
    }
}

/// The cgroup of this process, if whoever made it meant this process to make others below.
fn handed_over() -> Result<PathBuf, String> {
    let path =
        own_folder().ok_or("this process is in no cgroup of version 2 that can be seen here")?;
    let path = usable(&path)?;
    // Whoever may write to the one above, too, root or the owner of a session, was not given this one in particular. systemd
    // marks those that it hands over.
    let is_marked = ["trusted.delegate", "user.delegate"].iter().any(|name| {
        let mut value = [0; 8];
        getxattr(&path, *name, &mut value[..]).is_ok_and(|length| value.get(..length) == Some(b"1"))
    });
    let above = path.parent().map(|above| above.join("cgroup.procs"));
    let is_part = above.is_some_and(|above| access(&above, Access::WRITE_OK).is_ok());
    if is_marked || !is_part {
        return Ok(path);
    }
    Err(format!(
        "{} was not handed over to this worker: set Delegate=yes in its unit, or name it in the setting cgroup",
        path.display()
    ))
}

/// A folder in which this process may make cgroups, and move its children into them.
fn usable(path: &Path) -> Result<PathBuf, String> {
    let shown = path.display();
    if !path.join("cgroup.controllers").exists() {
        return Err(format!("{shown} is no cgroup of version 2"));
    }
    if !path.join("cgroup.type").exists() {
        return Err(format!(
            "{shown} is the root of all cgroups: name one below it"
        ));
    }
    if !path.join("cgroup.kill").exists() {
        return Err(format!(
            "{shown} has no cgroup.kill, which Linux has since 5.14"
        ));
    }
    let own = own_folder();
    let above = own
        .as_deref()
        .and_then(|own| common(own, path))
        .unwrap_or(path);
    for (open, kind) in [
        (path.to_owned(), Access::WRITE_OK | Access::EXEC_OK),
        (path.join("cgroup.procs"), Access::WRITE_OK),
        // Whoever moves a process must be allowed to in what has both cgroups below it.
        (above.join("cgroup.procs"), Access::WRITE_OK),
    ] {
        access(&open, kind).map_err(|error| {
            let open = open.display();
            format!("{open} cannot be written to: {}", io::Error::from(error))
        })?;
    }
    Ok(path.to_owned())
}

/// The nearest folder that has both below it.
fn common<'a>(one: &'a Path, other: &Path) -> Option<&'a Path> {
    one.ancestors().find(|above| other.starts_with(above))
}

/// Ends what is left of workers and supervisors that were killed.
async fn sweep(path: &Path) {
    let listed = fs::read_dir(path).into_iter().flatten().flatten();
    for cgroup in listed.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let path = cgroup.path();
        let Some(held) = held(&path) else { continue };
        end(&path).await;
        drop(held);
    }
}

/// The words of a file of a cgroup.
fn words(path: &Path, name: &str) -> Vec<String> {
    let text = fs::read_to_string(path.join(name)).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

fn listed(words: &[String], name: &str) -> bool {
    words.iter().any(|word| word == name)
}

/// The ids of the processes that are in a cgroup itself.
fn members(path: &Path) -> Vec<String> {
    words(path, "cgroup.procs")
}

fn is_this_process(id: &str) -> bool {
    id.parse() == Ok(getpid().as_raw_nonzero().get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_a_word_or_a_path() {
        let read = |text: &str| text.parse::<CgroupSetting>();
        assert_eq!(read("auto"), Ok(CgroupSetting::Auto));
        assert_eq!(read("off"), Ok(CgroupSetting::Off));
        assert_eq!(read("/a/b"), Ok(CgroupSetting::At("/a/b".into())));
        assert!(read("a/b").unwrap_err().contains("absolute path"));
    }

    #[test]
    fn what_is_no_cgroup_to_make_others_in_is_said() {
        let told = |path: &Path| CgroupHome::seen(&CgroupSetting::At(path.to_owned())).unwrap_err();
        let folder = tempfile::tempdir().unwrap();
        let touch = |name: &str| fs::write(folder.path().join(name), "").unwrap();
        assert!(told(folder.path()).contains("no cgroup of version 2"));
        touch("cgroup.controllers");
        assert!(told(folder.path()).contains("the root of all cgroups"));
        touch("cgroup.type");
        assert!(told(folder.path()).contains("5.14"));
        touch("cgroup.kill");
        assert!(told(folder.path()).contains("cgroup.procs cannot be written to"));
        let off = CgroupHome::seen(&CgroupSetting::Off).unwrap_err();
        assert!(off.contains("is off"));
    }

    #[test]
    fn controllers_count_where_they_work_or_can_be_made_to() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let seen = |there: &str, below: &str, members: &str| {
            write("cgroup.controllers", there);
            write("cgroup.subtree_control", below);
            write("cgroup.procs", members);
            let home = CgroupHome::of_controllers(folder.path().to_owned());
            (home.memory, home.processes)
        };
        let own = getpid().as_raw_nonzero().to_string();
        for (there, below, members, has) in [
            ("cpu memory pids\n", "", "", (true, true)),
            ("memory\n", "", own.as_str(), (true, false)),
            ("memory pids\n", "pids\n", "1\n0\n", (false, true)),
            ("hugetlb\n", "", "", (false, false)),
        ] {
            assert_eq!(seen(there, below, members), has, "{there}{below}{members}");
        }
    }

    #[test]
    fn the_nearest_folder_above_two_is_found() {
        let of = |one, other| common(Path::new(one), Path::new(other)).map(Path::to_owned);
        assert_eq!(of("/c/a/b", "/c/a/d/e"), Some("/c/a".into()));
        assert_eq!(of("/c/a", "/c/a/d"), Some("/c/a".into()));
        assert_eq!(of("/c/a", "/d"), Some("/".into()));
    }
}
