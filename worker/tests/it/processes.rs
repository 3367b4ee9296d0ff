//! The real binary: signals, crashes, settings.

use std::process::Command;
use std::time::{Duration, Instant};

use taskferry_contract::{AnswerReply, QuestionRef, Status};
use taskferry_testing::{Process, ServerOptions, eventually};

use taskferry_testing::group_lives;

use crate::keeps_house::keep_house;
use crate::rig::{Rig, SOON, Scripts, binary, owner, text, tool};

const LEASE: &[&str] = &["--lease", "1s"];

#[tokio::test]
async fn the_job_of_a_killed_worker_is_not_left_to_a_long_lease() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    let long = ["--lease", "60s"];
    // As a front end does, which sees that the worker is there.
    let shard = rig.settings.shards.all().next().unwrap();
    let (_, _keeping) = keep_house(&rig.store, ("front-end", &[]), shard);
    let mut first = rig.start_binary(scripts.path(), &long);
    let id = rig.submit(&tool("nap"), "{}").await;
    scripts.running(1).await;
    let mut second = rig.start_binary(scripts.path(), &long);
    second.wait_for_line(SOON, "working").await;
    // So long that it was looked at.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    first.kill9();
    let killed = Instant::now();
    let (_, begun) = scripts.running(2).await;
    let took = begun - killed;
    println!("kill -9 to the next attempt: {took:?}");
    // Within 5 s is the aim; the rest is for a busy machine.
    assert!(took < Duration::from_secs(12), "after {took:?}");
    let task = rig.end_of(id).await;
    assert_eq!((text(&task).as_str(), task.attempt), ("by 2", 2));
    second.terminate();
    second.wait_for_exit(SOON).await;
}

#[tokio::test]
async fn the_job_of_a_killed_worker_runs_elsewhere_within_a_lease_and_a_second() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    // With one slot, which the fetcher holds while it waits: the reclaimer must get it nevertheless.
    let one = ["--lease", "1s", "--slots", "1"];
    let mut first = rig.start_binary(scripts.path(), &one);
    let id = rig.submit(&tool("nap"), "{}").await;
    let (orphan, _) = scripts.running(1).await;
    let mut second = rig.start_binary(scripts.path(), &one);
    second.wait_for_line(SOON, "working").await;
    first.kill9();
    let killed = Instant::now();
    let (_, begun) = scripts.running(2).await;
    let took = begun - killed;
    // A lease and a second is the aim, which bench measures; the rest is for a busy machine.
    assert!(
        took < Duration::from_secs(15),
        "the next attempt began after {took:?}"
    );
    println!("kill -9 to the next attempt: {took:?}");
    let task = rig.end_of(id).await;
    assert_eq!((text(&task).as_str(), task.attempt), ("by 2", 2));
    eventually(SOON, "the command ended with its worker", async || {
        !group_lives(orphan)
    })
    .await;
}

#[tokio::test]
async fn what_a_killed_workers_command_has_started_is_told_to_end_and_then_killed() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    scripts.replace(
        "[ $TASKFERRY_ATTEMPT = 1 ] && sleep 1000 & wait;",
        "exec 2>errors; setsid sh -c 'echo $$ > daemon.part; mv daemon.part daemon; exec sleep 1000' & trap 'echo > told' TERM; while [ $TASKFERRY_ATTEMPT = 1 ]; do sleep 0.05; done;",
    );
    let mut first = rig.start_binary(scripts.path(), LEASE);
    let id = rig.submit(&tool("nap"), "{}").await;
    let (leader, _) = scripts.running(1).await;
    let file = scripts.path().join("daemon");
    eventually(SOON, "the daemon runs", async || file.exists()).await;
    let daemon: u32 = std::fs::read_to_string(&file)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(group_lives(leader) && group_lives(daemon));
    first.kill9();
    eventually(SOON, "all of it ends", async || {
        !group_lives(leader) && !group_lives(daemon)
    })
    .await;
    assert!(scripts.path().join("told").exists(), "it could tidy up");
    let _second = rig.start_binary(scripts.path(), LEASE);
    assert_eq!(text(&rig.end_of(id).await), "by 2");
}

