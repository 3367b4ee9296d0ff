//! Workers that end by themselves: after so many jobs, or when there is nothing to do.

use std::time::{Duration, Instant};

use taskferry_contract::{Status, TaskId};
use taskferry_testing::{Process, ServerOptions, eventually, redis};

use crate::rig::{Rig, SOON, Scripts, text, tool};

async fn echoes(rig: &Rig, jobs: usize) -> Vec<TaskId> {
    let mut ids = Vec::new();
    for n in 0..jobs {
        let arguments = format!(r#"{{"text":"job {n}"}}"#);
        ids.push(rig.submit(&tool("echo"), &arguments).await);
    }
    ids
}

async fn ended(rig: &Rig, ids: &[TaskId]) -> usize {
    let mut ended = 0;
    for id in ids {
        ended += usize::from(rig.view(*id).await.status.is_terminal());
    }
    ended
}

async fn ends_well(worker: &mut Process) {
    let code = worker.wait_for_exit(SOON).await.code();
    assert_eq!(code, Some(0), "{}", worker.stderr());
}

#[tokio::test]
async fn a_worker_of_so_many_jobs_takes_no_more_whatever_its_slots() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    let ids = echoes(&rig, 7).await;
    // More slots than jobs that it may begin: what it reads too much would wait for its lease.
    for sum in [3, 6] {
        let mut worker = rig.start_binary(scripts.path(), &["--max-jobs", "3", "--slots", "8"]);
        ends_well(&mut worker).await;
        assert_eq!(ended(&rig, &ids).await, sum);
    }
    let pending: redis::streams::StreamPendingReply = rig
        .raw(&["XPENDING", "tf:{0}:queue:default", "workers"])
        .await;
    assert_eq!(pending.count(), 0);
    // The last one, once; and again, when there is none.
    let mut once = rig.start_binary(scripts.path(), &["--once"]);
    ends_well(&mut once).await;
    assert_eq!(ended(&rig, &ids).await, 7);
    let begun = Instant::now();
    let mut once = rig.start_binary(scripts.path(), &["--once", "--idle-exit", "1s"]);
    ends_well(&mut once).await;
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert!(once.stderr().contains("it found no job for idle_exit"));
}

#[tokio::test]
async fn several_queues_and_shards_share_one_quota() {
    let (rig, scripts) = (Rig::on(ServerOptions::default(), 2).await, Scripts::new());
    scripts.replace("name = \"nap\"", "name = \"nap\"\nqueue = \"urgent\"");
    scripts.replace("[ $TASKFERRY_ATTEMPT = 1 ]", "false");
    let mut urgent = tool("nap");
    urgent.queue = "urgent".parse().unwrap();
    let mut ids = echoes(&rig, 3).await;
    for _ in 0..3 {
        ids.push(rig.submit(&urgent, "{}").await);
    }
    for sum in 1..=6 {
        let arguments = ["--once", "--slots", "4", "--redis-shards", "2"];
        let mut worker = rig.start_binary(scripts.path(), &arguments);
        ends_well(&mut worker).await;
        assert_eq!(ended(&rig, &ids).await, sum, "{}", worker.stderr());
    }
}

#[tokio::test]
async fn an_idle_worker_ends_but_not_while_a_job_runs_or_redis_is_away() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    scripts.replace("sleep 1000 & wait", "sleep 3");
    let mut worker = rig.start_binary(scripts.path(), &["--idle-exit", "1s"]);
    let id = rig.submit(&tool("nap"), "{}").await;
    let task = rig.end_of(id).await;
    assert_eq!((text(&task).as_str(), task.attempt), ("by 1", 1));
    ends_well(&mut worker).await;
    // A server that does not answer has nothing to give for all that is known.
    let mut worker = rig.start_binary(scripts.path(), &["--idle-exit", "2s"]);
    worker.wait_for_line(SOON, "working").await;
    rig.server.pause();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(worker.is_running());
    rig.server.resume();
    ends_well(&mut worker).await;
}

#[tokio::test]
async fn a_one_shot_worker_that_is_told_to_stop_gives_its_job_back() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    let once = ["--once", "--lease", "10m", "--drain-timeout", "0s"];
    let mut worker = rig.start_binary(scripts.path(), &once);
    let id = rig.submit(&tool("nap"), "{}").await;
    scripts.running(1).await;
    worker.terminate();
    ends_well(&mut worker).await;
    assert_eq!(rig.view(id).await.status, Status::Queued);
    let mut next = rig.start_binary(scripts.path(), &once);
    assert_eq!(text(&rig.end_of(id).await), "by 2");
    ends_well(&mut next).await;
}

#[tokio::test]
async fn a_job_that_is_parked_is_no_longer_its_workers() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    let ask = r#"echo '::ask sure elicitation {{\"message\":\"Go on?\",\"requestedSchema\":{{\"type\":\"object\",\"properties\":{{}}}}}}' >&2; exit 76"#;
    scripts.replace("name = \"echo\"", "name = \"echo\"\nasks = true");
    scripts.replace(r#"echo \"::progress 1/2 half\" >&2; echo \"$1\""#, ask);
    let id = rig.submit(&tool("echo"), "{}").await;
    let mut worker = rig.start_binary(scripts.path(), &["--max-jobs", "1"]);
    ends_well(&mut worker).await;
    assert_eq!(rig.view(id).await.status, Status::InputRequired);
    eventually(SOON, "the worker left", async || {
        let workers: Vec<String> = rig.raw(&["ZRANGE", "tf:{fleet}:workers", "0", "-1"]).await;
        workers.is_empty()
    })
    .await;
    rig.leaves_jobs();
}
