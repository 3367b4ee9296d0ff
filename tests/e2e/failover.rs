//! A new primary under a running front end and a running worker: both follow it, and what was accepted completes.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taskferry_testing::{
    AppendOnly, Process, Proxy, Sentinels, ServerOptions, TestServer, eventually, eventually_some,
    redis,
};

use crate::client::{Answer, Modern};
use crate::fleet::{Replica, worker};
use crate::tools::basic;

/// How long a failover may take, ours and that of the sentinels.
const FAILOVER: Duration = Duration::from_secs(60);
/// How long it may take at most where no sentinel takes part. What it takes is printed.
const BOUND: Duration = Duration::from_secs(20);
/// So that what froze is noticed soon.
const QUICK: [&str; 2] = ["--redis-timeout", "2s"];

/// A front end and a worker on an address that leads to a primary, which has a replica.
struct Scene {
    primary: TestServer,
    replica: TestServer,
    front: Replica,
    _worker: Process,
    client: Modern,
}

async fn servers() -> (TestServer, TestServer) {
    let primary = TestServer::start_with(ServerOptions {
        append_only: AppendOnly::EverySecond,
        ..ServerOptions::default()
    })
    .await;
    let replica = TestServer::replica_of(&primary).await;
    (primary, replica)
}

impl Scene {
    async fn at(url: &str, (primary, replica): (TestServer, TestServer), more: &[&str]) -> Self {
        let front = Replica::start(url, &[&QUICK, more].concat()).await;
        let flags = [&QUICK[..], &["--slots", "2", "--lease", "3s"]].concat();
        let worker = worker(url, &basic(), &flags).await;
        let client = Modern::with_tasks(&front.endpoint);
        front.lists("nap").await;
        Self {
            primary,
            replica,
            client,
            front,
            _worker: worker,
        }
    }

    /// One whose address is that of a proxy.
    async fn proxied() -> (Self, Proxy) {
        let (primary, replica) = servers().await;
        let proxy = Proxy::start(primary.port()).await;
        let scene = Self::at(&proxy.url(), (primary, replica), &[]).await;
        (scene, proxy)
    }

    /// A running nap and some tasks behind it.
    async fn busy(&self, folder: &Path) -> Vec<String> {
        let nap = json!({ "seconds": 3, "folder": folder });
        let mut ids = vec![self.client.start("nap", nap).await];
        eventually(FAILOVER, "the nap has begun", async || {
            folder.join("1").exists()
        })
        .await;
        for number in 0..4 {
            let text = json!({ "text": number.to_string() });
            ids.push(self.client.start("echo", text).await);
        }
        ids
    }

    /// Waits until the replica has everything.
    async fn caught_up(&self) {
        let mut raw = self.primary.raw().await;
        redis::cmd("ECHO")
            .arg("now")
            .query_async::<String>(&mut raw)
            .await
            .unwrap();
        let wait = redis::cmd("WAIT").arg(1).arg(10_000).to_owned();
        assert_eq!(wait.query_async::<i64>(&mut raw).await.unwrap(), 1);
    }

    /// Waits until a task completed; a failover may make some polls fail, each with a 503.
    async fn completed(&self, id: &str) -> Value {
        eventually_some(FAILOVER, "the task is completed", async || {
            let answer = self
                .client
                .request("tasks/get", json!({ "taskId": id }))
                .await;
            if answer.status == 503 {
                assert!(answer.headers.contains_key("retry-after"));
                return None;
            }
            let task = answer.result().clone();
            (task["status"] == "completed").then_some(task)
        })
        .await
    }

    /// Makes a task, refused with a 503 for a while at most.
    async fn started(&self) -> String {
        eventually_some(FAILOVER, "a task is accepted", async || {
            let answer = self.client.call("echo", json!({ "text": "after" })).await;
            match answer.status.as_u16() {
                503 => assert!(answer.headers.contains_key("retry-after")),
                status => assert_eq!(status, 200, "{}", answer.text),
            }
            answer.body["result"]["taskId"].as_str().map(str::to_owned)
        })
        .await
    }

    /// After the change: everything accepted before completes, and something new too; the time to the first that is new.
    async fn goes_on(&self, before: &[String]) -> Duration {
        let begun = Instant::now();
        let new = self.started().await;
        let took = begun.elapsed();
        for id in before {
            self.completed(id).await;
        }
        self.completed(&new).await;
        took
    }

    /// Waits until nothing is left at the new primary. Not left to the end of the test, when its proxy is gone.
    async fn drained(&self) {
        self.replica.drained(FAILOVER).await;
    }
}

/// The attempts that a nap took: its processes wrote their numbers.
fn attempts(folder: &Path) -> usize {
    (1..10)
        .filter(|n| folder.join(n.to_string()).exists())
        .count()
}

