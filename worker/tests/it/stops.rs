//! The real binary and the signals that tell it to stop, alone or with its commands.

use std::process::Command;

use rustix::process::{Pid, Signal, kill_process_group};
use taskferry_contract::{Status, ToolDefinition};
use taskferry_testing::{Process, eventually, group_lives};

use crate::rig::{Rig, SOON, Scripts, binary, text, tool};

/// With a long lease only a release can explain that another worker takes over soon.
const LONG: &[&str] = &["--lease", "10m", "--drain-timeout", "10m"];

/// What a service manager does that signals all processes of a service: the command is dead before its worker looks.
fn terminate_with(worker: &mut Process, leader: u32) {
    worker.pause();
    let group = Pid::from_raw(i32::try_from(leader).unwrap()).unwrap();
    kill_process_group(group, Signal::TERM).unwrap();
    worker.terminate();
    worker.resume();
}

async fn registered(rig: &Rig, name: &str) -> ToolDefinition {
    rig.until_registered(name).await;
    let tools = rig.store.tools().await.unwrap().into_iter();
    let mut named = tools.filter(|tool| tool.name.as_str() == name);
    named.next().unwrap()
}

#[tokio::test]
async fn a_command_that_is_signalled_with_its_worker_is_stopped_with_it() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    let mut first = rig.start_binary(scripts.path(), LONG);
    let id = rig.submit(&tool("nap"), "{}").await;
    let (leader, _) = scripts.running(1).await;
    terminate_with(&mut first, leader);
    assert_eq!(first.wait_for_exit(SOON).await.code(), Some(0));
    assert_eq!(rig.view(id).await.status, Status::Queued);
    let key = format!("tf:{{0}}:task:{id}");
    let used: Vec<String> = rig.raw(&["HMGET", &key, "retries", "crashes"]).await;
    assert_eq!(used, ["0", "0"]);
    let _second = rig.start_binary(scripts.path(), LONG);
    let task = rig.end_of(id).await;
    assert_eq!((text(&task).as_str(), task.attempt), ("by 2", 2));
}

/// A read of the worker may be on its way to Redis just when the job is given back; a few rounds meet that.
#[tokio::test]
async fn a_worker_that_stops_does_not_take_again_what_it_gave_back() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    scripts.replace("[ $TASKFERRY_ATTEMPT = 1 ]", "true");
    let id = rig.submit(&tool("nap"), "{}").await;
    for attempt in 1..=10 {
        let mut worker = rig.start_binary(scripts.path(), LONG);
        let (leader, _) = scripts.running(attempt).await;
        terminate_with(&mut worker, leader);
        assert_eq!(worker.wait_for_exit(SOON).await.code(), Some(0));
        let task = rig.view(id).await;
        let stands = (task.status, task.attempt);
        assert_eq!(
            stands,
            (Status::Queued, u64::from(attempt)),
            "{}",
            worker.stderr()
        );
    }
    rig.leaves_jobs();
}

#[tokio::test]
async fn what_may_run_once_fails_because_its_worker_was_stopped() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    scripts.replace("name = \"nap\"", "name = \"nap\"\nattempts = 1");
    let mut worker = rig.start_binary(scripts.path(), LONG);
    let nap = registered(&rig, "nap").await;
    let id = rig.submit(&nap, "{}").await;
    let (leader, _) = scripts.running(1).await;
    terminate_with(&mut worker, leader);
    assert_eq!(worker.wait_for_exit(SOON).await.code(), Some(0));
    let task = rig.view(id).await;
    assert_eq!((task.status, task.attempt), (Status::Failed, 1));
    let told = task.message.unwrap();
    assert!(
        told.starts_with("the worker was stopped during attempt 1"),
        "{told}"
    );
}

#[tokio::test]
async fn a_command_that_is_signalled_alone_is_retried() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    let _worker = rig.start_binary(scripts.path(), LONG);
    let id = rig.submit(&tool("nap"), "{}").await;
    let (leader, _) = scripts.running(1).await;
    let group = Pid::from_raw(i32::try_from(leader).unwrap()).unwrap();
    kill_process_group(group, Signal::TERM).unwrap();
    assert_eq!(text(&rig.end_of(id).await), "by 2");
    let key = format!("tf:{{0}}:task:{id}");
    let retries: String = rig.raw(&["HGET", &key, "retries"]).await;
    assert_eq!(retries, "1");
}

#[tokio::test]
async fn every_stop_signal_lets_jobs_be_given_back() {
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM] {
        let (rig, scripts) = (Rig::new().await, Scripts::new());
        let soon = ["--lease", "10m", "--drain-timeout", "100ms"];
        let mut worker = rig.start_binary(scripts.path(), &soon);
        let id = rig.submit(&tool("nap"), "{}").await;
        let (leader, _) = scripts.running(1).await;
        worker.signal(signal);
        let status = worker.wait_for_exit(SOON).await;
        assert_eq!(status.code(), Some(0), "{signal:?}: {}", worker.stderr());
        assert!(!group_lives(leader), "{signal:?}");
        assert_eq!(rig.view(id).await.status, Status::Queued, "{signal:?}");
        rig.leaves_jobs();
    }
}

#[tokio::test]
async fn a_hangup_does_not_hurry_a_worker_that_stops() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    let mut worker = rig.start_binary(scripts.path(), LONG);
    let id = rig.submit(&tool("nap"), "{}").await;
    let (leader, _) = scripts.running(1).await;
    worker.terminate();
    worker.wait_for_line(SOON, "winding down").await;
    worker.signal(Signal::HUP);
    // The command ends by itself, and its worker still wants the result.
    let children = std::fs::read_to_string(format!("/proc/{leader}/task/{leader}/children"));
    for child in children.unwrap().split_whitespace() {
        let child = Pid::from_raw(child.parse().unwrap()).unwrap();
        rustix::process::kill_process(child, Signal::KILL).unwrap();
    }
    assert_eq!(text(&rig.end_of(id).await), "by 1");
    assert_eq!(worker.wait_for_exit(SOON).await.code(), Some(0));
    assert!(!worker.stderr().contains("second signal"));
}

#[tokio::test]
async fn a_worker_that_was_started_with_nohup_outlives_its_terminal() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    let worker = binary(&rig.server.url());
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
        .arg(worker.get_program())
        .args(worker.get_args())
        .arg("--manifest")
        .arg(scripts.path().join("tools.toml"));
    let mut worker = Process::start("taskferry-worker", command);
    worker.wait_for_line(SOON, "working").await;
    worker.signal(Signal::HUP);
    let id = rig.submit(&tool("echo"), r#"{"text":"still here"}"#).await;
    assert_eq!(text(&rig.end_of(id).await), "still here");
    assert!(worker.is_running());
    worker.terminate();
    assert_eq!(worker.wait_for_exit(SOON).await.code(), Some(0));
}

#[tokio::test]
async fn the_command_of_a_worker_that_hung_up_does_not_run_beside_the_next_attempt() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    let mut first = rig.start_binary(scripts.path(), &["--lease", "1s", "--drain-timeout", "0s"]);
    let id = rig.submit(&tool("nap"), "{}").await;
    let (leader, _) = scripts.running(1).await;
    first.signal(Signal::HUP);
    let _second = rig.start_binary(scripts.path(), &["--lease", "1s"]);
    assert_eq!(text(&rig.end_of(id).await), "by 2");
    eventually(SOON, "the first command is gone", async || {
        !group_lives(leader)
    })
    .await;
    first.wait_for_exit(SOON).await;
}
