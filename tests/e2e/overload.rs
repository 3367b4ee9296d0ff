//! More than a replica, a queue, a caller's share or Redis can hold: refused or slowed with a clear error, while what
//! runs goes on, and taken again when the load goes.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::json;
use taskferry_testing::{
    Process, TestServer, eventually, eventually_some, invariants, redis, stays,
};

use crate::client::{Answer, Legacy, Modern, is_up};
use crate::crowd::{Client, connections_allowed, resident};
use crate::fleet::{Replica, worker};
use crate::jobs::take_steps;
use crate::tools::with_basic;

const FLOOD: &str = r#"
[[tool]]
name = "flood"
description = "Writes many long log lines as fast as it can"
command = ["sh", "$HERE/flood.sh", "{lines}"]
input_schema = '{"type":"object","properties":{"lines":{"type":"integer"}},"required":["lines"],"additionalProperties":false}'
"#;

const SOON: Duration = Duration::from_secs(30);
/// How long everything may take to be over; longer than it should on a machine that has other things to do.
const IDLE: Duration = Duration::from_secs(60);
/// How long what clients left behind is looked at.
const SERVED_ON: Duration = Duration::from_millis(300);
/// How many wait at once where many do, if this machine allows as many connections.
const CROWD: usize = 10_000;
/// So many of them connect at a time.
const AT_A_TIME: usize = 64;

/// One of each, without a balancer.
struct Pair {
    redis: TestServer,
    front: Replica,
    _worker: Process,
}

impl Pair {
    async fn start(front: &[&str], flags: &[&str]) -> Self {
        let redis = TestServer::start().await.drained_at_end(IDLE);
        let front = Replica::start(&redis.url(), front).await;
        let worker = worker(&redis.url(), &with_basic(FLOOD), flags).await;
        front.lists("nap").await;
        Self {
            redis,
            front,
            _worker: worker,
        }
    }

    fn client(&self) -> Modern {
        Modern::with_tasks(&self.front.endpoint)
    }
}

/// Fails unless an answer tells of an overload, and when to come back.
fn assert_refused(answer: &Answer, status: u16, part: &str) {
    assert_eq!(answer.status, status, "{}", answer.text);
    let after: u32 = answer.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&after), "{after}");
    assert_eq!(answer.code(), -32603);
    assert!(
        answer.message().contains(part),
        "{part} is not in {}",
        answer.text
    );
}

/// Calls until the call is taken; the task.
async fn taken(client: &Modern) -> String {
    eventually_some(SOON, "a task is accepted again", async || {
        let answer = client.call("echo", json!({ "text": "x" })).await;
        answer.body["result"]["taskId"].as_str().map(str::to_owned)
    })
    .await
}

#[tokio::test]
async fn a_full_queue_refuses_more_until_there_is_room() {
    let pair = Pair::start(&["--queue-cap", "2"], &["--slots", "1"]).await;
    let (client, folder) = (pair.client(), tempfile::tempdir().unwrap());
    let paced = json!({ "folder": folder.path() });
    let id = client.start("paced", paced).await;
    let queued = client.start("echo", json!({ "text": "x" })).await;
    let refused = client.call("echo", json!({ "text": "x" })).await;
    assert_refused(&refused, 503, "is full (2 jobs): queue_cap");
    take_steps(folder.path(), 1..=4);
    let next = taken(&client).await;
    for id in [&id, &queued, &next] {
        client.until(id, "completed").await;
    }
}

#[tokio::test]
async fn a_caller_with_too_many_tasks_is_refused_until_one_ends() {
    let front = ["--owner-cap", "2", "--single-user", "true"];
    let pair = Pair::start(&front, &["--slots", "1"]).await;
    let (client, folder) = (pair.client(), tempfile::tempdir().unwrap());
    let paced = json!({ "folder": folder.path() });
    let id = client.start("paced", paced).await;
    let queued = client.start("echo", json!({ "text": "x" })).await;
    let refused = client.call("echo", json!({ "text": "x" })).await;
    assert_refused(
        &refused,
        429,
        "2 tasks that have not ended, which is the limit (owner_cap",
    );
    take_steps(folder.path(), 1..=4);
    let next = taken(&client).await;
    for id in [&id, &queued, &next] {
        client.until(id, "completed").await;
    }
}

