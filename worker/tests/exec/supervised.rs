//! What a command has started ends with it, also what left its group.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use taskferry_testing::eventually;
use taskferry_worker::exec::CommandOutcome;
use tokio::task::JoinSet;

use crate::support::{Case, gone, members};

/// Leaves a process in a session of its own that holds no pipe, as a daemon does, and names it in `escaped`.
const DAEMON: &str = "setsid sh -c '(echo $$ > escaped.part; mv escaped.part escaped; exec sleep 1000) </dev/null >/dev/null 2>&1 &'
until [ -s escaped ]; do sleep 0.01; done
";

#[tokio::test]
async fn a_daemon_ends_with_its_command() {
    let case = Case::sh(&format!("{DAEMON} echo done"));
    assert_eq!(case.text().await, "done");
    gone(case.group("escaped").await).await;
}

#[tokio::test]
async fn a_daemon_that_holds_the_pipes_does_not_hold_the_result_up() {
    let case = Case::sh(
        "setsid sh -c 'echo $$ > escaped; exec sleep 1000' & until [ -s escaped ]; do sleep 0.01; done; echo done",
    );
    let start = Instant::now();
    assert_eq!(case.text().await, "done");
    assert!(start.elapsed() < Duration::from_secs(10));
    gone(case.group("escaped").await).await;
}

#[tokio::test]
async fn a_daemon_ends_with_a_cancelled_command_and_with_a_dropped_run() {
    for is_dropped in [false, true] {
        let mut case = Case::sh(&format!("{DAEMON} echo $$ > pid; sleep 1000"));
        case.command.stop_grace = Duration::ZERO;
        let mut runs = JoinSet::new();
        runs.spawn(case.run());
        let (leader, escaped) = (case.group("pid").await, case.group("escaped").await);
        assert!(!members(escaped).is_empty());
        if is_dropped {
            runs.shutdown().await;
        } else {
            case.cancel.cancel();
            let outcome = runs.join_next().await.unwrap().unwrap().unwrap();
            assert!(matches!(outcome, CommandOutcome::Cancelled), "{outcome:?}");
            assert!(members(escaped).is_empty(), "it is gone before the run is");
        }
        gone(leader).await;
        gone(escaped).await;
    }
}

#[tokio::test]
async fn a_tree_of_daemons_ends_and_nothing_of_another_job() {
    let other = Case::sh(&format!(
        "{DAEMON} until [ -e go ]; do sleep 0.01; done; echo other"
    ));
    let mut runs = JoinSet::new();
    runs.spawn(other.run());
    let others = other.group("escaped").await;
    let case = Case::sh(
        "for i in 1 2 3; do setsid sh -c 'setsid sh -c \"setsid sleep 1000 & echo \\$! > $1; sleep 1000\" x $1 & sleep 1000' x $i >/dev/null 2>&1 & done
         for i in 1 2 3; do until [ -s $i ]; do sleep 0.01; done; done; echo done",
    );
    assert_eq!(case.text().await, "done");
    for name in ["1", "2", "3"] {
        let pid = case.group(name).await;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(!stat.contains("(sleep)"), "{stat}");
    }
    assert!(!members(others).is_empty());
    fs::write(other.path("go"), "").unwrap();
    let outcome = runs.join_next().await.unwrap().unwrap().unwrap();
    assert!(matches!(outcome, CommandOutcome::Completed(_)));
    gone(others).await;
}

#[tokio::test]
async fn a_supervisor_outlives_signals_and_its_death_is_that_of_the_command() {
    let case = Case::sh("kill -TERM $PPID; kill -INT $PPID; kill -HUP $PPID; sleep 0.1; echo well");
    assert_eq!(case.text().await, "well");
    let mut case =
        Case::sh("echo $$ > pid; echo $PPID > above; echo '::message up' >&2; sleep 1000");
    let mut runs = JoinSet::new();
    runs.spawn(case.run());
    // The worker knows that it has begun.
    case.events.recv().await.unwrap();
    let (leader, supervisor) = (case.group("pid").await, case.group("above").await);
    kill_process(Pid::from_raw(supervisor).unwrap(), Signal::KILL).unwrap();
    let outcome = runs.join_next().await.unwrap().unwrap().unwrap();
    let CommandOutcome::Retry { message, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(message, "killed by signal 9");
    gone(leader).await;
}

#[tokio::test]
async fn a_command_has_no_new_privileges_no_core_and_no_other_files() {
    let mut case =
        Case::sh("grep NoNewPrivs /proc/self/status; ulimit -c; ls /proc/self/fd | wc -l");
    // The fourth is of `ls` itself.
    assert_eq!(case.text().await, "NoNewPrivs:\t1\n0\n4");
    case.command.sandbox.new_privileges = true;
    assert!(case.text().await.starts_with("NoNewPrivs:\t0\n"));
}

#[tokio::test]
async fn what_ended_meanwhile_is_buried() {
    let case = Case::sh(
        "for i in 1 2 3; do (sh -c 'exit 0' & echo $! >> dead); done; sleep 0.2
         for pid in $(cat dead); do [ -e /proc/$pid ] && echo \"$pid is there\"; done; echo done",
    );
    let mut said = String::new();
    // The supervisor may not have run within that time.
    eventually(Duration::from_secs(10), "no zombies are left", async || {
        let _none = fs::remove_file(case.path("dead"));
        said = case.text().await;
        said == "done"
    })
    .await;
}