#[tokio::test]
async fn a_job_of_one_attempt_fails_with_its_worker() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    scripts.replace("name = \"nap\"", "name = \"nap\"\nattempts = 1");
    let mut first = rig.start_binary(scripts.path(), LEASE);
    rig.until_registered("nap").await;
    let tools = rig.store.tools().await.unwrap();
    let nap = tools
        .iter()
        .find(|tool| tool.name.as_str() == "nap")
        .unwrap();
    let id = rig.submit(nap, "{}").await;
    let (orphan, _) = scripts.running(1).await;
    first.kill9();
    let _second = rig.start_binary(scripts.path(), LEASE);
    let task = rig.end_of(id).await;
    assert_eq!((task.status, task.attempt), (Status::Failed, 1));
    assert_eq!(rig.dead_letters().await, ["crash limit"]);
    eventually(SOON, "the command ended with its worker", async || {
        !group_lives(orphan)
    })
    .await;
}

#[tokio::test]
async fn the_result_of_a_worker_that_froze_past_its_lease_is_refused() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    let mut frozen = rig.start_binary(scripts.path(), LEASE);
    let id = rig.submit(&tool("nap"), "{}").await;
    let (leader, _) = scripts.running(1).await;
    frozen.pause();
    let _second = rig.start_binary(scripts.path(), LEASE);
    assert_eq!(text(&rig.end_of(id).await), "by 2");
    // The sleep in the frozen attempt ends, and its command with it: the worker finds a result when it thaws.
    let stat = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    for child in stat(leader).unwrap().split_whitespace() {
        let child = rustix::process::Pid::from_raw(child.parse().unwrap()).unwrap();
        rustix::process::kill_process(child, rustix::process::Signal::KILL).unwrap();
    }
    frozen.resume();
    eventually(SOON, "the stale result is refused", async || {
        frozen.stderr().contains(r#"outcome="lost lease""#)
    })
    .await;
    assert_eq!(text(&rig.view(id).await), "by 2");
    eventually(SOON, "nothing is left of it", async || !group_lives(leader)).await;
}

#[tokio::test]
async fn sigterm_releases_what_does_not_finish_in_time() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    // With a long lease only a release can explain that another worker takes over soon.
    let long = ["--lease", "10m", "--drain-timeout", "200ms"];
    let mut first = rig.start_binary(scripts.path(), &long);
    let id = rig.submit(&tool("nap"), "{}").await;
    let (leader, _) = scripts.running(1).await;
    let mut second = rig.start_binary(scripts.path(), &long);
    second.wait_for_line(SOON, "working").await;
    first.terminate();
    let (_, begun) = scripts.running(2).await;
    let status = first.wait_for_exit(SOON).await;
    assert_eq!(status.code(), Some(0), "{}", first.stderr());
    assert!(!group_lives(leader));
    assert!(begun.elapsed() < SOON);
    let task = rig.end_of(id).await;
    assert_eq!((text(&task).as_str(), task.attempt), ("by 2", 2));
}

#[tokio::test]
async fn a_second_signal_ends_the_worker_at_once_and_gives_its_jobs_back() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    let long = ["--lease", "10m", "--drain-timeout", "10m"];
    let mut worker = rig.start_binary(scripts.path(), &long);
    let id = rig.submit(&tool("nap"), "{}").await;
    let (leader, _) = scripts.running(1).await;
    worker.terminate();
    worker.wait_for_line(SOON, "winding down").await;
    worker.terminate();
    let status = worker.wait_for_exit(SOON).await;
    assert_eq!(status.code(), Some(1), "{}", worker.stderr());
    assert_eq!(rig.view(id).await.status, Status::Queued);
    eventually(SOON, "the command is killed", async || !group_lives(leader)).await;
    rig.store.cancel_any(id, "no").await.unwrap();
}

