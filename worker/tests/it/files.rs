//! The real binary where files are few.

use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use taskferry_contract::{Status, TaskId, ToolDefinition};
use taskferry_testing::Process;
use tempfile::TempDir;

use crate::rig::{Rig, SOON, binary, text};

/// A worker whose shell sets its limits first, and its one tool, which may run once.
async fn start(rig: &Rig, limits: &str, script: &str) -> (Process, ToolDefinition, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("brief.sh"), script).unwrap();
    let manifest = "[[tool]]\nname = 'brief'\ndescription = 'Runs once'\nattempts = 1\ncommand = ['sh', 'brief.sh']";
    std::fs::write(folder.path().join("tools.toml"), manifest).unwrap();
    let worker = binary(&rig.server.url());
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{limits}\nexec \"$0\" \"$@\"")])
        .arg(worker.get_program())
        .args(worker.get_args())
        .args(["--redis-timeout", "30s", "--slots", "32", "--manifest"])
        .arg(folder.path().join("tools.toml"));
    let process = Process::start("taskferry-worker", command);
    rig.until_registered("brief").await;
    let brief = rig.store.tools().await.unwrap().remove(0);
    (process, brief, folder)
}

async fn submit_many(rig: &Rig, tool: &ToolDefinition) -> Vec<TaskId> {
    let mut ids = Vec::new();
    for _ in 0..35 {
        ids.push(rig.submit(tool, "{}").await);
    }
    ids
}

#[tokio::test]
async fn a_worker_with_few_files_serves_fewer_slots_and_loses_nothing() {
    let rig = Rig::new().await;
    let (worker, brief, _folder) = start(&rig, "ulimit -n 64", "sleep 0.1; echo done").await;
    for id in submit_many(&rig, &brief).await {
        let task = rig.end_of(id).await;
        assert_eq!((task.status, task.attempt), (Status::Completed, 1));
        assert_eq!(text(&task), "done");
    }
    let told = worker.stderr();
    assert!(
        told.contains("the limit of 64 open files has room for 4 of 32 slots"),
        "{told}"
    );
    let name: Vec<String> = rig.raw(&["ZRANGE", "tf:{fleet}:workers", "0", "0"]).await;
    let key = format!("tf:{{fleet}}:worker:{}", name[0]);
    let slots: String = rig.raw(&["HGET", &key, "slots"]).await;
    assert_eq!(slots, "4");
}

#[tokio::test]
async fn a_worker_raises_its_limit_of_open_files_but_not_that_of_its_commands() {
    let rig = Rig::new().await;
    // The limit of a command is lowered just after its start.
    let script = "until [ \"$(ulimit -Sn)\" = 64 ]; do sleep 0.01; done; echo done";
    let (worker, brief, _folder) = start(&rig, "ulimit -Sn 64", script).await;
    for id in submit_many(&rig, &brief).await {
        assert_eq!(text(&rig.end_of(id).await), "done");
    }
    assert!(
        !worker.stderr().contains("open files"),
        "{}",
        worker.stderr()
    );
}

#[tokio::test]
async fn a_start_for_which_files_are_missing_uses_up_nothing() {
    let rig = Rig::new().await;
    let (mut worker, brief, _folder) = start(&rig, "", "echo done").await;
    // From here on the worker has all the connections that it needs.
    let first = rig.submit(&brief, "{}").await;
    assert_eq!(text(&rig.end_of(first).await), "done");
    let pid = Pid::from_raw(i32::try_from(worker.pid()).unwrap());
    let none = Rlimit {
        current: Some(3),
        maximum: None,
    };
    let before = prlimit(pid, Resource::Nofile, keep_maximum(pid, none)).unwrap();
    // That one connection cannot be opened again is no reason to leave the others.
    let _: i64 = rig.raw(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    worker
        .wait_for_line(SOON, "the doorbell connection failed")
        .await;
    let id = rig.submit(&brief, "{}").await;
    let told = rig
        .when(id, "it is given back", |task| {
            let message = task.message.as_deref().unwrap_or_default();
            task.status == Status::Queued
                && message.contains("short of processes, memory or open files")
        })
        .await;
    assert!(told.attempt >= 1);
    prlimit(pid, Resource::Nofile, before).unwrap();
    let task = rig.end_of(id).await;
    assert_eq!(
        (task.status, text(&task).as_str()),
        (Status::Completed, "done")
    );
    assert!(task.attempt > told.attempt);
    assert!(rig.dead_letters().await.is_empty());
}

/// The same with the hard limit as it is.
fn keep_maximum(pid: Option<Pid>, limit: Rlimit) -> Rlimit {
    let path = format!("/proc/{}/limits", pid.unwrap().as_raw_nonzero());
    let limits = std::fs::read_to_string(path).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let hard = line.unwrap().split_whitespace().nth(4).unwrap();
    Rlimit {
        maximum: hard.parse().ok(),
        ..limit
    }
}