#[tokio::test]
async fn a_redis_out_of_memory_takes_nothing_new_and_finishes_what_runs() {
    let pair = Pair::start(&[], &[]).await;
    let (client, folder) = (pair.client(), tempfile::tempdir().unwrap());
    let nap = json!({ "seconds": 1, "folder": folder.path() });
    let id = client.start("nap", nap).await;
    eventually(SOON, "it runs", async || folder.path().join("1").exists()).await;
    let mut raw = pair.redis.raw().await;
    let mut limit = async |bytes: u32| {
        let set = ["SET".to_owned(), "maxmemory".to_owned(), bytes.to_string()];
        let set = redis::cmd("CONFIG").arg(&set).to_owned();
        set.query_async::<()>(&mut raw).await.unwrap();
    };
    limit(1).await;
    let refused = client.call("echo", json!({ "text": "x" })).await;
    assert_refused(&refused, 503, "store is full");
    let done = client.until(&id, "completed").await;
    assert!(
        done["result"]["content"][0]["text"]
            .to_string()
            .contains("attempt 1")
    );
    limit(0).await;
    let next = taken(&client).await;
    client.until(&next, "completed").await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_on_both_sides() {
    let pair = Pair::start(&["--max-body", "16KiB"], &["--max-result", "4KiB"]).await;
    let client = pair.client();
    let large = client
        .call("echo", json!({ "text": "x".repeat(20_000) }))
        .await;
    assert_eq!(large.status, 413, "{}", large.text);
    assert!(large.message().contains("max_body"), "{}", large.text);
    assert!(large.message().contains("16384"), "{}", large.text);
    let id = client
        .start("echo", json!({ "text": "x".repeat(5_000) }))
        .await;
    let task = client.until(&id, "completed").await;
    assert_eq!(task["result"]["isError"], true);
    let text = task["result"]["content"][0]["text"].to_string();
    assert!(
        text.contains("max_result") && text.contains("4096"),
        "{text}"
    );
    let id = client
        .start("echo", json!({ "text": "x".repeat(3_000) }))
        .await;
    let task = client.until(&id, "completed").await;
    assert_eq!(task["result"]["isError"], false, "{task:#}");
}

#[tokio::test]
async fn requests_beyond_the_limit_are_refused_and_room_comes_back() {
    let pair = Pair::start(
        &["--max-requests", "4", "--peer-share", "100"],
        &["--slots", "8"],
    )
    .await;
    let (client, folder) = (pair.client(), tempfile::tempdir().unwrap());
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let folder = json!({ "folder": folder.path() });
        let mut call = Client::call(&pair.front.endpoint, "paced", folder).await;
        call.until("text/event-stream").await;
        waiting.push(call);
    }
    let refused = client.call("echo", json!({ "text": "x" })).await;
    assert_refused(
        &refused,
        503,
        "as many open requests as it may (4), its setting max_requests",
    );
    let ready = is_up(&format!("{}/readyz", pair.front.origin)).await;
    assert!(ready, "it is as ready as before");
    // One client leaves, and another is served; the others get their answers.
    waiting.pop();
    let next = taken(&client).await;
    client.until(&next, "completed").await;
    for step in 1..=4 {
        std::fs::write(folder.path().join(step.to_string()), "").unwrap();
    }
    for mut call in waiting {
        call.until("\"resultType\":\"complete\"").await;
    }
}

/// Whoever leaves while Redis is slow still has its request served, which counts as open until then.
#[tokio::test]
async fn clients_who_come_and_go_do_not_get_around_the_limit() {
    let flags = [
        "--max-requests",
        "4",
        "--peer-share",
        "100",
        "--redis-timeout",
        "10s",
    ];
    let pair = Pair::start(&flags, &["--slots", "2"]).await;
    let client = pair.client();
    pair.redis.pause();
    let mut calls = Vec::new();
    for _ in 0..4 {
        let text = json!({ "text": "x" });
        calls.push(Client::call(&pair.front.endpoint, "echo", text).await);
    }
    eventually(SOON, "they fill the server", async || {
        let probe = client.call("echo", json!({ "text": "x" }));
        let probed = tokio::time::timeout(Duration::from_millis(200), probe).await;
        probed.is_ok_and(|answer| answer.status == 503)
    })
    .await;
    drop(calls);
    let told = "as many open requests as it may (4), its setting max_requests";
    stays(SERVED_ON, "they count as open", async || {
        let refused = client.call("echo", json!({ "text": "x" })).await;
        assert_refused(&refused, 503, told);
        true
    })
    .await;
    pair.redis.resume();
    let next = taken(&client).await;
    client.until(&next, "completed").await;
}