#[tokio::test]
async fn a_worker_waits_for_a_redis_that_is_not_there_yet() {
    let (mut rig, scripts) = (Rig::new().await, Scripts::new());
    rig.server.kill9();
    let mut worker = rig.start_binary(scripts.path(), LEASE);
    worker.wait_for_line(SOON, "waiting for Redis").await;
    rig.server.restart().await;
    worker.wait_for_line(SOON, "working").await;
    let id = rig.submit(&tool("echo"), r#"{"text":"hello"}"#).await;
    assert_eq!(text(&rig.end_of(id).await), "hello");
}

#[tokio::test]
async fn a_redis_that_evicts_is_refused_with_what_to_change() {
    let options = ServerOptions {
        arguments: vec!["--maxmemory-policy".to_owned(), "allkeys-lru".to_owned()],
        ..ServerOptions::default()
    };
    let (rig, scripts) = (Rig::on(options, 1).await, Scripts::new());
    let mut worker = rig.start_binary(scripts.path(), LEASE);
    assert_eq!(worker.wait_for_exit(SOON).await.code(), Some(1));
    let said = worker.stderr();
    assert!(said.contains("maxmemory-policy noeviction"), "{said}");
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_told_together() {
    let mut command = binary("http://wrong");
    command.args(["--slots", "0", "--lease", "1h"]);
    command.env("TASKFERRY_DRAIN_TIMEOUT", "soon");
    command.env("TASKFERRY_SLOT", "3");
    command.env("TASKFERRY_LISTEN", "127.0.0.1:1");
    let mut worker = Process::start("taskferry-worker", command);
    assert_eq!(worker.wait_for_exit(SOON).await.code(), Some(2));
    let said = worker.stderr();
    let expected = [
        "--slots",
        "--lease",
        "TASKFERRY_DRAIN_TIMEOUT",
        "TASKFERRY_SLOT",
        "--redis-url",
        "manifest",
    ];
    for name in expected {
        assert!(said.contains(name), "{name} is not in {said}");
    }
    assert!(!said.contains("TASKFERRY_LISTEN"), "{said}");
}

#[tokio::test]
async fn a_manifest_that_cannot_be_used_is_told_as_a_whole() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    let manifest = "[[tool]]\nname = 'a b'\ncomand = ['x']\n";
    std::fs::write(scripts.path().join("tools.toml"), manifest).unwrap();
    let mut worker = rig.start_binary(scripts.path(), &[]);
    assert_eq!(worker.wait_for_exit(SOON).await.code(), Some(2));
    let said = worker.stderr();
    for problem in ["name", "comand", "description", "is required"] {
        assert!(said.contains(problem), "{problem} is not in {said}");
    }
}

/// A binary of an example.
fn start_example(rig: &Rig, name: &str, flags: &[&str]) -> Process {
    let test = std::env::current_exe().unwrap();
    let examples = test.ancestors().nth(2).unwrap().join("examples");
    let mut command = Command::new(examples.join(name));
    command.args(["--redis-url", &rig.server.url()]).args(flags);
    Process::start(name, command)
}

#[tokio::test]
async fn a_handler_that_blocks_its_thread_does_not_keep_the_process() {
    let rig = Rig::new().await;
    let flags = ["--drain-timeout", "100ms"];
    let mut worker = start_example(&rig, "stuck_worker", &flags);
    rig.until_registered("stuck").await;
    let id = rig.submit(&tool("stuck"), "{}").await;
    rig.has_status(id, Status::Working).await;
    worker.terminate();
    worker.wait_for_exit(SOON).await;
    assert_eq!(rig.view(id).await.status, Status::Queued);
    rig.store.cancel_any(id, "no").await.unwrap();
}

#[tokio::test]
async fn the_example_in_rust_asks_and_then_adds_up() {
    let rig = Rig::new().await;
    let _worker = start_example(&rig, "rust_worker", &[]);
    rig.until_registered("summarize_orders").await;
    let definition = rig.store.tools().await.unwrap().remove(0);
    let arguments = r#"{"region":"North","confirm":true}"#;
    let id = rig.submit(&definition, arguments).await;
    rig.has_status(id, Status::InputRequired).await;
    let (owner, yes) = (owner(), r#"{"action":"accept","content":{}}"#);
    let answered = rig
        .store
        .answer_input(
            QuestionRef {
                task: id,
                owner: &owner,
                key: "confirm",
            },
            yes,
        )
        .await;
    assert_eq!(answered.unwrap(), AnswerReply::Stored { open: 0 });
    let task = rig.end_of(id).await;
    assert!(text(&task).contains(r#""2024-12":6345.62"#), "{task:?}");
    assert_eq!(task.message.as_deref(), Some("adding up"));
}
