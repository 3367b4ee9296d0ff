//! Commands in cgroups of their own. Where this machine lets nobody make one, each test says so and ends.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command};

use rustix::fs::{FlockOperation, flock};
use taskferry_testing::{TestCgroup, eventually};
use taskferry_worker::exec::{CgroupHome, CgroupSetting, CommandOutcome, StartError};
use tokio::task::JoinSet;

use crate::support::{Case, LONG, gone, members};

/// A cgroup of a test, with a home in it.
struct Cgroup {
    made: TestCgroup,
    home: CgroupHome,
}

impl Cgroup {
    async fn new(name: &str) -> Option<Self> {
        let made = TestCgroup::new(name)?;
        let home = CgroupHome::take(&CgroupSetting::At(made.path.clone())).await;
        let home = home.expect("what this process made is its own");
        Some(Self { made, home })
    }

    fn is_empty(&self) -> bool {
        self.made.below().is_empty()
    }

    fn sh(&self, script: &str) -> Case {
        let mut case = Case::sh(script);
        case.home = Some(self.home.clone());
        case
    }
}

/// Leaves a process in a session of its own, and names it in `escaped`.
const DAEMON: &str = "setsid sh -c 'echo $$ > escaped.part; mv escaped.part escaped; exec sleep 1000' </dev/null >/dev/null 2>&1 &
until [ -s escaped ]; do sleep 0.01; done
";

#[tokio::test]
async fn each_command_has_a_cgroup_that_ends_with_it() {
    let Some(cgroup) = Cgroup::new("each").await else {
        return;
    };
    let (one, other) = (
        cgroup.sh(&format!("{DAEMON} sed -n s/^0:://p /proc/self/cgroup")),
        cgroup.sh("sed -n s/^0:://p /proc/self/cgroup"),
    );
    let (first, second) = tokio::join!(one.text(), other.text());
    let name = cgroup.made.path.file_name().unwrap().to_str().unwrap();
    for own in [&first, &second] {
        assert!(own.contains(&format!("{name}/taskferry-")), "{own}");
    }
    assert_ne!(first, second);
    assert!(members(one.group("escaped").await).is_empty());
    assert!(cgroup.is_empty());
}

#[tokio::test]
async fn what_begins_processes_faster_than_they_are_killed_ends_too() {
    let Some(cgroup) = Cgroup::new("fast").await else {
        return;
    };
    // Each of its processes begins the next one, in a session of its own, and ends.
    let case = cgroup.sh("echo 'setsid sh ./next >/dev/null 2>&1 & exit' > next
        for i in 1 2 3 4 5 6 7 8; do sh ./next; done
        mkdir -p below; echo $$ > pid; echo done");
    assert_eq!(case.text().await, "done");
    assert!(cgroup.is_empty());
}

#[tokio::test]
async fn what_has_killed_its_supervisor_ends_all_the_same() {
    let Some(cgroup) = Cgroup::new("kills").await else {
        return;
    };
    let script = "until [ -e go ]; do sleep 0.01; done; kill -9 $PPID; sleep 1000";
    let mut case = cgroup.sh(&format!("{DAEMON} echo '::message up' >&2; {script}"));
    let mut runs = JoinSet::new();
    runs.spawn(case.run());
    // The worker knows that it has begun.
    case.events.recv().await.unwrap();
    fs::write(case.path("go"), "").unwrap();
    let outcome = runs.join_next().await.unwrap().unwrap().unwrap();
    assert!(
        matches!(outcome, CommandOutcome::Retry { .. }),
        "{outcome:?}"
    );
    gone(case.group("escaped").await).await;
    assert!(cgroup.is_empty());
}

/// A process in a cgroup like that of a command.
fn left_behind(path: &Path) -> Child {
    fs::create_dir(path).expect("a cgroup");
    let child = Command::new("sleep").arg("1000").spawn();
    let child = child.expect("a process");
    fs::write(path.join("cgroup.procs"), child.id().to_string()).expect("it may be moved");
    child
}

#[tokio::test]
async fn what_a_dead_worker_left_behind_is_ended_and_nothing_else() {
    let Some(cgroup) = Cgroup::new("left").await else {
        return;
    };
    let [left, looked_after, other] =
        ["taskferry-left", "taskferry-live", "other"].map(|name| cgroup.made.path.join(name));
    let mut children = [&left, &looked_after, &other].map(|path| left_behind(path));
    fs::create_dir(left.join("nested")).unwrap();
    let held = File::open(&looked_after).unwrap();
    flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
    CgroupHome::take(&CgroupSetting::At(cgroup.made.path.clone()))
        .await
        .unwrap();
    assert!(!left.exists());
    let [ended, live, elsewhere] = &mut children;
    assert!(ended.wait().unwrap().code().is_none());
    for child in [live, elsewhere] {
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    eventually(LONG, "they are empty", async || {
        fs::remove_dir(&other).is_ok() && fs::remove_dir(&looked_after).is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_cgroup_that_cannot_be_had_keeps_the_command_from_running() {
    let Some(cgroup) = Cgroup::new("none").await else {
        return;
    };
    let case = cgroup.sh("echo ran");
    fs::remove_dir(&cgroup.made.path).unwrap();
    let error = case.run().await.unwrap_err();
    assert!(matches!(error, StartError::Unconfined { .. }), "{error}");
    assert!(error.to_string().contains("its cgroup"), "{error}");
}

#[tokio::test]
async fn all_processes_of_a_command_together_are_bounded() {
    let Some(cgroup) = Cgroup::new("sum").await else {
        return;
    };
    for (controller, script, told) in [
        (
            "memory",
            "import os, time
for _ in range(4):
    if os.fork() == 0:
        held = b'x' * (20 << 20)
        time.sleep(10)
time.sleep(10)",
            "together took more than 48MiB of memory",
        ),
        (
            "pids",
            "import subprocess
all = [subprocess.Popen(['sleep', '10']) for _ in range(20)]",
            "limits.processes of 5",
        ),
    ] {
        if !cgroup.made.passes_on(controller) {
            eprintln!("skipped: the controller {controller} is not there");
            continue;
        }
        let mut case = Case::python(script);
        case.home = Some(cgroup.home.clone());
        case.command.limits.memory = (controller == "memory").then_some(48 << 20);
        case.command.limits.processes = (controller == "pids").then_some(5);
        let error = case.error().await;
        assert!(error.contains(told), "{error}");
    }
}
