use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use taskferry_testing::eventually;
use taskferry_worker::exec::CommandOutcome;
use tokio::task::JoinSet;

use crate::support::{Case, LONG, gone, members, panic_with};

/// Starts the command and cancels it once its group is as it should be.
async fn cancel_when(case: &Case, ready: impl Fn(&[(i32, char)]) -> bool) -> (CommandOutcome, i32) {
    let mut runs = JoinSet::new();
    runs.spawn(case.run());
    let group = case.group("pid").await;
    eventually(LONG, "the group is ready", async || ready(&members(group))).await;
    case.cancel.cancel();
    let joined = runs.join_next().await.expect("one run").expect("no panic");
    (joined.expect("the command starts"), group)
}

#[tokio::test]
async fn cancel_ends_the_grandchildren_too() {
    let case = Case::sh("(sleep 1000 & sleep 1000) & sleep 1000 & echo $$ > pid; wait");
    let (outcome, group) = cancel_when(&case, |members| members.len() >= 4).await;
    assert!(matches!(outcome, CommandOutcome::Cancelled), "{outcome:?}");
    gone(group).await;
}

#[tokio::test]
async fn cancel_lets_the_command_clean_up() {
    let case =
        Case::sh("trap 'echo bye > bye; exit 0' TERM; echo $$ > pid; while :; do sleep 0.01; done");
    let (outcome, group) = cancel_when(&case, |_| true).await;
    assert!(matches!(outcome, CommandOutcome::Cancelled), "{outcome:?}");
    assert!(case.path("bye").exists());
    gone(group).await;
}

#[tokio::test]
async fn a_command_that_ignores_sigterm_is_killed_after_the_grace() {
    let mut case = Case::sh("trap '' TERM; echo $$ > pid; while :; do sleep 0.01; done");
    case.command.stop_grace = Duration::from_millis(300);
    let start = Instant::now();
    let (outcome, group) = cancel_when(&case, |_| true).await;
    assert!(matches!(outcome, CommandOutcome::Cancelled), "{outcome:?}");
    assert!(start.elapsed() >= case.command.stop_grace);
    gone(group).await;
}

#[tokio::test]
async fn a_stopped_command_hears_the_cancellation() {
    let case =
        Case::sh("trap 'echo bye > bye; exit 0' TERM; echo $$ > pid; kill -STOP $$; sleep 1000");
    let (outcome, group) = cancel_when(&case, |members| {
        members.iter().any(|(_, state)| *state == 'T')
    })
    .await;
    assert!(matches!(outcome, CommandOutcome::Cancelled), "{outcome:?}");
    assert!(case.path("bye").exists());
    gone(group).await;
}

#[tokio::test]
async fn a_cancelled_token_cancels_at_once() {
    let case = Case::sh("sleep 1000");
    case.cancel.cancel();
    let outcome = case.outcome().await;
    assert!(matches!(outcome, CommandOutcome::Cancelled), "{outcome:?}");
}

#[tokio::test]
async fn a_timeout_is_a_tool_error() {
    let mut case = Case::sh("echo $$ > pid; echo half; sleep 1000 & sleep 1000");
    case.timeout = Duration::from_secs(1);
    assert_eq!(
        case.error().await,
        "timed out after 1s (the tool's timeout, set in its manifest or definition)"
    );
    gone(case.group("pid").await).await;
}

#[tokio::test]
async fn a_timeout_kills_after_the_grace() {
    let mut case = Case::sh("trap '' TERM; echo $$ > pid; while :; do sleep 0.01; done");
    case.timeout = Duration::from_secs(1);
    case.command.stop_grace = Duration::ZERO;
    assert_eq!(
        case.error().await,
        "timed out after 1s (the tool's timeout, set in its manifest or definition)"
    );
    gone(case.group("pid").await).await;
}

#[tokio::test]
async fn dropping_the_run_kills_the_group() {
    let case = Case::sh("trap '' TERM; sleep 1000 & echo $$ > pid; wait");
    let mut runs = JoinSet::new();
    runs.spawn(case.run());
    let group = case.group("pid").await;
    assert!(!members(group).is_empty());
    runs.shutdown().await;
    gone(group).await;
}

#[tokio::test]
async fn too_much_output_kills_the_group() {
    let mut case = Case::sh("echo $$ > pid; trap '' TERM; yes & yes");
    case.command.max_output = 64 * 1024;
    assert_eq!(
        case.error().await,
        "output is larger than 64KiB (the tool's max_output, set in its manifest)"
    );
    gone(case.group("pid").await).await;
}

#[tokio::test]
async fn the_bound_of_the_output_is_exact() {
    let mut case = Case::sh("printf 12345678");
    case.command.max_output = 8;
    assert_eq!(case.text().await, "12345678");
    case.command.max_output = 7;
    assert_eq!(
        case.error().await,
        "output is larger than 7B (the tool's max_output, set in its manifest)"
    );
}

#[tokio::test]
async fn a_child_left_behind_with_the_pipes_is_killed() {
    let case = Case::sh("sleep 1000 & echo $$ > pid; echo done");
    let start = Instant::now();
    assert_eq!(case.text().await, "done");
    assert!(start.elapsed() < Duration::from_secs(10));
    gone(case.group("pid").await).await;
}

#[tokio::test]
async fn a_child_left_behind_without_the_pipes_is_killed() {
    let case = Case::sh("sleep 1000 </dev/null >/dev/null 2>&1 & echo $$ > pid; echo done");
    assert_eq!(case.text().await, "done");
    gone(case.group("pid").await).await;
}

#[tokio::test]
async fn what_a_child_writes_right_after_the_exit_still_counts() {
    // A child that the machine did not run for a second after the exit is too late: once, but not each time.
    let mut said = String::new();
    for _ in 0..3 {
        let case =
            Case::sh("(until [ -e go ]; do sleep 0.01; done; echo late) & echo early; touch go");
        said = case.text().await;
        if said == "early\nlate" {
            return;
        }
    }
    panic!("{said}");
}

#[tokio::test]
async fn without_a_supervisor_a_child_that_left_the_group_stays_and_does_not_hold_the_result_up() {
    let mut case = Case::sh(
        "setsid sh -c 'echo $$ > escaped; exec sleep 1000' & until [ -s escaped ]; do sleep 0.01; done; echo done",
    );
    case.supervised = false;
    assert_eq!(case.text().await, "done");
    let escaped = case.group("escaped").await;
    assert!(!members(escaped).is_empty());
    let pid = Pid::from_raw(escaped).expect("a process id");
    kill_process(pid, Signal::KILL).expect("it is still there");
    gone(escaped).await;
}

#[tokio::test]
async fn an_exit_counts_more_than_a_later_cancellation() {
    let case = Case::sh("echo $$ > pid; echo done; sleep 1000 &");
    let mut runs = JoinSet::new();
    runs.spawn(case.run());
    let group = case.group("pid").await;
    // The run has seen the exit, and waits for the child that holds the pipes.
    let leader = format!("/proc/{group}");
    eventually(LONG, "the command has ended", async || {
        !Path::new(&leader).exists()
    })
    .await;
    assert!(!members(group).is_empty());
    case.cancel.cancel();
    match runs.join_next().await.expect("one run").expect("no panic") {
        Ok(CommandOutcome::Completed(result)) => assert!(!result.is_error),
        Ok(other) => panic_with(&other),
        Err(error) => panic!("{error}"),
    }
    gone(group).await;
}
