//! A cgroup of a test.

use std::fs;
use std::path::{Path, PathBuf};

/// A cgroup of version 2 below that of the test's process. It ends with what is in it when it is dropped.
#[derive(Debug)]
pub struct TestCgroup {
    /// Its folder.
    pub path: PathBuf,
}

impl TestCgroup {
    /// A new one. `None` where this machine lets nobody make one that can be ended: standard error says why the test is skipped.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        match made(name) {
            Ok(path) => Some(Self { path }),
            Err(reason) => {
                eprintln!("skipped: no cgroup of version 2 can be made here: {reason}");
                None
            }
        }
    }

    /// Those below it.
    #[must_use]
    pub fn below(&self) -> Vec<PathBuf> {
        folders(&self.path)
    }

    /// Whether what is below it has a controller.
    #[must_use]
    pub fn passes_on(&self, controller: &str) -> bool {
        let listed = fs::read_to_string(self.path.join("cgroup.subtree_control"));
        let listed = listed.unwrap_or_default();
        listed.split_whitespace().any(|name| name == controller)
    }
}

impl Drop for TestCgroup {
    fn drop(&mut self) {
        let _ended = fs::write(self.path.join("cgroup.kill"), "1");
        remove(&self.path);
    }
}

fn made(name: &str) -> Result<PathBuf, String> {
    let read = |file: &str| fs::read_to_string(file).map_err(|error| format!("{file}: {error}"));
    let mounts = read("/proc/self/mounts")?;
    let mut mounts = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let mount = mounts.find(|mount| mount.get(2) == Some(&"cgroup2"));
    let mount = mount.and_then(|mount| mount.get(1).copied().map(str::to_owned));
    let mount = mount.ok_or("none is mounted")?;
    let cgroups = read("/proc/self/cgroup")?;
    let own = cgroups.lines().find_map(|line| line.strip_prefix("0::/"));
    let above = Path::new(&mount).join(own.ok_or("this process is in none")?);
    let path = above.join(format!("test-{name}-{}", std::process::id()));
    fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    if path.join("cgroup.kill").exists() {
        return Ok(path);
    }
    let _empty = fs::remove_dir(&path);
    Err("its kernel has no cgroup.kill".to_owned())
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(path).into_iter().flatten().flatten();
    let folders = listed.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

fn remove(path: &Path) {
    folders(path).iter().for_each(|below| remove(below));
    let _not_empty = fs::remove_dir(path);
}