fn assert_refused(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(answer.code(), -32603);
    assert!(
        answer.message().contains("0 of 1 Redis replicas"),
        "{}",
        answer.text
    );
    assert!(answer.message().contains("cancelled"), "{}", answer.text);
}

#[tokio::test]
async fn a_killed_primary_loses_no_task_that_was_accepted_on_a_replica() {
    let (primary, replica) = servers().await;
    let sentinels = Sentinels::watch(&primary).await;
    let flags = ["--durability", "replicated:1", "--replica-timeout", "5s"];
    let mut scene = Scene::at(&sentinels.url(), (primary, replica), &flags).await;
    let folder = tempfile::tempdir().unwrap();
    let before = scene.busy(folder.path()).await;
    scene.primary.kill9();
    let killed = Instant::now();
    for id in &before {
        scene.completed(id).await;
    }
    println!(
        "sentinel, killed: all tasks of before completed after {:?}",
        killed.elapsed()
    );
    assert_eq!(attempts(folder.path()), 1, "the running attempt went on");
    // Nobody is left to have a copy: nothing new is accepted, and what was tried does not run.
    let refused = scene.client.call("echo", json!({ "text": "lonely" })).await;
    assert_refused(&refused);
    // A cancellation is a promise, too, also of what has ended.
    let cancel = json!({ "taskId": before[0] });
    let unsure = scene.client.request("tasks/cancel", cancel).await;
    assert_eq!(unsure.status, 503, "{}", unsure.text);
    assert!(
        unsure.message().contains("send it again"),
        "{}",
        unsure.text
    );
    scene.drained().await;
    let _second = TestServer::replica_of(&scene.replica).await;
    let id = scene.started().await;
    scene.completed(&id).await;
    assert!(scene.front.process.is_running());
    scene.drained().await;
}

#[tokio::test]
async fn connections_left_half_open_by_a_proxy_do_not_stick() {
    let (scene, proxy) = Scene::proxied().await;
    let folder = tempfile::tempdir().unwrap();
    let before = scene.busy(folder.path()).await;
    scene.caught_up().await;
    let plain = Modern::with(&scene.front.endpoint, json!({}));
    let other = tempfile::tempdir().unwrap();
    let waiting = plain.call("nap", json!({ "seconds": 2, "folder": other.path() }));
    let changing = async {
        eventually(FAILOVER, "the waiting call runs", async || {
            other.path().join("1").exists()
        })
        .await;
        scene.replica.promote().await;
        proxy.lead_to_and_hang(scene.replica.port());
        scene.goes_on(&before).await
    };
    let (answer, took) = tokio::join!(waiting, changing);
    println!("proxy, half open: a task is accepted after {took:?}");
    assert!(took < BOUND);
    // The replica may have missed the last moments of the old primary: then the call is told that its job is gone.
    let result = answer.body["result"]["content"][0]["text"].as_str();
    assert!(result.is_some_and(|text| text.contains("attempt")) || answer.code() == -32602);
    scene.drained().await;
}

#[tokio::test]
async fn a_demoted_primary_is_left_by_front_end_and_worker() {
    let (scene, proxy) = Scene::proxied().await;
    let folder = tempfile::tempdir().unwrap();
    let before = scene.busy(folder.path()).await;
    scene.caught_up().await;
    scene.replica.promote().await;
    proxy.lead_to(scene.replica.port());
    scene.primary.demote_to(&scene.replica).await;
    let took = scene.goes_on(&before).await;
    println!("demoted: a task is accepted after {took:?}");
    assert!(took < BOUND);
    assert_eq!(attempts(folder.path()), 1, "the running attempt went on");
    scene.drained().await;
}

#[tokio::test]
async fn a_frozen_primary_that_thaws_changes_nothing() {
    let (primary, replica) = servers().await;
    let sentinels = Sentinels::watch(&primary).await;
    let scene = Scene::at(&sentinels.url(), (primary, replica), &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let before = scene.busy(folder.path()).await;
    scene.caught_up().await;
    scene.primary.pause();
    let took = scene.goes_on(&before).await;
    println!("sentinel, frozen: a task is accepted after {took:?}");
    let results: Vec<Value> = states(&scene, &before).await;
    // It still believes that it is the primary, and that the nap runs there.
    scene.primary.resume();
    let id = scene.started().await;
    scene.completed(&id).await;
    assert_eq!(states(&scene, &before).await, results);
    assert_eq!(attempts(folder.path()), 1, "the running attempt went on");
    scene.drained().await;
}

async fn states(scene: &Scene, ids: &[String]) -> Vec<Value> {
    let mut tasks = Vec::new();
    for id in ids {
        tasks.push(scene.client.task(id).await);
    }
    tasks
}
