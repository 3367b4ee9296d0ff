//! Large results, asked for by many, and read slowly or not at all.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use futures_util::future::join_all;
use taskferry_client::{StatusCode, task};
use taskferry_testing::{eventually_some, redis};
use taskferry_worker::{HandlerResult, JobContext, ToolOutput};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::*;
use crate::client::Legacy;

/// How large a result is, bytes: a little less than a worker stores.
const LARGE: usize = 16_000_000;

/// A front end with tasks that have large results, and the worker that ended them.
struct Large {
    attacked: Attacked,
    legacy: Legacy,
    worker: Working,
}

async fn large(_: JobContext) -> HandlerResult {
    Ok(ToolOutput::text("small"))
}

impl Large {
    async fn start(flags: &[&str]) -> Self {
        let attacked = Attacked::start(flags).await;
        let worker = attacked.worker(tool("large"), large).await;
        let legacy = Legacy::open_with_tasks(&attacked.replica.endpoint).await;
        Self {
            attacked,
            legacy,
            worker,
        }
    }

    /// A task that ended with a large result.
    async fn ended(&self) -> String {
        self.attacked.ended(&self.attacked.other).await
    }

    /// What both eras ask for the result of a task by.
    fn asked(&self, id: &str) -> [Vec<u8>; 2] {
        let modern = self.attacked.other.made("tasks/get", task(id));
        let legacy = self.legacy.speaks().request(7, "tasks/result", task(id));
        [wire(&modern), wire(&legacy)]
    }

    async fn check_after(self) {
        self.worker.end().await;
        self.attacked.check_after().await;
    }
}

