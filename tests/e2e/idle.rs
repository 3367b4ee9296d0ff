//! What a system with nothing to do asks of Redis.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use taskferry_testing::redis::aio::MultiplexedConnection;
use taskferry_testing::{TestServer, redis};

use crate::fleet::{Replica, worker};

const TOOLS: &str = r#"
[[tool]]
name = "unused"
description = "Nobody calls it"
command = ["true"]
input_schema = '{"type":"object"}'
"#;

/// How long it may take until all are calm.
const SOON: Duration = Duration::from_secs(30);
/// For so long commands are counted.
const WINDOW: Duration = Duration::from_secs(4);
/// So many a second, of each command and of all together: one and a half times what they are.
const OF_EACH: u64 = 8;
const OF_ALL: u64 = 45;

/// How often each command was called, those inside scripts included.
async fn calls(redis: &mut MultiplexedConnection) -> BTreeMap<String, u64> {
    let mut info = redis::cmd("INFO");
    info.arg("commandstats");
    let stats: String = info.query_async(redis).await.unwrap();
    let calls = stats.lines().filter_map(|line| {
        let (name, stats) = line.strip_prefix("cmdstat_")?.split_once(':')?;
        let count = stats.strip_prefix("calls=")?.split(',').next()?;
        Some((name.to_owned(), count.parse().ok()?))
    });
    calls.collect()
}

/// What was called within the window.
async fn calls_in_the_window(redis: &mut MultiplexedConnection) -> BTreeMap<String, u64> {
    let before = calls(redis).await;
    tokio::time::sleep(WINDOW).await;
    let mut more = calls(redis).await;
    for (name, calls) in &mut more {
        *calls -= before.get(name).unwrap_or(&0);
    }
    more
}

#[tokio::test]
async fn a_front_end_and_three_workers_without_work_ask_redis_for_little() {
    let server = TestServer::start().await;
    let url = server.url();
    let mut workers = Vec::new();
    for _ in 0..3 {
        workers.push(worker(&url, TOOLS, &[]).await);
    }
    let replica = Replica::start(&url, &[]).await;
    replica.lists("unused").await;
    let (mut redis, began) = (server.raw().await, Instant::now());
    loop {
        let calls = calls_in_the_window(&mut redis).await;
        let all: u64 = calls.values().sum();
        assert!(all > 0, "all live, and one keeps house");
        let most = calls.values().max().unwrap_or(&0);
        if all <= OF_ALL * WINDOW.as_secs() && *most <= OF_EACH * WINDOW.as_secs() {
            return;
        }
        assert!(began.elapsed() < SOON, "in {WINDOW:?}: {all}, {calls:?}");
    }
}
