//! What the setting `cgroup` does, and what is said of it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use rustix::fs::{XattrFlags, setxattr};
use taskferry_testing::TestCgroup;

use super::Desk;

#[test]
fn check_says_what_limits_are_held_against() {
    let desk = Desk::new(
        "[[tool]]\nname = 't'\ndescription = 'd'\ncommand = ['sh', '-c', 'true']\ntimeout = '1s'\nlimits.memory = '64MiB'",
    );
    let said = desk.check(&["--cgroup", "off"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    said.has("note: limits.memory bounds each process by itself, and limits.processes those of its user on this machine");
    said.has("the setting cgroup is off");
    let here = desk.folder.path().to_str().unwrap();
    for said in [
        desk.check(&["--cgroup", here]),
        desk.try_it(&["--cgroup", here]),
    ] {
        assert_eq!(said.code, Some(2), "{said:?}");
        said.has("is no cgroup of version 2");
    }
    assert_eq!(desk.check(&["--cgroup", "here"]).code, Some(2));
    let Some(cgroup) = TestCgroup::new("check") else {
        return;
    };
    let said = desk.check(&["--cgroup", cgroup.path.to_str().unwrap()]);
    assert_eq!(said.code, Some(0), "{said:?}");
    said.has("note: each command runs in a cgroup of its own below ");
    assert!(cgroup.below().is_empty(), "check changes nothing");
}

/// `try` in a process that was started in a cgroup, as a service is.
fn tried_in(desk: &Desk, cgroup: &Path) -> String {
    let start = desk.folder.path().join("start.sh");
    let enters = format!(
        "#!/bin/sh\necho $$ > {}/cgroup.procs && exec \"$@\"\n",
        cgroup.display()
    );
    std::fs::write(&start, enters).unwrap();
    std::fs::set_permissions(&start, std::fs::Permissions::from_mode(0o755)).unwrap();
    let worker = desk.worker("try", &["t"]);
    let mut started = Command::new(&start);
    started.arg(worker.get_program()).args(worker.get_args());
    let said = desk.said(started.output().unwrap());
    assert_eq!(said.code, Some(0), "{said:?}");
    said.text()
}

#[test]
fn a_worker_uses_its_own_cgroup_if_that_was_handed_over_to_it() {
    let Some(cgroup) = TestCgroup::new("own") else {
        return;
    };
    let desk = Desk::of_script("", "sed -n s/^0:://p /proc/self/cgroup /proc/$PPID/cgroup");
    let name = cgroup.path.file_name().unwrap().to_str().unwrap();
    let own = |text: &str| {
        text.lines()
            .map(|line| line.split_once(name).unwrap().1.to_owned())
            .collect::<Vec<_>>()
    };
    // Whoever runs the tests may write to the one above as well, so that it was not.
    assert_eq!(own(&tried_in(&desk, &cgroup.path)), ["", ""]);
    let mark = setxattr(&cgroup.path, "trusted.delegate", b"1", XattrFlags::empty());
    if let Err(error) = mark {
        eprintln!("skipped: it cannot be marked here: {error}");
        return;
    }
    let places = own(&tried_in(&desk, &cgroup.path));
    assert!(places[0].starts_with("/taskferry-"), "{places:?}");
    assert_eq!(places[1], "/worker");
    assert_eq!(cgroup.below(), [cgroup.path.join("worker")]);
}

#[test]
fn beside_another_process_commands_have_cgroups_without_controllers() {
    let Some(cgroup) = TestCgroup::new("shared") else {
        return;
    };
    let mark = setxattr(&cgroup.path, "trusted.delegate", b"1", XattrFlags::empty());
    if let Err(error) = mark {
        eprintln!("skipped: it cannot be marked here: {error}");
        return;
    }
    let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
    let procs = cgroup.path.join("cgroup.procs");
    std::fs::write(procs, other.id().to_string()).unwrap();
    let desk = Desk::of_script("", "sed -n s/^0:://p /proc/self/cgroup /proc/$PPID/cgroup");
    let told = tried_in(&desk, &cgroup.path);
    other.kill().unwrap();
    other.wait().unwrap();
    let name = cgroup.path.file_name().unwrap().to_str().unwrap();
    let (command, supervisor) = told.split_once('\n').unwrap();
    assert!(command.contains(&format!("{name}/taskferry-")), "{told}");
    assert!(supervisor.ends_with(name), "{told}");
    assert!(!cgroup.passes_on("memory") && !cgroup.passes_on("pids"));
}