impl Attacked {
    /// A task of a caller that ended with a large result.
    async fn ended(&self, caller: &Modern) -> String {
        let task = caller.start("large", json!({})).await;
        let stored = format!("the result of {task} is stored");
        eventually_some(SOON, &stored, async || {
            let told = caller.task(&task).await;
            (told["status"] == "completed").then_some(())
        })
        .await;
        // Written as some other worker would: to make it here takes a debug build longer than all the rest.
        let text = "x".repeat(LARGE);
        let result = format!(r#"{{"content":[{{"type":"text","text":"{text}"}}]}}"#);
        let shard = task.split('-').next().unwrap();
        let mut write = redis::cmd("HSET");
        write.arg(format!("tf:{{{shard}}}:task:{task}"));
        write.arg("outcome_bytes").arg(result.len());
        write.arg("result").arg(result);
        let mut raw = self.server.raw().await;
        write.query_async::<()>(&mut raw).await.unwrap();
        task
    }
}

/// Asks, and reads so many bytes of the answer, or what comes of them.
async fn read(to: SocketAddr, last: u8, asked: &[u8], bytes: usize) -> Option<(TcpStream, usize)> {
    let mut connection = from(last, to).await.ok()?;
    connection.write_all(asked).await.ok()?;
    let (mut came, mut part) = (0, vec![0; 64 << 10]);
    while came < bytes {
        let most = part.len().min(bytes - came);
        match connection.read(&mut part[..most]).await {
            Ok(0) | Err(_) => break,
            Ok(more) => came += more,
        }
    }
    Some((connection, came))
}

#[tokio::test]
async fn polls_of_one_large_result_cost_others_nothing() {
    let large = Large::start(&[]).await;
    let asked = large.asked(&large.ended().await);
    let to = large.attacked.address();
    let attack = async move || {
        let polls = (0..200).map(|index: usize| {
            // Most take their time, some read all.
            let bytes = if index % 50 < 2 { LARGE } else { 100_000 };
            read(to, 2, &asked[index % 2], bytes)
        });
        let polls = join_all(polls).await;
        let whole = polls.iter().flatten().filter(|(_, came)| *came >= LARGE);
        assert_eq!(whole.count(), 8, "all who read are answered");
        let begun = polls.iter().flatten().filter(|(_, came)| *came >= 100_000);
        assert_eq!(begun.count(), 200);
        polls
    };
    large.attacked.beside(attack).await;
    large.check_after().await;
}

#[tokio::test]
async fn slow_readers_of_large_results_hold_bounded_memory_and_make_room_for_others() {
    let large = Large::start(&[]).await;
    let tasks = join_all((0..8).map(|_| large.ended())).await;
    let asked: Vec<Vec<u8>> = tasks.iter().flat_map(|task| large.asked(task)).collect();
    let to = large.attacked.address();
    let attack = async move || {
        let held = (0..30).map(|index: usize| read(to, 2, &asked[index % asked.len()], 100));
        let held = join_all(held).await;
        // More than there is room for. Another caller's turn comes all the same, since the slow ones have to go.
        let asked = asked.last().unwrap();
        eventually(SOON, "another caller reads a large result", async || {
            let read = read(to, 3, asked, LARGE).await;
            read.is_some_and(|(_, came)| came >= LARGE)
        })
        .await;
        held
    };
    large.attacked.beside(attack).await;
    large.check_after().await;
}

/// A reader that goes on is not cut off for others, who are told when to come back.
#[tokio::test]
async fn a_result_that_there_is_no_room_for_is_refused_for_now() {
    let large = Large::start(&["--result-memory", "20MiB"]).await;
    let (held, wanted) = tokio::join!(large.ended(), large.ended());
    let (to, attacked) = (large.attacked.address(), &large.attacked);
    let [asked, _] = large.asked(&held);
    let (mut reader, _) = read(to, 2, &asked, 1000).await.unwrap();
    let (refused, begun) = (AtomicBool::new(false), Instant::now());
    let reads = async {
        let mut part = vec![0; 256 << 10];
        while !refused.load(Relaxed) {
            reader.read_exact(&mut part).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let asks = async {
        let answer = attacked.other.request("tasks/get", task(&wanted)).await;
        refused.store(true, Relaxed);
        answer
    };
    let ((), answer) = tokio::join!(reads, asks);
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{begun:?}");
    assert_eq!(answer.headers["retry-after"], "1");
    assert!(
        answer.message().contains("result_memory"),
        "{}",
        answer.text
    );
    drop(reader);
    let status = async || {
        attacked
            .other
            .request("tasks/get", task(&wanted))
            .await
            .status
    };
    let what = "it is there once there is room";
    eventually(SOON, what, async || status().await == StatusCode::OK).await;
    large.check_after().await;
}

/// Fast enough not to be cut off for others, and far too slow to make room for them.
async fn reads_on(to: SocketAddr, asked: Vec<u8>) {
    loop {
        let Some((mut connection, _)) = read(to, 2, &asked, 1000).await else {
            continue;
        };
        let mut part = vec![0; 300_000];
        while connection.read_exact(&mut part).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test]
async fn a_caller_who_reads_large_results_without_end_leaves_memory_for_those_of_others() {
    let attacked = Attacked::guarded(&["--result-memory", "100MiB"]).await;
    let worker = attacked.worker(tool("large"), large).await;
    let attacker = attacked.replica.client().by(Some(ATTACKER));
    let asked = |caller: &Modern, id: &str| wire(&caller.made("tasks/get", task(id)));
    let theirs = join_all((0..6).map(|_| attacked.ended(&attacker))).await;
    let theirs: Vec<Vec<u8>> = theirs.iter().map(|id| asked(&attacker, id)).collect();
    let own = attacked.ended(&attacked.other).await;
    let own = asked(&attacked.other, &own);
    let to = attacked.address();
    let attack = async move || {
        let mut readers = JoinSet::new();
        for asked in theirs {
            readers.spawn(reads_on(to, asked));
        }
        for _ in 0..3 {
            // Longer than a result is kept that nobody holds.
            tokio::time::sleep(Duration::from_millis(1500)).await;
            let (_, came) = read(to, 3, &own, LARGE).await.unwrap();
            assert!(came >= LARGE, "{came} bytes");
        }
    };
    attacked.beside(attack).await;
    worker.end().await;
    attacked.check_after().await;
}