#[tokio::test]
async fn ten_thousand_waiting_clients_cost_bounded_memory_and_all_are_answered() {
    let crowd = CROWD.min(connections_allowed());
    let pair = Pair::start(&[], &["--slots", "2"]).await;
    let session = Legacy::open(&pair.front.endpoint).await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = json!({ "folder": folder.path() });
    let id = session.start("paced", arguments, 600_000).await;
    let before = resident(&pair.front.process);
    let begun = Instant::now();
    let headers = [
        ("mcp-session-id", session.session.as_str()),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    let message =
        json!({ "jsonrpc": "2.0", "id": 7, "method": "tasks/result", "params": { "taskId": id } });
    let waiting: Vec<Client> = stream::iter(0..crowd)
        .map(|_| async {
            let mut client = Client::send(&pair.front.endpoint, &headers, &message).await;
            client.until("text/event-stream").await;
            client
        })
        .buffer_unordered(AT_A_TIME.max(crowd / 4))
        .collect()
        .await;
    let (all_wait, with_all) = (begun.elapsed(), resident(&pair.front.process));
    let each = with_all.saturating_sub(before) / u64::try_from(crowd).unwrap();
    println!(
        "{crowd} clients wait after {all_wait:?}: {} MiB resident, {} MiB before, {each} bytes each",
        with_all >> 20,
        before >> 20
    );
    assert!(each < 64 << 10, "{each} bytes a client");
    // Others are served meanwhile.
    let begun = Instant::now();
    let client = pair.client();
    let other = client.start("echo", json!({ "text": "x" })).await;
    client.until(&other, "completed").await;
    println!("another task beside them took {:?}", begun.elapsed());
    for step in 1..=4 {
        std::fs::write(folder.path().join(step.to_string()), "").unwrap();
    }
    let begun = Instant::now();
    let answered = stream::iter(waiting)
        .map(|mut client| async move { client.until("\"done\"").await.contains("\"id\":7") })
        .buffer_unordered(AT_A_TIME)
        .filter(|answered| std::future::ready(*answered))
        .count()
        .await;
    assert_eq!(answered, crowd);
    println!("all are answered after {:?}", begun.elapsed());
}

#[tokio::test]
async fn plain_calls_of_clients_that_leave_are_cancelled_and_leave_nothing() {
    let crowd = (CROWD / 5).min(connections_allowed());
    let pair = Pair::start(&[], &["--slots", "2"]).await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = json!({ "folder": folder.path() });
    let waiting: Vec<Client> = stream::iter(0..crowd)
        .map(|_| async {
            let endpoint = &pair.front.endpoint;
            let mut client = Client::call(endpoint, "paced", arguments.clone()).await;
            client.until("text/event-stream").await;
            client
        })
        .buffer_unordered(crowd / 4)
        .collect()
        .await;
    let begun = Instant::now();
    drop(waiting);
    pair.redis.drained(IDLE).await;
    println!("{crowd} calls are cancelled after {:?}", begun.elapsed());
    let client = pair.client();
    let next = client.start("echo", json!({ "text": "x" })).await;
    client.until(&next, "completed").await;
}

#[tokio::test]
async fn clients_that_do_not_read_cost_bounded_memory_and_hold_no_job_up() {
    let pair = Pair::start(&[], &["--slots", "4"]).await;
    let before = resident(&pair.front.process);
    let mut deaf = Vec::new();
    for _ in 0..40 {
        let lines = json!({ "lines": 5_000 });
        deaf.push(Client::call(&pair.front.endpoint, "flood", lines).await);
    }
    let mut raw = pair.redis.raw().await;
    eventually(
        Duration::from_secs(60),
        "every job ended, though nobody reads",
        async || invariants::drained(&mut raw, "tf").await.is_empty(),
    )
    .await;
    let grown = resident(&pair.front.process).saturating_sub(before);
    println!("{} deaf clients: {} KiB more", deaf.len(), grown >> 10);
    // Two hundred megabytes were written.
    assert!(grown < 80 << 20, "{grown} bytes");
    let client = pair.client();
    let other = client.start("echo", json!({ "text": "x" })).await;
    client.until(&other, "completed").await;
    // Whoever reads after all gets the answer.
    let mut first = deaf.swap_remove(0);
    first.until("\"resultType\":\"complete\"").await;
}
