//! Two versions of the contract.

use std::path::Path;

use taskferry_contract::CONTRACT_VERSION;
use taskferry_testing::{Process, TestServer, command, eventually};

use super::{SOON, raw, taskferry};
use crate::client::get;
use crate::fleet::{Replica, worker};
use crate::tools::{basic, manifest};

fn serve(redis: &TestServer) -> Process {
    let mut command = command("taskferry");
    command.args([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--redis-url",
        &redis.url(),
    ]);
    Process::start("taskferry serve", command)
}

fn work(redis: &TestServer, manifest: &Path) -> Process {
    let mut command = command("taskferry-worker");
    command
        .args(["--redis-url", &redis.url(), "--manifest"])
        .arg(manifest);
    Process::start("taskferry-worker", command)
}

async fn assert_refuses(mut process: Process, stored: &str) {
    let status = process.wait_for_exit(SOON).await;
    assert_eq!(status.code(), Some(1));
    let told = process.stderr();
    let own = CONTRACT_VERSION.to_string();
    for part in [stored, &own, "redis-cli DEL tf:contract"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}

#[tokio::test]
async fn an_incompatible_contract_is_refused_at_the_start() {
    let redis = TestServer::start().await;
    // One before this release's, and one to come.
    for stored in ["1.1", "99.0"] {
        raw::<String>(&redis, &["SET", "tf:contract", stored]).await;
        assert_refuses(serve(&redis), stored).await;
        assert_refuses(work(&redis, &manifest(&basic())), stored).await;
    }
    let doctor = taskferry(&redis.url(), &["doctor"]).await;
    assert_eq!(doctor.code, 1);
    assert!(doctor.out.contains("fail  contract"), "{}", doctor.out);
    let keys: Vec<String> = raw(&redis, &["KEYS", "*"]).await;
    assert_eq!(keys, ["tf:contract"], "nothing was written");
}

#[tokio::test]
async fn running_processes_wind_down_when_the_contract_becomes_another() {
    let redis = TestServer::start().await;
    let worker = worker(&redis.url(), &basic(), &[]).await;
    let mut replica = Replica::start_unready(&redis.url(), &[]).await;
    replica.process.wait_for_line(SOON, "reached and fit").await;
    let stored: String = raw(&redis, &["GET", "tf:contract"]).await;
    assert_eq!(stored, CONTRACT_VERSION.to_string());

    // A newer release of the same major is no reason to do anything.
    let newer = format!("{}.{}", CONTRACT_VERSION.major, CONTRACT_VERSION.minor + 6);
    raw::<String>(&redis, &["SET", "tf:contract", &newer]).await;
    replica.ready().await;
    raw::<String>(&redis, &["SET", "tf:contract", "99.0"]).await;
    // It looks every five seconds by itself.
    eventually(SOON, "it says what is wrong", async || {
        let answer = get(&format!("{}/readyz", replica.origin)).await;
        // Before that it may be ready, as it was a second ago, or tell of a Redis that is slow.
        answer.status == 503 && answer.text.contains("99.0")
    })
    .await;
    assert_refuses(replica.process, "99.0").await;
    assert_refuses(worker, "99.0").await;
    let workers: i64 = raw(&redis, &["ZCARD", "tf:{fleet}:workers"]).await;
    assert_eq!(workers, 0, "it left in good order");
}

#[tokio::test]
async fn the_contract_is_written_again_when_redis_lost_everything() {
    let redis = TestServer::start().await;
    let back = async |who: &str| {
        raw::<String>(&redis, &["FLUSHALL"]).await;
        let what = format!("{who} writes it again");
        eventually(SOON, &what, async || {
            let stored: Option<String> = raw(&redis, &["GET", "tf:contract"]).await;
            stored == Some(CONTRACT_VERSION.to_string())
        })
        .await;
    };
    let mut replica = Replica::start_unready(&redis.url(), &[]).await;
    replica.process.wait_for_line(SOON, "reached and fit").await;
    back("the front end").await;
    drop(replica);
    let _worker = worker(&redis.url(), &basic(), &[]).await;
    back("the worker").await;
}
